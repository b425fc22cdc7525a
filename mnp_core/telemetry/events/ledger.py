"""Which notices are to be told, and when: no clock, no thread, no network.

What stands is told once, when it has stood for a moment (while pods and their networks appear, much is wrong for a
second), and again after so long that its Event would be forgotten by the API server. What happened is told at once, and
what happens again soon after is told together.
"""

import math
from collections.abc import Iterable
from typing import Final

from attrs import define

from mnp_core.model import ObjectRef
from mnp_core.telemetry.events.notice import Notice

CAPACITY: Final = 2000  # notices, some 2 MB
REPEAT: Final = 60.0  # seconds between two times that the same is told
RENEW: Final = 1800.0  # until what stands is told again by whoever made its Event; those are kept for an hour
KNOWN: Final = 3600.0  # until a node that found the Event made by another looks again whether it is there

Key = tuple[ObjectRef, str, str]


@define(eq=False)
class Entry:
    """A notice, and what became of it.

    Attributes:
        notice: What is to be told.
        due: When; infinite if there is nothing to tell.
        stands: Whether it is the case now; False for what happened, and for what has vanished.
        pending: How often it happened since it was told.
        count: How often it happened, as its Event says.
        event: Name of the Event, if this process made it; else empty.
        told: When it was told last.
    """

    notice: Notice
    due: float
    stands: bool
    pending: int = 1
    count: int = 0
    event: str = ""
    told: float = -math.inf


class Ledger:
    """All notices. Belongs to one thread; times are seconds on one monotonic clock."""

    def __init__(self, *, settle: float, spread: float = 0.0, capacity: int = CAPACITY) -> None:
        """Begin empty.

        Args:
            settle: Seconds that something has to stand before it is told.
            spread: From 0 to 1, different for each node: those that wait for each other don't all look at once.
            capacity: How many notices are kept at most.
        """
        self._settle = settle
        self._known = KNOWN * (1 + spread)
        self._capacity = capacity
        self._entries: dict[Key, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def expect(self, notices: Iterable[Notice], now: float) -> int:
        """Take in all that stands now; what is not among it has vanished.

        Returns:
            For how many there was no room.
        """
        standing = {_key(notice): notice for notice in notices}
        for key, entry in list(self._entries.items()):
            if entry.stands and key not in standing:
                self._vanish(key, entry)
        return sum(not self._stand(key, notice, now) for key, notice in standing.items())

    def happened(self, notice: Notice, now: float) -> bool:
        """Take in that something happened, or happened again; False if there was no room."""
        entry = self._entries.get(_key(notice))
        if entry is None:
            return self._add(notice, now, stands=False)
        entry.notice = notice
        entry.pending += 1
        entry.due = min(entry.due, max(now, entry.told + REPEAT))
        return True

    def next(self, now: float) -> Entry | None:
        """What is to be told now, the longest due first."""
        entry = min(self._entries.values(), key=lambda entry: entry.due, default=None)
        return entry if entry is not None and entry.due <= now else None

    def next_due(self) -> float:
        """When there will be something to tell; infinite if nothing is known that will."""
        return min((entry.due for entry in self._entries.values()), default=math.inf)

    def told(self, entry: Entry, now: float, *, event: str, count: int) -> None:
        """Note that it was told, by an Event that this process made, or (an empty name) that it is told already."""
        entry.event, entry.count, entry.told, entry.pending = event, count, now, 0
        entry.due = math.inf
        if entry.stands:
            entry.pending = 1
            entry.due = now + (RENEW if event else self._known)

    def postpone(self, entry: Entry, until: float) -> None:
        """Note that it could not be told now; what merely happened is forgotten if it has to wait for too long."""
        entry.due = until

    def drop(self, entry: Entry) -> None:
        """Forget it, whatever it is; what stands comes back with the next change of what stands."""
        self._entries.pop(_key(entry.notice), None)

    def _stand(self, key: Key, notice: Notice, now: float) -> bool:
        entry = self._entries.get(key)
        if entry is None:
            return self._add(notice, now + self._settle, stands=True)
        if not entry.stands:
            entry.stands, entry.pending = True, 1
            entry.due = max(now + self._settle, entry.told + REPEAT)
        return True

    def _vanish(self, key: Key, entry: Entry) -> None:
        """Keep in mind which Event it had, should it come back."""
        entry.stands, entry.due, entry.pending = False, math.inf, 0
        if not entry.event:
            del self._entries[key]

    def _add(self, notice: Notice, due: float, *, stands: bool) -> bool:
        if len(self._entries) >= self._capacity and not self._make_room():
            return False
        self._entries[_key(notice)] = Entry(notice=notice, due=due, stands=stands)
        return True

    def _make_room(self) -> bool:
        """Forget the oldest that has nothing to be told any more."""
        idle = (key for key, entry in self._entries.items() if not entry.stands and math.isinf(entry.due))
        oldest = next(idle, None)
        if oldest is not None:
            del self._entries[oldest]
        return oldest is not None


def _key(notice: Notice) -> Key:
    return notice.about, notice.reason, notice.sort
