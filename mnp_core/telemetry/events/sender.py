"""Sends Events to the API server, rate-limited, one request per call.

A thousand nodes may report the same malformed policy. The Event's name is derived from its content, so one node creates
it and renews it, and the others get a conflict and stop.
"""

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Final, Protocol
from urllib.parse import quote

import structlog

from mnp_core.api import Outcome
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi.pause import Pause
from mnp_core.model import ObjectRef, Report
from mnp_core.telemetry.events.bucket import TokenBucket
from mnp_core.telemetry.events.event import EventResult, Identity, PendingEvent
from mnp_core.telemetry.events.queue import KNOWN_SECONDS, EventQueue, QueuedEvent

STABLE_SECONDS: Final = 3.0  # before a standing problem is sent; up to twice that, different on each node
FORBIDDEN_PAUSE_SECONDS: Final = 3600.0  # after a refusal by RBAC
_UNKNOWN_OBJECT_SECONDS: Final = 60.0  # until an unknown object is looked up again
_REQUESTS_PER_SECOND, _REQUEST_BURST = 5.0, 20  # of this node
_OBJECT_EVENTS_PER_SECOND, _OBJECT_BURST = 1 / 60, 25  # of one object
_LONGEST_PAUSE_SECONDS: Final = 60.0
_MAX_OBJECT_BUCKETS: Final = 4096

_log = structlog.stdlib.get_logger(__name__)


class EventApi(Protocol):
    """The methods of `mnp_core.kubeapi.ApiServer` used here."""

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Create."""

    def patch(self, path: str, body: Mapping[str, object]) -> bytes:
        """Apply a merge patch."""


Identify = Callable[[ObjectRef], Identity | None]
"""Looks up an object's identity; None if unknown. Called on the recorder's thread."""


class EventSender:
    """Records standing problems and occurrences, and sends them one by one. Not thread-safe."""

    def __init__(
        self,
        *,
        api: EventApi,
        identify: Identify,
        node: str,
        counted: Callable[[EventResult], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start with an empty queue.

        Args:
            api: The API server.
            identify: Looks up the identity of objects.
            node: Name of this node.
            counted: Called with the result of each Event (docs/operations.md).
            clock: Seconds, monotonic.
            wall: Seconds since the epoch.
        """
        self._api, self._identify, self._node, self._counted = api, identify, node, counted
        self._clock, self._wall = clock, wall
        spread = zlib.crc32(node.encode(errors="backslashreplace")) / 2**32
        self._run = f"{node} {wall()}"
        self._queue = EventQueue(stable_seconds=STABLE_SECONDS * (1 + spread), spread=spread)
        self._waiting: dict[Report, None] = {}  # standing problems that found no room
        self._pace = TokenBucket(rate=_REQUESTS_PER_SECOND, burst=_REQUEST_BURST, now=clock())
        self._objects: OrderedDict[ObjectRef, TokenBucket] = OrderedDict()
        self._pause = Pause(_LONGEST_PAUSE_SECONDS, lambda: spread)

    def set_standing(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Record new and resolved problems.

        Problems that find no room, or are evicted, wait until there is some.
        """
        now = self._clock()
        queued = [report for report in vanished if report not in self._waiting]
        for report in vanished:
            self._waiting.pop(report, None)
        self._queue.set_standing(appeared, queued, now)
        for report in self._queue.left_out():
            self._waiting[report] = None
            self._counted(EventResult.DROPPED)
        waiting = tuple(islice(self._waiting, max(0, self._queue.room)))
        for report in waiting:
            del self._waiting[report]
        self._queue.set_standing(waiting, (), now)

    def record(self, outcome: Outcome) -> None:
        """Record corrected drift."""
        if not self._queue.record(PendingEvent.of_drift(outcome, self._run), self._clock()):
            self._counted(EventResult.DROPPED)

    def send_next(self) -> float:
        """Send the next due Event: one request at most.

        Returns:
            Seconds until the next call is due; infinite if nothing is queued.
        """
        now = self._clock()
        if now < self._pause.until:
            return self._pause.until - now
        entry = self._queue.next(now)
        if entry is None:
            return self._queue.next_due() - now
        if wait := self._pace.wait(now):
            return wait
        self._consider(entry, now)
        return 0.0

    def _consider(self, entry: QueuedEvent, now: float) -> None:
        """Send it, unless its object is unknown or has reached its rate limit."""
        try:
            identity = self._identify(entry.event.about)
            bucket = self._bucket(entry.event.about, now)
            if identity is None:
                self._put_off(entry, now + _UNKNOWN_OBJECT_SECONDS)
            elif not bucket.take(now):
                self._counted(EventResult.LIMITED)
                self._put_off(entry, now + bucket.wait(now))
            else:
                self._pace.take(now)
                self._tell(entry, identity, now)
        except Exception:  # noqa: BLE001 - an error concerns this Event alone
            _log.exception("event not created", object=str(entry.event.about))
            self._put_off(entry, now + KNOWN_SECONDS)

    def _put_off(self, entry: QueuedEvent, until: float) -> None:
        """Postpone a standing problem; drop an occurrence."""
        if entry.stands:
            self._queue.postpone(entry, until)
        else:
            self._queue.drop(entry)

    def _bucket(self, about: ObjectRef, now: float) -> TokenBucket:
        bucket = self._objects.pop(about, None) or TokenBucket(
            rate=_OBJECT_EVENTS_PER_SECOND, burst=_OBJECT_BURST, now=now
        )
        self._objects[about] = bucket
        if len(self._objects) > _MAX_OBJECT_BUCKETS:
            self._objects.popitem(last=False)
        return bucket

    def _tell(self, entry: QueuedEvent, identity: Identity, now: float) -> None:
        try:
            self._send(entry, identity, now)
        except ApiUnreachableError:
            self._hold(now, None)
        except ApiError as error:
            self._refused(entry, error, now)
        else:
            self._pause.succeeded()

    def _send(self, entry: QueuedEvent, identity: Identity, now: float) -> None:
        name = entry.event.event_name(identity)
        if entry.event_name == name and self._repeat(entry, name, now):
            return
        path, time = _path(entry.event), self._timestamp()
        try:
            self._api.post(path, entry.event.body(identity, node=self._node, time=time, count=entry.pending))
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._queue.sent(entry, now, event_name="", count=0)
            self._counted(EventResult.KNOWN)
        else:
            self._queue.sent(entry, now, event_name=name, count=entry.pending)
            self._counted(EventResult.CREATED)

    def _repeat(self, entry: QueuedEvent, name: str, now: float) -> bool:
        """Raise the Event's count; False if the Event has expired."""
        count = entry.count + entry.pending
        try:
            self._api.patch(
                f"{_path(entry.event)}/{quote(name, safe='')}",
                entry.event.patch(time=self._timestamp(), count=count),
            )
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        self._queue.sent(entry, now, event_name=name, count=count)
        self._counted(EventResult.REPEATED)
        return True

    def _refused(self, entry: QueuedEvent, error: ApiError, now: float) -> None:
        """Handle a refusal: temporary, missing permission, or permanent for this Event."""
        passing = {HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
        if error.status in passing or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._hold(now, error.retry_after)
            return
        self._counted(EventResult.REFUSED)
        if error.status == HTTPStatus.FORBIDDEN and _lacks_right(error):
            self._pause.hold(now, FORBIDDEN_PAUSE_SECONDS)
            advice = "allow create and patch of events in the ClusterRole; tried again in an hour"
            _log.warning("events are forbidden", error=error.message, remedy=advice)
        else:  # a namespace that is being deleted, a quota, an admission webhook
            _log.debug("event refused", object=str(entry.event.about), error=str(error))
            self._put_off(entry, now + KNOWN_SECONDS)

    def _hold(self, now: float, retry_after: float | None) -> None:
        self._counted(EventResult.FAILED)
        self._pause.failed(now, retry_after)

    def _timestamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))


def _path(event: PendingEvent) -> str:
    return f"/api/v1/namespaces/{quote(event.namespace, safe='')}/events"


def _lacks_right(error: ApiError) -> bool:
    """Whether RBAC refused: other refusals have the same status, but concern one namespace."""
    return "cannot create resource" in error.message or "cannot patch resource" in error.message
