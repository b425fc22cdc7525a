"""Schedules Events: which one is due, and when. No clock, no thread, no network.

A standing problem is sent once it has been stable for some seconds (while pods and their networks appear, many problems
last for a second), and renewed before the API server forgets its Event. An occurrence is sent at once; repetitions soon
after are counted into one Event.

Capacity and turns are shared between namespaces: a noisy one delays only itself. Interfaces that may be open come
first, but not always: whoever makes many of them does not silence the rest.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from mnp_core.classes import define
from mnp_core.model import ObjectRef, Report
from mnp_core.model.report import URGENT_REASONS
from mnp_core.telemetry.events.event import PendingEvent

MAX_EVENTS: Final = 2000  # some 2 MB
REPEAT_SECONDS: Final = 60.0  # between two sends of one Event
RENEW_SECONDS: Final = (
    1800.0  # until a standing problem's Event is renewed by its author; the API server keeps it an hour
)
KNOWN_SECONDS: Final = 3600.0  # until a node checks again for an Event that another node created

_ORDINARY_TURN: Final = 4  # every fourth send goes to the namespace that has waited longest, urgent or not

Key = tuple[ObjectRef, str, str]


@define(eq=False)
class QueuedEvent:
    """An Event with its schedule.

    Attributes:
        event: The Event to send.
        due: When to send it; infinite if idle.
        stands: Whether the problem stands now; False for occurrences and resolved problems.
        report: The report of a standing problem.
        pending: Occurrences since the last send.
        count: Occurrences counted in the Event.
        event_name: Name of the Event if this process created it; else empty.
        sent_at: Time of the last send.
    """

    event: PendingEvent
    due: float
    stands: bool
    report: Report | None = None
    pending: int = 1
    count: int = 0
    event_name: str = ""
    sent_at: float = -math.inf

    @property
    def urgent(self) -> bool:
        """Whether an interface may be open."""
        return self.event.reason in URGENT_REASONS


class EventQueue:
    """All Events of this node. Not thread-safe; times are seconds on one monotonic clock."""

    def __init__(self, *, stable_seconds: float, spread: float = 0.0, capacity: int = MAX_EVENTS) -> None:
        """Start empty.

        Args:
            stable_seconds: Time that a problem has to stand before its first Event.
            spread: From 0 to 1, different on each node, so that nodes do not check for one Event at the same time.
            capacity: Maximum number of entries.
        """
        self._stable_seconds = stable_seconds
        self._known_seconds = KNOWN_SECONDS * (1 + spread)
        self._capacity = capacity
        self._entries: dict[Key, QueuedEvent] = {}
        self._of_namespace: defaultdict[str, dict[Key, QueuedEvent]] = defaultdict(dict)
        self._served: dict[str, int] = {}  # number of a namespace's last turn
        self._turns = 0
        self._idle: dict[Key, None] = {}  # entries without a due time, oldest first
        self._left_out: list[Report] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def room(self) -> int:
        """Number of free entries."""
        return self._capacity - len(self._entries)

    def set_standing(self, appeared: Iterable[Report], vanished: Iterable[Report], now: float) -> None:
        """Record new and resolved problems.

        Two reports may share one Event, for example those of a pod whose rules now fail for another reason: it stands
        on.
        """
        standing = {_key(event): (event, report) for report in appeared for event in [PendingEvent.of_report(report)]}
        for report in vanished:
            if (key := _key(PendingEvent.of_report(report))) not in standing:
                self._vanish(key)
        for key, (event, report) in standing.items():
            self._stand(key, event, report, now)

    def left_out(self) -> list[Report]:
        """Standing problems that were refused or evicted for lack of room since the last call."""
        left_out, self._left_out = self._left_out, []
        return left_out

    def record(self, event: PendingEvent, now: float) -> bool:
        """Record an occurrence; False if there was no room."""
        entry = self._entries.get(_key(event))
        if entry is None:
            return self._add(event, now)
        entry.event = event
        self._idle.pop(_key(event), None)
        entry.pending += 1
        entry.due = min(entry.due, max(now, entry.sent_at + REPEAT_SECONDS))
        return True

    def next(self, now: float) -> QueuedEvent | None:
        """The entry to send now: mostly urgent ones first, then the namespace that has waited longest, the longest due.

        In a turn of the other kind the namespace comes first, and urgent ones within it.
        """
        return min((entry for entry in self._entries.values() if entry.due <= now), key=self._turn, default=None)

    def next_due(self) -> float:
        """Time of the next due entry; infinite if there is none."""
        return min((entry.due for entry in self._entries.values()), default=math.inf)

    def sent(self, entry: QueuedEvent, now: float, *, event_name: str, count: int) -> None:
        """Record a successful send; an empty name means that another node's Event exists already."""
        entry.event_name, entry.count, entry.sent_at, entry.pending = event_name, count, now, 0
        self._turns += 1
        self._served[entry.event.namespace] = self._turns
        entry.due = math.inf
        if not entry.stands:
            self._idle[_key(entry.event)] = None
        else:
            entry.pending = 1
            entry.due = now + (RENEW_SECONDS if event_name else self._known_seconds)

    def postpone(self, entry: QueuedEvent, until: float) -> None:
        """Retry later."""
        entry.due = until

    def drop(self, entry: QueuedEvent) -> None:
        """Remove an entry."""
        self._forget(_key(entry.event))

    def _turn(self, entry: QueuedEvent) -> tuple[int, int, float]:
        served, calm = self._served.get(entry.event.namespace, 0), int(not entry.urgent)
        is_ordinary = self._turns % _ORDINARY_TURN == _ORDINARY_TURN - 1
        return (served, calm, entry.due) if is_ordinary else (calm, served, entry.due)

    def _stand(self, key: Key, event: PendingEvent, report: Report, now: float) -> None:
        entry = self._entries.get(key)
        if entry is None:
            self._add(event, now + self._stable_seconds, report=report)
            return
        entry.event, entry.report = event, report
        self._idle.pop(key, None)
        if not entry.stands:
            entry.stands, entry.pending = True, 1
            entry.due = max(now + self._stable_seconds, entry.sent_at + REPEAT_SECONDS)

    def _vanish(self, key: Key) -> None:
        """Mark as resolved; the Event's name is kept in case the problem returns."""
        entry = self._entries.get(key)
        if entry is None or not entry.stands:
            return
        entry.stands, entry.due, entry.pending, entry.report = False, math.inf, 0, None
        self._idle[key] = None
        if not entry.event_name:
            self._forget(key)

    def _add(self, event: PendingEvent, due: float, *, report: Report | None = None) -> bool:
        entry = QueuedEvent(event=event, due=due, stands=report is not None, report=report)
        if len(self._entries) >= self._capacity and not self._make_room(entry):
            self._leave_out(entry)
            return False
        self._entries[_key(event)] = self._of_namespace[event.namespace][_key(event)] = entry
        return True

    def _make_room(self, entry: QueuedEvent) -> bool:
        """Evict the oldest idle entry, else one of the namespace with the most entries."""
        oldest = next(iter(self._idle), None) or self._eviction_candidate(entry)
        if oldest is not None:
            self._leave_out(self._entries[oldest])
            self._forget(oldest)
        return oldest is not None

    def _eviction_candidate(self, entry: QueuedEvent) -> Key | None:
        """An entry less important than the new one: the newest of the largest namespace; never an urgent one."""
        own = self._of_namespace.get(entry.event.namespace, {})
        most = max(self._of_namespace.values(), key=len)
        if len(most) <= len(own):
            most = own
        if most is own and not entry.urgent:
            return None
        return next((key for key in reversed(most) if not most[key].urgent), None) or (
            None if most is own or not entry.urgent else next(reversed(most))
        )

    def _leave_out(self, entry: QueuedEvent) -> None:
        if entry.report is not None:
            self._left_out.append(entry.report)

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        self._idle.pop(key, None)
        if entry is not None:
            namespace = entry.event.namespace
            del self._of_namespace[namespace][key]
            if not self._of_namespace[namespace]:
                del self._of_namespace[namespace]
                self._served.pop(namespace, None)


def _key(event: PendingEvent) -> Key:
    return event.about, event.reason, event.sort
