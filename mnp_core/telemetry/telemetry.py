"""The one thing that the node's loop and its source tell: it passes on to metrics, log and Events."""

from collections.abc import Sequence

from mnp_core.api import Outcome, Sync
from mnp_core.model import Report, Severity
from mnp_core.telemetry.events import EventRecorder
from mnp_core.telemetry.journal import Journal
from mnp_core.telemetry.metrics import Metrics


class Telemetry:
    """Observes agent and source. Returns at once; what is slow is done elsewhere."""

    def __init__(self, *, metrics: Metrics, journal: Journal, events: EventRecorder | None = None) -> None:
        """Put together what was made.

        Args:
            metrics: Counts.
            journal: Writes the log.
            events: Makes Kubernetes Events; None where there is no API server.
        """
        self.metrics = metrics
        self._journal = journal
        self._events = events

    def outcome(self, outcome: Outcome) -> None:
        """What became of one pod."""
        self.metrics.outcome(outcome)
        self._journal.outcome(outcome)
        if self._events is not None:
            self._events.outcome(outcome)

    def sync(self, sync: Sync) -> None:
        """A pass is over; its outcomes were told one by one."""
        self._journal.flush()
        self._journal.reports(sync.appeared, sync.vanished)
        appeared, vanished = _problems(sync.appeared), _problems(sync.vanished)
        self.metrics.reports(appeared, vanished)
        if self._events is not None:
            self._events.reports(appeared, vanished)

    def enforced(self, seconds: float) -> None:
        """A change is in force in every pod that it affects, so long after it was heard of."""
        self.metrics.enforced(seconds)

    def state(self, *, pods: int, policies: int, groups: int, members: int) -> None:
        """How much there is now."""
        self.metrics.state(pods=pods, policies=policies, groups=groups, members=members)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """A watch ended before its time."""
        self.metrics.watch_restarted(kind, cause)
        self._journal.watch_restarted(kind, cause)

    def listed(self, kind: str, count: int) -> None:
        """All objects of a kind were read."""
        self.metrics.listed(kind, count)
        self._journal.listed(kind, count)

    def refused(self, kind: str, sentence: str) -> None:
        """The API server does not let us read a kind."""
        self.metrics.refused(kind, sentence)
        self._journal.refused(kind, sentence)


def _problems(reports: Sequence[Report]) -> tuple[Report, ...]:
    """Without hints: they raise no alert, and take no Event's place."""
    return tuple(report for report in reports if report.severity is Severity.PROBLEM)
