"""Records Events without blocking the node's loop: a bounded queue and a sender thread."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from mnp_core.api import Outcome, Sync
from mnp_core.closing import Closing
from mnp_core.lasting import WokenThread
from mnp_core.model import Report
from mnp_core.telemetry.events.event import EventResult
from mnp_core.telemetry.events.sender import EventApi, EventSender, Identify
from mnp_core.telemetry.sink import Sink, problems

COLLECT_SECONDS: Final = 1.0  # to batch changes
_MAX_QUEUED_OUTCOMES: Final = 1000  # outcomes
_CLOSE_TIMEOUT_SECONDS: Final = 2.0  # for a request in flight


class EventRecorder(Sink, Closing):
    """Called by the node's loop, and never blocks it: all requests are made on a thread of its own.

    Standing problems are kept as differences, occurrences in a bounded queue.
    """

    def __init__(
        self,
        *,
        api: EventApi,
        identify: Identify,
        node: str,
        counted: Callable[[EventResult], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread.

        Args:
            api: The API server.
            identify: Finds an object's ``apiVersion`` and ``uid``; called on the recorder's thread.
            node: Name of this node.
            counted: Called with the result of each Event; `Metrics.event`.
            clock: Seconds, monotonic.
        """
        self._sender = EventSender(api=api, identify=identify, node=node, counted=counted, clock=clock)
        self._counted = counted
        self._lock = threading.Lock()
        self._changed: dict[Report, bool] = {}  # True if it stands
        self._outcomes: deque[Outcome] = deque()
        self.thread = WokenThread("events", self._send, collect_seconds=COLLECT_SECONDS)
        self.thread.start()

    def reports(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Record new and resolved problems."""
        if not (appeared or vanished):
            return
        with self._lock:
            self._changed.update(dict.fromkeys(vanished, False))
            self._changed.update(dict.fromkeys(appeared, True))
        self.thread.wake()

    def sync(self, sync: Sync) -> None:
        """Record the problems that a pass found or resolved."""
        self.reports(problems(sync.appeared), problems(sync.vanished))

    def outcome(self, outcome: Outcome) -> None:
        """Record drift; other outcomes are ignored, since lasting failures are reported as standing problems."""
        if not outcome.drifted:
            return
        with self._lock:
            room = len(self._outcomes) < _MAX_QUEUED_OUTCOMES
            if room:
                self._outcomes.append(outcome)
        if room:
            self.thread.wake()
        else:
            self._counted(EventResult.DROPPED)

    def close(self) -> None:
        """Stop; a hanging request is abandoned."""
        self.thread.close(_CLOSE_TIMEOUT_SECONDS)

    def _send(self) -> float:
        self._take_in()
        return self._sender.send_next()

    def _take_in(self) -> None:
        with self._lock:
            changed, self._changed = self._changed, {}
            outcomes, self._outcomes = self._outcomes, deque()
        if changed:
            self._sender.set_standing(
                [report for report, stands in changed.items() if stands],
                [report for report, stands in changed.items() if not stands],
            )
        for outcome in outcomes:
            self._sender.record(outcome)
