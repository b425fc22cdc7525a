"""Brings notices to the API server, one request a step, at a pace that nobody minds.

A thousand nodes see the same malformed policy. The name of its Event follows from what it says, so one of them makes
it, the others are told that it exists and leave it at that; who made it renews it.
"""

import math
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
from mnp_core.model import ObjectRef, Report
from mnp_core.telemetry.events.bucket import TokenBucket
from mnp_core.telemetry.events.ledger import KNOWN, Entry, Ledger
from mnp_core.telemetry.events.notice import Fate, Identity, Notice

SETTLE: Final = 3.0  # seconds that something has to stand; up to twice that, different on each node
FORBIDDEN: Final = 3600.0  # seconds without a try after RBAC refused one
_UNKNOWN: Final = 60.0  # seconds until an object that was not known is sought again
_RATE, _BURST = 5.0, 20  # requests a second, of this node
_OBJECT_RATE, _OBJECT_BURST = 1 / 60, 25  # likewise for one object
_LONGEST_BACKOFF: Final = 60.0
_LONGEST_RETRY_AFTER: Final = 600.0
_MANY: Final = 4096  # objects that are kept in mind

_log = structlog.stdlib.get_logger(__name__)


class EventApi(Protocol):
    """What is needed of `mnp_core.kubeapi.ApiServer`."""

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Create."""

    def patch(self, path: str, body: Mapping[str, object]) -> bytes:
        """Change, by a merge patch."""


Identify = Callable[[ObjectRef], Identity | None]
"""Finds an object's identity; None if it is not known. Called on the recorder's thread."""


class Herald:
    """Takes in what is the case and what happened, and tells it step by step. Belongs to one thread."""

    def __init__(
        self,
        *,
        api: EventApi,
        identify: Identify,
        node: str,
        counted: Callable[[Fate], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing to tell.

        Args:
            api: The API server.
            identify: Finds the identity of objects.
            node: Name of this node.
            counted: Told what became of each notice, in one word (docs/operations.md).
            clock: Seconds, monotonic.
            wall: Seconds since the epoch.
        """
        self._api, self._identify, self._node, self._counted = api, identify, node, counted
        self._clock, self._wall = clock, wall
        spread = zlib.crc32(node.encode(errors="backslashreplace")) / 2**32
        self._run = f"{node} {wall()}"
        self._ledger = Ledger(settle=SETTLE * (1 + spread), spread=spread)
        self._waiting: dict[Report, None] = {}  # there was no room for these
        self._pace = TokenBucket(rate=_RATE, burst=_BURST, now=clock())
        self._objects: OrderedDict[ObjectRef, TokenBucket] = OrderedDict()
        self._spread, self._backoff, self._resume = spread, 0.0, -math.inf

    def change(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Take in which problems stand now that did not before, and which do not any more.

        What there is no room for waits for some, and so does what has to make room for others.
        """
        now = self._clock()
        told = [report for report in vanished if report not in self._waiting]
        for report in vanished:
            self._waiting.pop(report, None)
        self._ledger.change(appeared, told, now)
        for report in self._ledger.left_out():
            self._waiting[report] = None
            self._counted(Fate.DROPPED)
        waiting = tuple(islice(self._waiting, max(0, self._ledger.room)))
        for report in waiting:
            del self._waiting[report]
        self._ledger.change(waiting, (), now)

    def happened(self, outcome: Outcome) -> None:
        """Take in drift that was mended."""
        if not self._ledger.happened(Notice.of_drift(outcome, self._run), self._clock()):
            self._counted(Fate.DROPPED)

    def step(self) -> float:
        """Tell one thing, if anything is due: one request at most.

        Returns:
            Seconds until there will be something to do; 0 if there is, infinite if nothing is known that will.
        """
        now = self._clock()
        if now < self._resume:
            return self._resume - now
        entry = self._ledger.next(now)
        if entry is None:
            return self._ledger.next_due() - now
        if wait := self._pace.wait(now):
            return wait
        self._consider(entry, now)
        return 0.0

    def _consider(self, entry: Entry, now: float) -> None:
        """Tell it, unless nobody knows what it is about, or too much was said of that already."""
        try:
            identity = self._identify(entry.notice.about)
            bucket = self._bucket(entry.notice.about, now)
            if identity is None:
                self._put_off(entry, now + _UNKNOWN)
            elif not bucket.take(now):
                self._counted(Fate.LIMITED)
                self._put_off(entry, now + bucket.wait(now))
            else:
                self._pace.take(now)
                self._tell(entry, identity, now)
        except Exception:  # noqa: BLE001 - whatever it is, it concerns this notice alone
            _log.exception("no event could be made", object=str(entry.notice.about))
            self._put_off(entry, now + KNOWN)

    def _put_off(self, entry: Entry, until: float) -> None:
        """What stands can wait, what happened is of no interest later."""
        if entry.stands:
            self._ledger.postpone(entry, until)
        else:
            self._ledger.drop(entry)

    def _bucket(self, about: ObjectRef, now: float) -> TokenBucket:
        bucket = self._objects.pop(about, None) or TokenBucket(rate=_OBJECT_RATE, burst=_OBJECT_BURST, now=now)
        self._objects[about] = bucket
        if len(self._objects) > _MANY:
            self._objects.popitem(last=False)
        return bucket

    def _tell(self, entry: Entry, identity: Identity, now: float) -> None:
        try:
            self._send(entry, identity, now)
        except ApiUnreachableError:
            self._hold(now, None)
        except ApiError as error:
            self._refused(entry, error, now)
        else:
            self._backoff = 0.0

    def _send(self, entry: Entry, identity: Identity, now: float) -> None:
        name = entry.notice.event_name(identity)
        if entry.event == name and self._repeat(entry, name, now):
            return
        path, time = _path(entry.notice), self._timestamp()
        try:
            self._api.post(path, entry.notice.event(identity, node=self._node, time=time, count=entry.pending))
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._ledger.told(entry, now, event="", count=0)
            self._counted(Fate.KNOWN)
        else:
            self._ledger.told(entry, now, event=name, count=entry.pending)
            self._counted(Fate.CREATED)

    def _repeat(self, entry: Entry, name: str, now: float) -> bool:
        """Say in the Event that it is so again; False if the Event is not there any more."""
        count = entry.count + entry.pending
        try:
            self._api.patch(
                f"{_path(entry.notice)}/{quote(name, safe='')}",
                entry.notice.again(time=self._timestamp(), count=count),
            )
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        self._ledger.told(entry, now, event=name, count=count)
        self._counted(Fate.REPEATED)
        return True

    def _refused(self, entry: Entry, error: ApiError, now: float) -> None:
        """Decide whether the time is wrong, the rights, or the notice."""
        passing = {HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
        if error.status in passing or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._hold(now, error.retry_after)
            return
        self._counted(Fate.REFUSED)
        if error.status == HTTPStatus.FORBIDDEN and _lacks_right(error):
            self._resume = now + FORBIDDEN
            advice = "allow create and patch of events in the ClusterRole; tried again in an hour"
            _log.warning("events are forbidden", error=error.message, remedy=advice)
        else:  # a namespace that is being deleted, a quota, an admission webhook
            _log.debug("event refused", object=str(entry.notice.about), error=str(error))
            self._put_off(entry, now + KNOWN)

    def _hold(self, now: float, retry_after: float | None) -> None:
        """Leave the API server alone for a while, longer each time."""
        self._counted(Fate.FAILED)
        self._backoff = min(max(1.0, self._backoff * 2), _LONGEST_BACKOFF)
        asked = min(retry_after or 0.0, _LONGEST_RETRY_AFTER)
        self._resume = now + max(self._backoff * (0.5 + self._spread), asked)

    def _timestamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))


def _path(notice: Notice) -> str:
    return f"/api/v1/namespaces/{quote(notice.namespace, safe='')}/events"


def _lacks_right(error: ApiError) -> bool:
    """Whether it is RBAC that refuses: other refusals have the same status, but concern one namespace."""
    return "cannot create resource" in error.message or "cannot patch resource" in error.message
