"""The loop of a node: changes go from the source to the agent, outcomes from the agent to the observer.

No rules are written before the source has listed every kind once: the policies of a pod may not have been read yet
(S62). From then on every change is processed at once, with those that arrive meanwhile.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from mnp_core.agent.agent import Agent
from mnp_core.model import Change
from mnp_core.node.observer import NodeObserver
from mnp_core.turns import Turns

WATCH_INTERVAL_SECONDS: Final = 1.0  # between two polls of sandboxes without announcements
_LONGEST_PASS_SECONDS: Final = 1.0  # after which a pass is reported though operations are under way
_SLICE_SECONDS: Final = 0.05  # for changes, until results have their turn
_BATCH: Final = 16  # changes in one submission, of as many namespaces as wait
_MOST_WAITING: Final = 64  # changes, decoded: those of policies may take 100 KB each
_LONGEST_WAIT_SECONDS: Final = 1.0  # of a source for room; then it delivers all the same
_DRAIN_SECONDS: Final = 5.0  # for operations under way when the node stops


class Source(Protocol):
    """The methods of `mnp_core.sources.kubernetes.KubernetesSource` used by the loop."""

    def start(self) -> None:
        """Start delivery."""

    def stop(self) -> None:
        """Stop delivery."""

    @property
    def complete(self) -> bool:
        """Whether every existing object has been delivered once."""

    @property
    def waiting(self) -> Sequence[str]:
        """The awaited conditions, a sentence each."""


class NodeLoop:
    """Joins a source with an agent. `enqueue` is for the source's threads, `run` for the thread that owns the agent."""

    def __init__(self, agent: Agent, observer: NodeObserver, tend: Callable[[], None] = lambda: None) -> None:
        """Begin idle.

        Args:
            agent: The agent.
            observer: Observes it.
            tend: Called about every second.
        """
        self._agent = agent
        self._tend = tend
        self._observer = observer
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._queue: Turns[tuple[Change, float]] = Turns()
        self._sync_started = False
        self._stopped = False
        self._ready = False
        self._pass_since: float | None = None
        self._waiting: tuple[str, ...] = ()

    def enqueue(self, changes: Sequence[Change], received_at: float) -> None:
        """Take changes from a source, on any thread but the agent's; waits while many are waiting.

        Args:
            changes: In their order.
            received_at: When they arrived (time.monotonic).
        """
        with self._lock:
            self._room.wait_for(self._has_room, _LONGEST_WAIT_SECONDS)
            first = not self._queue
            for change in changes:
                self._queue.add(change.ref.name.namespace, [(change, received_at)])
        if first:
            self._agent.post(self._take_in)

    def _has_room(self) -> bool:
        """Before the first sync all changes are collected."""
        return len(self._queue) < _MOST_WAITING or not self._sync_started or self._stopped

    def stop(self) -> None:
        """Make `run` return soon; from any thread, also from a signal handler."""
        self._stopped = True
        self._agent.post(_nothing)

    def run(self, source: Source) -> None:
        """Enforce policy on the node until `stop`, and leave the rules in force (S62)."""
        source.start()
        try:
            self._wait_for(source)
            while not self._stopped:
                self._turn(source)
                self._report_waiting(source)
        finally:
            self._observer.stopping()
            source.stop()
            self._finish()

    def _wait_for(self, source: Source) -> None:
        """Collect changes until the source is complete, then submit them."""
        while not self._stopped and not source.complete:
            self._report_waiting(source)
            self._observer.heartbeat(self._agent)
            self._tend()
            self._agent.process(0.05)
        if not self._stopped:
            self._observer.sync_started()
            self._sync_started = True
            with self._lock:
                everything = self._queue.all()
            self._submit(everything)

    def _report_waiting(self, source: Source) -> None:
        if (sentences := tuple(source.waiting)) != self._waiting:
            self._waiting = sentences
            self._observer.waiting(sentences)

    def _turn(self, source: Source) -> None:
        """Process events until the next poll of the sandboxes is due."""
        until = time.monotonic() + WATCH_INTERVAL_SECONDS
        while not self._stopped and (now := time.monotonic()) < until:
            self._report_ready(source)
            self._agent.process(until - now)
            self._report_pass()
        self._agent.watch()
        self._tend()
        self._observer.heartbeat(self._agent)

    def _report_ready(self, source: Source) -> None:
        """At once: a gate and a rollout wait for it. What is not read for it comes first."""
        if not self._ready and self._sync_started and self._agent.synced_once:
            self._ready = True
            self._report_waiting(source)
            self._observer.ready()

    def _take_in(self) -> None:
        """Submit queued changes in batches, by turns of the namespaces; then yield to other work."""
        if not self._sync_started:
            return
        end = time.monotonic() + _SLICE_SECONDS
        while time.monotonic() < end:
            with self._lock:
                taken = self._queue.take(_BATCH)
                self._room.notify_all()
            if not taken:
                return
            self._submit(taken)
        self._agent.post(self._take_in)

    def _submit(self, taken: list[tuple[Change, float]]) -> None:
        received_at = min((each for _, each in taken), default=None)
        self._agent.submit([change for change, _ in taken], received_at)

    def _report_pass(self) -> None:
        """Report the outcomes of changes when all are done, or when that takes long; many reports in parts."""
        now = time.monotonic()
        if self._agent.busy and self._pass_since is None:
            self._pass_since = now
        if self._agent.busy and self._pass_since is not None and now - self._pass_since < _LONGEST_PASS_SECONDS:
            return
        self._pass_since = None
        if (sync := self._agent.take_sync()) is not None:
            self._observer.synced(sync)
        if self._agent.has_reports:
            self._pass_since = now - _LONGEST_PASS_SECONDS
            self._agent.post(_nothing)  # wakes up the loop: there are more

    def _finish(self) -> None:
        """Complete the operations under way; start no new ones."""
        end = time.monotonic() + _DRAIN_SECONDS
        self._agent.drain()
        while self._agent.busy and time.monotonic() < end:
            self._agent.process(end - time.monotonic())
        self._report_pass()


def _nothing() -> None:
    """A no-op that wakes up the agent."""
