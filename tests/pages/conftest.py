from tests.cli.fixtures import examples, mnp, registry, write  # noqa: F401 - pytest finds fixtures by name
