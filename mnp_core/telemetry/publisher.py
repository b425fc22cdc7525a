"""Publishes the node's summary for `mnp aggregate`: seldom, spread over the nodes, and only what has changed.

A change of a policy concerns the summary of every node, as each has to confirm it: nodes write within one interval,
each at a moment of its own. Nothing is written on the node's loop.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import quote

import structlog

from mnp_core.api import Outcome, Sync
from mnp_core.closing import Closing
from mnp_core.conditions.summary import SUMMARY, NodeSummary, encode
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi.pause import Pause
from mnp_core.lasting import WokenThread
from mnp_core.telemetry.sink import Sink

RENEW_SECONDS: Final = 300.0
"""An unchanged summary is renewed after 0.8 to 1 times as long."""

_SETTLE_SECONDS: Final = 5.0  # for operations under way, so that they are not published as pending
_ABSENT_SECONDS: Final = 300.0  # until a missing definition is looked for again
_FORBIDDEN_SECONDS: Final = 3600.0
_LONGEST_PAUSE_SECONDS: Final = 120.0
_CLOSE_TIMEOUT_SECONDS: Final = 2.0
_API_VERSION: Final = f"{SUMMARY.group}/{SUMMARY.versions[0]}"
_PATH: Final = f"/apis/{_API_VERSION}/{SUMMARY.plural}"

_log = structlog.stdlib.get_logger(__name__)


class SummaryApi(Protocol):
    """The methods of `mnp_core.kubeapi.ApiServer` used here."""

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Create."""

    def patch(self, path: str, body: Mapping[str, object]) -> bytes:
        """Apply a merge patch."""


class View(Protocol):
    """The policies of the node at one moment."""

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""

    def summarize(self) -> NodeSummary:
        """Count them; called on the publisher's thread."""


class StatusPublisher(Sink, Closing):
    """A sink that looks at the node when something has changed, and writes on a thread of its own."""

    def __init__(
        self,
        *,
        api: SummaryApi,
        node: str,
        fingerprint: Callable[[], int | None],
        look: Callable[[], View],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Start the thread.

        Args:
            api: The API server.
            node: Name of this node.
            fingerprint: Of the policies that the node knows; None until it has read them all. Called about every
                second by the node's loop.
            look: Takes a snapshot; called by the node's loop.
            interval: Seconds between two summaries at least.
            clock: Seconds, monotonic.
            chance: From 0 to 1, to spread the nodes.
        """
        self._look, self._fingerprint, self._interval = look, fingerprint, interval
        self._clock, self._chance = clock, chance
        self._changed, self._known = True, -1
        self._due, self._looked_at = math.inf, -math.inf
        self._sender = SummarySender(api, node, clock, chance)
        self._view: View | None = None
        self._lock = threading.Lock()
        self.thread = WokenThread("status", self._send)
        self.thread.start()

    def outcome(self, outcome: Outcome) -> None:
        """A pod has changed."""
        if not outcome.transient:
            self._changed = True

    def sync(self, sync: Sync) -> None:
        """Reports have changed."""
        if sync.appeared or sync.vanished:
            self._changed = True

    def state(self, *, pods: int, policies: int, groups: int, members: int) -> None:  # noqa: ARG002 # the sink's
        """Take a snapshot if one is due."""
        now, known = self._clock(), self._fingerprint()
        if known is None:
            return
        if (self._changed or known != self._known) and self._due == math.inf:
            self._due = max(now + self._chance() * self._interval, self._looked_at + self._interval)
        if now < self._due:
            return
        view = self._look()
        if not view.settled and now < self._due + _SETTLE_SECONDS:
            return
        self._changed, self._known, self._due, self._looked_at = False, known, math.inf, now
        with self._lock:
            self._view = view
        self.thread.wake()

    def close(self) -> None:
        """Stop; a hanging request is abandoned. The summary stays: the rules do, too."""
        self.thread.close(_CLOSE_TIMEOUT_SECONDS)

    def _send(self) -> float:
        with self._lock:
            view, self._view = self._view, None
        if view is not None:
            self._sender.put(view.summarize())
        return self._sender.send()


class SummarySender:
    """Writes the last summary, renews it, and backs off. Not thread-safe."""

    def __init__(
        self, api: SummaryApi, node: str, clock: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        """Begin without a summary."""
        self._api, self._node, self._clock, self._chance = api, node, clock, chance
        self._wanted: dict[str, object] | None = None
        self._sent: dict[str, object] | None = None
        self._renew_at, self._pause = math.inf, Pause(_LONGEST_PAUSE_SECONDS, chance)
        self._said = ""

    def put(self, summary: NodeSummary) -> None:
        """Replace the summary to be written."""
        self._wanted = encode(summary)

    def send(self) -> float:
        """Write it if it has changed or is to be renewed; returns seconds until the next call."""
        now = self._clock()
        if self._wanted is None or (self._wanted == self._sent and now < self._renew_at):
            return self._renew_at - now
        if now < self._pause.until:
            return self._pause.until - now
        try:
            self._write(self._wanted)
        except ApiUnreachableError as error:
            self._hold(now, str(error), None)
        except ApiError as error:
            self._refused(now, error)
        else:
            self._sent, self._said = self._wanted, ""
            self._pause.succeeded()
            self._renew_at = now + RENEW_SECONDS * (1.0 - 0.2 * self._chance())
            return self._renew_at - now
        return self._pause.until - now

    def _write(self, summary: dict[str, object]) -> None:
        body = {"summary": {**summary, "renewed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}
        try:
            self._api.patch(f"{_PATH}/{quote(self._node, safe='')}", body)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            head = {"apiVersion": _API_VERSION, "kind": SUMMARY.kind, "metadata": {"name": self._node}}
            self._api.post(_PATH, {**head, **body})

    def _refused(self, now: float, error: ApiError) -> None:
        if error.status == HTTPStatus.NOT_FOUND:
            self._pause.spread(now, _ABSENT_SECONDS)
            remedy = "apply deploy/nodepolicysummaries.yml, or set publish-status: false"
            self._say("absent", "summaries are not served", remedy)
        elif error.status == HTTPStatus.FORBIDDEN:
            self._pause.spread(now, _FORBIDDEN_SECONDS)
            remedy = "use the kustomize component status"
            self._say("forbidden", "the summary is forbidden", remedy, error=error.message)
        elif error.status == HTTPStatus.CONFLICT:  # created meanwhile
            self._hold(now, str(error), 0.0)
        else:
            self._hold(now, str(error), error.retry_after)

    def _say(self, problem: str, sentence: str, remedy: str, **more: str) -> None:
        """Log a standing problem once."""
        if problem != self._said:
            self._said = problem
            _log.warning(sentence, remedy=remedy, **more)

    def _hold(self, now: float, why: str, retry_after: float | None) -> None:
        self._pause.failed(now, retry_after)
        _log.debug("summary not written", error=why)
