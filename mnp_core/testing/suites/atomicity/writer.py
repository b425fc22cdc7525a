"""The process that writes rules, as the one that sends packets sees it: whether it has run meanwhile.

Most of a write is sleep: where a map is replaced, or a set, until all processors have passed a grace period of RCU.
While no thread of the writer runs, nothing of its changes.
"""

import math
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Final

_SCHEDULED: Final = 2  # CPUCLOCK_SCHED of <linux/posix-timers.h>


class Writer:
    """One process at a time, or none. Another process that gets this object sees each that becomes it."""

    def __init__(self, context: BaseContext) -> None:
        """Nobody yet; `context` makes the other process."""
        self._pid = context.RawValue("i", 0)

    def becomes(self, pid: int) -> None:
        """Name the process; 0, before it is ended, for nobody."""
        self._pid.value = pid

    def clock(self) -> Callable[[], float]:
        """Processor time that all threads of it have had; a kernel that counts in ticks cannot tell."""
        return self._worked if _is_exact() else unknown

    def _worked(self) -> float:
        pid = self._pid.value
        try:
            return time.clock_gettime_ns(~pid << 3 | _SCHEDULED) if pid else math.nan
        except OSError:  # it has ended
            return math.nan


def unknown() -> float:
    """NaN, which equals nothing: what a clock shows that cannot tell."""
    return math.nan


def _is_exact() -> bool:
    return time.process_time_ns() != time.process_time_ns()
