"""Imports of a library without what it takes along where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Let an import of a module fail, as if it were not installed (see the import system's `sys.modules`).

    No effect if it is imported already. For one thread, at the start of a program.
    """
    if module in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules[module] = None
    try:
        yield
    finally:
        del modules[module]


@contextmanager
def deferred(module: str) -> Iterator[None]:
    """Let an import of a module give a stand-in, which imports it when one of its names is used.

    No effect if it is imported already. For one thread, at the start of a program.
    """
    if module in sys.modules:
        yield
        return
    standin: Any = ModuleType(module)
    standin.__getattr__ = lambda name: getattr(import_module(module), name)
    sys.modules[module] = standin
    try:
        yield
    finally:
        del sys.modules[module]
