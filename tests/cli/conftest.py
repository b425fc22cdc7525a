from tests.cli.fixtures import ask, examples, mnp, problems, registry, verdict, write  # noqa: F401 - pytest finds fixtures by name
