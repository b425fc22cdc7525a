from tests.cli.fixtures import registry  # noqa: F401 - pytest finds fixtures by name
from tests.cli.fleet.fixtures import kubectl, kubectl_mnp  # noqa: F401 - likewise
