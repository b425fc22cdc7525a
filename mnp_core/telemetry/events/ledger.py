"""Which notices are to be told, and when: no clock, no thread, no network.

What stands is told once, when it has stood for a moment (while pods and their networks appear, much is wrong for a
second), and again after so long that its Event would be forgotten by the API server. What happened is told at once, and
what happens again soon after is told together.

Places and turns are shared between namespaces: one that has much to say delays itself. Interfaces that may be open
come first.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from attrs import define

from mnp_core.model import OPEN_REASONS, ObjectRef, Report
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
        report: What it was made of, if it stands.
        pending: How often it happened since it was told.
        count: How often it happened, as its Event says.
        event: Name of the Event, if this process made it; else empty.
        told: When it was told last.
    """

    notice: Notice
    due: float
    stands: bool
    report: Report | None = None
    pending: int = 1
    count: int = 0
    event: str = ""
    told: float = -math.inf

    @property
    def urgent(self) -> bool:
        """Whether an interface may be open."""
        return self.notice.reason in OPEN_REASONS


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
        self._of_namespace: defaultdict[str, dict[Key, Entry]] = defaultdict(dict)
        self._served: dict[str, int] = {}  # the number of a namespace's last turn
        self._turns = 0
        self._idle: dict[Key, None] = {}  # has nothing to be told any more, the oldest first
        self._left_out: list[Report] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def room(self) -> int:
        """For how many there is room."""
        return self._capacity - len(self._entries)

    def change(self, appeared: Iterable[Report], vanished: Iterable[Report], now: float) -> None:
        """Take in what stands that did not before, and what does not any more.

        Two reports may be one notice, as those of a pod whose rules fail for another reason now: it goes on standing.
        """
        standing = {_key(notice): (notice, report) for report in appeared for notice in [Notice.of_report(report)]}
        for report in vanished:
            if (key := _key(Notice.of_report(report))) not in standing:
                self._vanish(key)
        for key, (notice, report) in standing.items():
            self._stand(key, notice, report, now)

    def left_out(self) -> list[Report]:
        """What stands and has found no room, or had to make room for something else, since the last time."""
        left_out, self._left_out = self._left_out, []
        return left_out

    def happened(self, notice: Notice, now: float) -> bool:
        """Take in that something happened, or happened again; False if there was no room."""
        entry = self._entries.get(_key(notice))
        if entry is None:
            return self._add(notice, now)
        entry.notice = notice
        self._idle.pop(_key(notice), None)
        entry.pending += 1
        entry.due = min(entry.due, max(now, entry.told + REPEAT))
        return True

    def next(self, now: float) -> Entry | None:
        """What is to be told now: what is urgent, of the namespace that has waited for longest, the longest due."""
        return min((entry for entry in self._entries.values() if entry.due <= now), key=self._turn, default=None)

    def next_due(self) -> float:
        """When there will be something to tell; infinite if nothing is known that will."""
        return min((entry.due for entry in self._entries.values()), default=math.inf)

    def told(self, entry: Entry, now: float, *, event: str, count: int) -> None:
        """Note that it was told, by an Event that this process made, or (an empty name) that it is told already."""
        entry.event, entry.count, entry.told, entry.pending = event, count, now, 0
        self._turns += 1
        self._served[entry.notice.namespace] = self._turns
        entry.due = math.inf
        if not entry.stands:
            self._idle[_key(entry.notice)] = None
        else:
            entry.pending = 1
            entry.due = now + (RENEW if event else self._known)

    def postpone(self, entry: Entry, until: float) -> None:
        """Note that it could not be told now; what merely happened is forgotten if it has to wait for too long."""
        entry.due = until

    def drop(self, entry: Entry) -> None:
        """Forget it, whatever it is."""
        self._forget(_key(entry.notice))

    def _turn(self, entry: Entry) -> tuple[bool, int, float]:
        return not entry.urgent, self._served.get(entry.notice.namespace, 0), entry.due

    def _stand(self, key: Key, notice: Notice, report: Report, now: float) -> None:
        entry = self._entries.get(key)
        if entry is None:
            self._add(notice, now + self._settle, report=report)
            return
        entry.notice, entry.report = notice, report
        self._idle.pop(key, None)
        if not entry.stands:
            entry.stands, entry.pending = True, 1
            entry.due = max(now + self._settle, entry.told + REPEAT)

    def _vanish(self, key: Key) -> None:
        """Keep in mind which Event it had, should it come back."""
        entry = self._entries.get(key)
        if entry is None or not entry.stands:
            return
        entry.stands, entry.due, entry.pending, entry.report = False, math.inf, 0, None
        self._idle[key] = None
        if not entry.event:
            self._forget(key)

    def _add(self, notice: Notice, due: float, *, report: Report | None = None) -> bool:
        entry = Entry(notice=notice, due=due, stands=report is not None, report=report)
        if len(self._entries) >= self._capacity and not self._make_room(entry):
            self._leave_out(entry)
            return False
        self._entries[_key(notice)] = self._of_namespace[notice.namespace][_key(notice)] = entry
        return True

    def _make_room(self, entry: Entry) -> bool:
        """Forget the oldest that has nothing to be told any more; else let the greediest namespace make room."""
        oldest = next(iter(self._idle), None) or self._least(entry)
        if oldest is not None:
            self._leave_out(self._entries[oldest])
            self._forget(oldest)
        return oldest is not None

    def _least(self, entry: Entry) -> Key | None:
        """What matters less than a new entry: of the namespace with the most, what came last, urgent things never."""
        own = self._of_namespace.get(entry.notice.namespace, {})
        most = max(self._of_namespace.values(), key=len)
        if len(most) <= len(own):
            most = own
        if most is own and not entry.urgent:
            return None
        return next((key for key in reversed(most) if not most[key].urgent), None) or (
            None if most is own or not entry.urgent else next(reversed(most))
        )

    def _leave_out(self, entry: Entry) -> None:
        if entry.report is not None:
            self._left_out.append(entry.report)

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        self._idle.pop(key, None)
        if entry is not None:
            namespace = entry.notice.namespace
            del self._of_namespace[namespace][key]
            if not self._of_namespace[namespace]:
                del self._of_namespace[namespace]
                self._served.pop(namespace, None)


def _key(notice: Notice) -> Key:
    return notice.about, notice.reason, notice.sort
