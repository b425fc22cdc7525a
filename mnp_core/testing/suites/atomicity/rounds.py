"""The rounds of a sender: how long each took, and which of the long ones may have hidden something.

A round with a packet of every flow ends before the next one begins, so a wrong verdict that nobody sees lies within
two rounds that follow each other. Short ones leave no room for it. A long one, for which the kernel had given the
processor to others, leaves some only if the writer was at work during it: whatever is wrong begins and ends with an act
of the writer. If it did not run in the long round, nothing began or ended there, and what was wrong all through the
round met its packets.
"""

import time
from collections.abc import Callable
from typing import Final

GAP: Final = 100_000  # nanoseconds


class Rounds:
    """The rounds since this was made. Times are those of the monotonic clock, in nanoseconds.

    Attributes:
        started: When the first round began.
        last: When the last one ended.
        gaps: Beginning and end of those that took longer than `GAP`.
        blind: Of these, those in which the writer ran, or may have run.
    """

    def __init__(self, worked: Callable[[], float]) -> None:
        """Begin the first round.

        Args:
            worked: Processor time of the writer so far; see `Writer.clock`.
        """
        self.gaps: list[tuple[int, int]] = []
        self.blind: list[tuple[int, int]] = []
        self._worked, self._before = worked, worked()
        self._histogram = [0] * 2000  # of 1 µs
        self.started = self.last = time.monotonic_ns()

    def end(self) -> None:
        """End a round, and begin the next one.

        The writer's time is read before the end is noted, and after a long round once more: so its two readings
        enclose the round, wherever the kernel took the processor away.
        """
        worked, now = self._worked(), time.monotonic_ns()
        took = now - self.last
        self._histogram[min(took // 1000, 1999)] += 1
        if took > GAP:
            self.gaps.append((self.last, now))
            if self._worked() != self._before:
                self.blind.append((self.last, now))
        self.last, self._before = now, worked

    @property
    def median(self) -> int:
        """How long a round took, in microseconds."""
        seen, half = 0, sum(self._histogram) / 2
        for microseconds, count in enumerate(self._histogram):
            seen += count
            if seen >= half:
                return microseconds
        return len(self._histogram)
