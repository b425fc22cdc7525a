"""A program of the renderer tests: prints, in a process of its own, a conformance class's digests of the corpus.

Standard input names the class, as JSON; standard output gets a digest for each case.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mnp_core.testing.conformance.renderer import digests


def main() -> None:
    """Read, render, write."""
    where = json.load(sys.stdin)
    sys.path[:] = where["path"]
    kind = find_class(where)
    json.dump(digests(kind()), sys.stdout)


def find_class(where: Mapping[str, str]) -> Any:
    """A conformance class, by the name and file of its module and its own name."""
    kind: Any = _module(where["module"], where["file"])
    for name in where["name"].split("."):
        kind = getattr(kind, name)
    return kind


def _module(name: str, file: str) -> ModuleType:
    """By its name where that leads to the same file, else from the file."""
    try:
        module = importlib.import_module(name)
        if module.__file__ == file:
            return module
    except ImportError:
        pass  # a module that is not on the path: test folders seldom are
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
