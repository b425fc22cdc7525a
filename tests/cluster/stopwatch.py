"""Durations and their limits: figures are those of an idle machine."""

import os
import time
from collections.abc import Callable

MENDED = 2.0
"""Seconds from somebody's change of our rules to their being back."""
ENFORCED = 1.0
"""Seconds from a change to its being in force, whatever else is wrong."""
_ALLOWANCE = 3.0
_PATIENCE = 30.0


def time_until(holds: Callable[[], object]) -> float:
    """Seconds from now until a condition holds; call it right after the cause."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < _PATIENCE, f"not within {_PATIENCE:g} s"
        time.sleep(0.01)
    return time.monotonic() - begun


def allowed(seconds: float) -> float:
    """A figure as it is tested now: three times as long if more wants to run than there are processors.

    That is, if the load of the last minute (/proc/loadavg), of which tests themselves are a part, is more than that.
    """
    busy = os.getloadavg()[0] > len(os.sched_getaffinity(0))
    return seconds * _ALLOWANCE if busy else seconds
