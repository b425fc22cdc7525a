"""Processors for busy loops: there may be other processes on the machine."""

import os
from collections.abc import Callable
from contextlib import suppress


def have_processor(choose: Callable[[set[int]], int]) -> None:
    """Stay on one processor, and go before all that has no real-time priority.

    The kernel leaves a twentieth of the time to these (sched(7)). Niceness would not do: where each session is a
    scheduling group of its own, it decides between siblings alone. On a machine with one processor sender and writer
    share it: neither goes first there, as a busy loop with real-time priority leaves nothing to another of its kind.
    """
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {choose(processors)})
    if len(processors) == 1:
        return
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
