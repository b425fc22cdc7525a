"""Retries for steps that must not be left out: those after a commit, and those that undo one."""

import time
from collections.abc import Callable
from typing import TypeVar

from mnp_core.errors import ApplyError

T = TypeVar("T")

_ATTEMPTS = 4
_PAUSE = 0.02  # seconds, doubled each time: a shortage in the kernel (memory, buffers) ends soon


def insist(work: Callable[[], T]) -> T:
    """Retry after a refusal of the kernel, a few times.

    Raises:
        ApplyError: As `work`, the last time; likewise OSError.
    """
    for attempt in range(_ATTEMPTS - 1):
        try:
            return work()
        except (ApplyError, OSError):
            time.sleep(_PAUSE * 2**attempt)
    return work()
