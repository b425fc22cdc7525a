"""Distributes observations of the node's loop and its source to metrics, log and Events."""

from collections.abc import Sequence

from mnp_core.api import Outcome, Sync
from mnp_core.model import Report, Severity
from mnp_core.telemetry.change_log import ChangeLog
from mnp_core.telemetry.events import EventRecorder
from mnp_core.telemetry.metrics import Metrics


class Telemetry:
    """Observes agent and source. Never blocks."""

    def __init__(self, *, metrics: Metrics, change_log: ChangeLog, events: EventRecorder | None = None) -> None:
        """Combine the sinks.

        Args:
            metrics: Prometheus metrics.
            change_log: Log lines.
            events: Kubernetes Events; None without an API server.
        """
        self.metrics = metrics
        self._change_log = change_log
        self._events = events

    def outcome(self, outcome: Outcome) -> None:
        """Record the outcome of one pod's operation."""
        self.metrics.outcome(outcome)
        if outcome.latency is not None:
            self.enforced(outcome.latency)
        self._change_log.outcome(outcome)
        if self._events is not None:
            self._events.outcome(outcome)

    def sync(self, sync: Sync) -> None:
        """Record the end of a pass, whose outcomes were recorded one by one."""
        self._change_log.flush()
        self._change_log.reports(sync.appeared, sync.vanished)
        appeared, vanished = _problems(sync.appeared), _problems(sync.vanished)
        self.metrics.reports(appeared, vanished)
        if self._events is not None:
            self._events.reports(appeared, vanished)

    def enforced(self, seconds: float) -> None:
        """Record the time from receiving a change until its enforcement in every affected pod."""
        self.metrics.enforced(seconds)

    def state(self, *, pods: int, policies: int, groups: int, members: int) -> None:
        """Record the current sizes."""
        self.metrics.state(pods=pods, policies=policies, groups=groups, members=members)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Record the restart of a watch."""
        self.metrics.watch_restarted(kind, cause)
        self._change_log.watch_restarted(kind, cause)

    def listed(self, kind: str, count: int) -> None:
        """Record a complete list of a kind."""
        self.metrics.listed(kind, count)
        self._change_log.listed(kind, count)

    def refused(self, kind: str, sentence: str) -> None:
        """Record a refused read of a kind."""
        self.metrics.refused(kind, sentence)
        self._change_log.refused(kind, sentence)


def _problems(reports: Sequence[Report]) -> tuple[Report, ...]:
    """Without hints: these raise no alert and make no Event."""
    return tuple(report for report in reports if report.severity is Severity.PROBLEM)
