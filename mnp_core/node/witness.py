"""Tells telemetry and plugins how the node is doing."""

import time
from collections.abc import Sequence
from typing import Final

import structlog

from mnp_core.agent.agent import Agent
from mnp_core.api import Outcome, Sync
from mnp_core.node.memory import tidy
from mnp_core.plugins import Registry
from mnp_core.telemetry.health import Health, Unready
from mnp_core.telemetry.telemetry import Telemetry

_CALM: Final = 3.0  # seconds without anything to do, after which memory is given back
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


class NodeWitness:
    """A `mnp_core.node.loop.Witness` that has telemetry and plugins told."""

    def __init__(self, telemetry: Telemetry, health: Health, registry: Registry) -> None:
        """Start.

        Args:
            telemetry: Metrics, log and Events.
            health: What probes ask.
            registry: Its observers are told.
        """
        self._telemetry = telemetry
        self._health = health
        self._registry = registry
        self._begun = False
        self._busy_until: float | None = None  # None: nothing has happened since memory was given back

    def outcome(self, outcome: Outcome) -> None:
        """What became of one pod."""
        self._telemetry.outcome(outcome)
        if outcome.latency is not None:
            self._telemetry.enforced(outcome.latency)
        self._registry.observe_outcome(outcome)

    def waiting(self, sentences: Sequence[str]) -> None:
        """What the source waits for has changed. Once everything was told the node stays ready: rules are in force."""
        text = "; ".join(sentences)
        if not self._begun:
            self._health.not_ready(Unready.WAITING_FOR_API_SERVER, text or "the first lists are being read")
        if sentences:
            _log.info("waiting for the API server", waiting=text)
        else:
            _log.info("waiting for nothing any more")

    def began(self) -> None:
        """Everything is known."""
        self._begun = True
        self._health.not_ready(Unready.FIRST_SYNC, "what was found in the pods is compared with what policies say")

    def ready(self) -> None:
        """Every pod has been seen to."""
        self._health.ready()
        tidy()
        _log.info("ready")

    def stopping(self) -> None:
        """The node stops; rules stay in force."""
        self._health.not_ready(Unready.STOPPING, "rules stay in force")
        _log.info("stopping, rules stay in force")

    def alive(self, agent: Agent) -> None:
        """The loop goes round."""
        self._health.beat()
        if self._busy_until is not None and time.monotonic() > self._busy_until + _CALM:
            self._busy_until = None
            tidy()
        sizes = agent.cluster.group_sizes
        self._telemetry.state(
            pods=agent.enforced,
            policies=agent.cluster.policies,
            groups=len(sizes),
            members=sum(sizes.values()),
        )

    def synced(self, sync: Sync) -> None:
        """A pass is over."""
        self._busy_until = time.monotonic()
        self._telemetry.sync(sync)
        self._registry.observe_sync(sync)
