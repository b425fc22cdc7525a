"""Imports of a library without what it takes along where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


def absent(module: str) -> AbstractContextManager[None]:
    """Let an import of a module fail, as if it were not installed (see the import system's `sys.modules`).

    No effect if it is imported already. For one thread, at the start of a program.
    """
    return _replaced(module, None)


def deferred(module: str) -> AbstractContextManager[None]:
    """Let an import of a module give a stand-in, which imports it when one of its names is used; else as `absent`."""
    standin: Any = ModuleType(module)
    standin.__getattr__ = lambda name: getattr(import_module(module), name)
    return _replaced(module, standin)


@contextmanager
def _replaced(module: str, standin: ModuleType | None) -> Iterator[None]:
    if module in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules[module] = standin
    try:
        yield
    finally:
        del modules[module]
