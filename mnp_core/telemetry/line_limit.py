"""Limits the log lines of each namespace and kind of line: a tenant's flood of problems must not fill the log."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from mnp_core.telemetry.events.bucket import TokenBucket

BURST: Final = 200  # lines of one kind in one namespace, more than pods of a node
LINES_PER_SECOND: Final = 0.1  # after that
SUMMARY_SECONDS: Final = 10.0  # between two lines about lines left out
_MOST_BUCKETS: Final = 4096
_MOST_NAMESPACES: Final = 1000  # of which lines left out are counted apart

ELSEWHERE: Final = "(others)"
"""In place of a namespace: lines left out in all those beyond a number."""


class LineLimit:
    """Bounded; not thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without lines; `clock` is seconds, monotonic."""
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._left_out: Counter[str] = Counter()
        self._summary_at = clock()

    def allows(self, namespace: str, kind: str) -> bool:
        """Whether a line may be written; else it is counted.

        Args:
            namespace: Of the object that it is about.
            kind: A reason or a message: each has a limit of its own, so that no flood hides another problem.
        """
        now = self._clock()
        bucket = self._buckets.pop((namespace, kind), None)
        if bucket is None:
            bucket = TokenBucket(rate=LINES_PER_SECOND, burst=BURST, now=now)
        self._buckets[namespace, kind] = bucket
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.take(now):
            return True
        self._left_out[namespace if self._has_place(namespace) else ELSEWHERE] += 1
        return False

    def take_left_out(self) -> list[tuple[str, int]]:
        """The number of lines left out by namespace; empty while the last answer is less than ten seconds old."""
        now = self._clock()
        if not self._left_out or now < self._summary_at:
            return []
        left_out, self._left_out = sorted(self._left_out.items()), Counter()
        self._summary_at = now + SUMMARY_SECONDS
        return left_out

    def _has_place(self, namespace: str) -> bool:
        return namespace in self._left_out or len(self._left_out) < _MOST_NAMESPACES
