"""Ctrl-C and termination, put off to moments when a lab, or programs that were started, can be left in order.

A signal's exception could come between any two steps, also between a step and the note that it was done. Here it is
only noted, and raised at explicit checkpoints.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Put off interruptions.

    Yields:
        The checkpoint: raises KeyboardInterrupt for Ctrl-C, SystemExit for the other signals. A signal after the last
        checkpoint is delivered at the end of the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # signals are the main thread's
        return
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        noted.append(number)

    def checkpoint() -> None:
        if noted:
            number = noted.pop()
            noted.clear()
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    changeable = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for each in changeable:
        signal.signal(each, note)
    try:
        yield checkpoint
    finally:
        for each, handler in changeable.items():
            signal.signal(each, handler)
        for late in noted[:1]:
            signal.raise_signal(late)
