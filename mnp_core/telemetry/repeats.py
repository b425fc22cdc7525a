"""Saying the same again ever more rarely."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from attrs import define

SHORTEST: Final = 10.0  # seconds between two times that the same is said
LONGEST: Final = 3600.0
_MANY: Final = 4096  # things that are kept in mind


@define
class _Repeated:
    times: int
    pause: float
    next: float
    how: str


class Repeats:
    """Decides when. Thread safe, and bounded: what was not repeated for longest is forgotten first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without memory.

        Args:
            clock: Seconds, monotonic.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Repeated] = OrderedDict()

    def again(self, what: Hashable, how: str = "") -> int:
        """Take in that it happened.

        Args:
            what: Happened.
            how: If that is another way than the last time, it is news.

        Returns:
            How often it happened, if that is to be said now; else 0.
        """
        now = self._clock()
        with self._lock:
            known = self._known.pop(what, None) or _Repeated(0, SHORTEST, now, how)
            self._known[what] = known
            if len(self._known) > _MANY:
                self._known.popitem(last=False)
            known.times += 1
            stopped = now - known.next > known.pause  # for all we know
            if how != known.how or stopped:
                known.how, known.pause, known.next = how, SHORTEST, now
            if now < known.next:
                return 0
            known.next = now + known.pause
            known.pause = min(known.pause * 2, LONGEST)
            return known.times

    def over(self, what: Hashable) -> int:
        """Take in that it does not happen any more: how often it did."""
        with self._lock:
            known = self._known.pop(what, None)
        return known.times if known is not None else 0
