"""Rate-limits repeated log lines, with exponentially growing intervals."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from mnp_core.classes import define

MIN_INTERVAL_SECONDS: Final = 10.0
MAX_INTERVAL_SECONDS: Final = 3600.0
_MAX_KEYS: Final = 4096


@define
class _Repeated:
    times: int
    pause: float
    next: float
    variant: str


class LogThrottle:
    """Thread-safe and bounded: the least recently repeated key is evicted first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty.

        Args:
            clock: Seconds, monotonic.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Repeated] = OrderedDict()

    def should_log(self, key: Hashable, variant: str = "") -> int:
        """Count an occurrence.

        Args:
            key: The repeated condition.
            variant: A change of it is logged at once.

        Returns:
            The number of occurrences if a line is due now, else 0.
        """
        now = self._clock()
        with self._lock:
            known = self._known.pop(key, None) or _Repeated(0, MIN_INTERVAL_SECONDS, now, variant)
            self._known[key] = known
            if len(self._known) > _MAX_KEYS:
                self._known.popitem(last=False)
            known.times += 1
            stopped = now - known.next > known.pause  # for all we know
            if variant != known.variant or stopped:
                known.variant, known.pause, known.next = variant, MIN_INTERVAL_SECONDS, now
            if now < known.next:
                return 0
            known.next = now + known.pause
            known.pause = min(known.pause * 2, MAX_INTERVAL_SECONDS)
            return known.times

    def reset(self, key: Hashable) -> int:
        """Forget a condition that is over; returns its number of occurrences."""
        with self._lock:
            known = self._known.pop(key, None)
        return known.times if known is not None else 0
