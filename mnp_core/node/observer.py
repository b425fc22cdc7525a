"""Observes the node's loop, its agent and its source: one fan-out to sinks, and the state for probes."""

import time
from collections.abc import Sequence
from typing import Final

import structlog

from mnp_core.agent.agent import Agent
from mnp_core.api import Admission, Outcome, Sync
from mnp_core.classes import frozen
from mnp_core.node.memory import release_memory
from mnp_core.plugins import Registry
from mnp_core.telemetry.health import Health, Unready
from mnp_core.telemetry.sink import Sink

_IDLE_SECONDS: Final = 3.0  # after which memory is released
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


@frozen
class PluginSink(Sink):
    """The observers that plugins register."""

    registry: Registry

    def outcome(self, outcome: Outcome) -> None:
        """Call `mnp_observe_outcome`."""
        self.registry.observe_outcome(outcome)

    def sync(self, sync: Sync) -> None:
        """Call `mnp_observe_sync`."""
        self.registry.observe_sync(sync)


class NodeObserver:
    """Distributes observations to sinks, and answers probes."""

    def __init__(self, sinks: Sequence[Sink], health: Health) -> None:
        """Begin not ready.

        Args:
            sinks: In the order of delivery.
            health: The answers to probes.
        """
        self._sinks = tuple(sinks)
        self._health = health
        self._sync_started = False
        self._busy_until: float | None = None  # None: idle since the last release of memory

    def add(self, *sinks: Sink) -> None:
        """Add sinks, before the node runs."""
        self._sinks = (*self._sinks, *sinks)

    def outcome(self, outcome: Outcome) -> None:
        """An operation in a pod is over."""
        for sink in self._sinks:
            sink.outcome(outcome)

    def waiting(self, sentences: Sequence[str]) -> None:
        """Report the source's awaited conditions. After the first sync the node stays ready: rules are in force."""
        text = "; ".join(sentences)
        if not self._sync_started:
            self._health.not_ready(Unready.WAITING_FOR_API_SERVER, text or "the first lists are being read")
        if sentences:
            _log.info("waiting for the API server", waiting=text)
        else:
            _log.info("all kinds synced")

    def sync_started(self) -> None:
        """The source is complete, and the first sync has started."""
        self._sync_started = True
        self._health.not_ready(Unready.FIRST_SYNC, "the rules in the pods are compared with the policies")

    def ready(self) -> None:
        """An operation was tried to the end in every pod."""
        self._health.ready()
        release_memory()
        _log.info("ready")

    def stopping(self) -> None:
        """The node stops; rules stay in force."""
        self._health.not_ready(Unready.STOPPING, "rules stay in force")
        _log.info("stopping, rules stay in force")

    def heartbeat(self, agent: Agent) -> None:
        """A turn of the loop; at least every few seconds."""
        self._health.beat()
        if self._busy_until is not None and time.monotonic() > self._busy_until + _IDLE_SECONDS:
            self._busy_until = None
            release_memory()
        sizes = agent.cluster.group_sizes
        policies, members = agent.cluster.policies, sum(sizes.values())
        for sink in self._sinks:
            sink.state(pods=agent.enforced, policies=policies, groups=len(sizes), members=members)

    def synced(self, sync: Sync) -> None:
        """A pass is over."""
        self._busy_until = time.monotonic()
        for sink in self._sinks:
            sink.sync(sync)

    def start_held(self, admission: Admission, seconds: float) -> None:
        """A gate has its answer."""
        for sink in self._sinks:
            sink.start_held(admission, seconds)

    def gate_state(self, gate: str, *, connected: bool) -> None:
        """Record whether a gate holds pod starts."""
        for sink in self._sinks:
            sink.gate_state(gate, connected=connected)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Record the restart of a watch."""
        for sink in self._sinks:
            sink.watch_restarted(kind, cause)

    def listed(self, kind: str, count: int) -> None:
        """Record a complete list of a kind."""
        for sink in self._sinks:
            sink.listed(kind, count)

    def refused(self, kind: str, sentence: str) -> None:
        """Record a refused read of a kind."""
        for sink in self._sinks:
            sink.refused(kind, sentence)
