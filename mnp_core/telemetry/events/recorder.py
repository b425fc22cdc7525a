"""The thread that Events are made on, and the little that crosses over to it."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from mnp_core.api import Outcome
from mnp_core.lasting import LastingThread
from mnp_core.model import Report
from mnp_core.telemetry.events.herald import EventApi, Herald, Identify
from mnp_core.telemetry.events.notice import Fate

PACE: Final = 1.0  # seconds for which news are collected
_LONGEST_QUEUE: Final = 1000  # outcomes
_PATIENCE: Final = 2.0  # seconds for a request that is on its way when it is closed


class EventRecorder:
    """Told by the node's loop, which never waits for it: all work and all requests are done on a thread of its own.

    Of what stands only the difference is kept, of what happened so much that it fits into a bounded queue.
    """

    def __init__(
        self,
        *,
        api: EventApi,
        identify: Identify,
        node: str,
        counted: Callable[[Fate], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start.

        Args:
            api: The API server.
            identify: Finds an object's ``apiVersion`` and ``uid``; called on the recorder's thread.
            node: Name of this node.
            counted: Told what became of each Event, in one word; `Metrics.event`.
            clock: Seconds, monotonic.
        """
        self._herald = Herald(api=api, identify=identify, node=node, counted=counted, clock=clock)
        self._counted = counted
        self._lock = threading.Lock()
        self._changed: dict[Report, bool] = {}  # whether it stands now
        self._outcomes: deque[Outcome] = deque()
        self._news, self._closed = threading.Event(), threading.Event()
        self.thread = LastingThread("events", self._run)
        self.thread.start()

    def reports(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Take in which problems stand now that did not before, and which do not any more."""
        if not (appeared or vanished):
            return
        with self._lock:
            self._changed.update(dict.fromkeys(vanished, False))
            self._changed.update(dict.fromkeys(appeared, True))
        self._news.set()

    def outcome(self, outcome: Outcome) -> None:
        """Take in what became of an attempt; only drift is told, as failures that last are among what stands."""
        if not outcome.drifted:
            return
        with self._lock:
            room = len(self._outcomes) < _LONGEST_QUEUE
            if room:
                self._outcomes.append(outcome)
        if room:
            self._news.set()
        else:
            self._counted(Fate.DROPPED)

    def close(self) -> None:
        """Tell no more; a request that hangs is left to itself."""
        self._closed.set()
        self._news.set()
        self.thread.join(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        pause = math.inf
        while self._rest(pause):
            self._take_in()
            pause = self._herald.step()

    def _rest(self, pause: float) -> bool:
        """Wait for news, or until there is something to do; False if it was closed."""
        if pause > 0:
            self._news.wait(None if math.isinf(pause) else pause)
        if self._news.is_set() and pause > 0:
            self._closed.wait(min(PACE, pause))
        return not self._closed.is_set()

    def _take_in(self) -> None:
        with self._lock:
            self._news.clear()
            changed, self._changed = self._changed, {}
            outcomes, self._outcomes = self._outcomes, deque()
        if changed:
            self._herald.change(
                [report for report, stands in changed.items() if stands],
                [report for report, stands in changed.items() if not stands],
            )
        for outcome in outcomes:
            self._herald.happened(outcome)
