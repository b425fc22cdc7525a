"""What the container runtime calls: one call of CNI (0.4.0), told by environment and standard input."""

import json
import os
import sys

from .api import Api
from .failure import Failure
from .plugin import Call, Plugin

_VERSIONS = {"cniVersion": "0.4.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0"]}


def main() -> int:
    """Serve one call; the exit status."""
    config = json.load(sys.stdin)
    version = config.get("cniVersion", "0.4.0")
    try:
        answer = _serve(os.environ["CNI_COMMAND"], config)
    except Failure as failure:
        answer = {"cniVersion": version, "code": failure.code, "msg": str(failure)}
        json.dump(answer, sys.stdout)
        return 1
    if answer is not None:
        json.dump(answer, sys.stdout)
    return 0


def _serve(command, config):
    if command == "VERSION":
        return _VERSIONS
    call = Call.from_environment(os.environ)
    api = config["api"]
    plugin = Plugin(Api(api["server"], api["ca"], api["cert"], api["key"]), config)
    return {"ADD": plugin.add, "CHECK": plugin.check, "DEL": plugin.delete}[command](call)


if __name__ == "__main__":
    sys.exit(main())
