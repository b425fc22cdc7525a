"""Waiting until nothing is written any more: a stamp follows the rules after a moment."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE = 0.8  # seconds, longer than any delay of an agent
_PATIENCE = 45.0


def at_rest(read: Callable[[], T]) -> T:
    """The first value that is read twice in a row."""
    until, found = time.monotonic() + _PATIENCE, read()
    while time.monotonic() < until:
        time.sleep(_PAUSE)
        before, found = found, read()
        if before == found:
            return found
    raise TimeoutError(f"it changes all the time: {found}")
