"""Receives observations of the node's loop and its source: metrics, log, Events and plugins are sinks."""

from collections.abc import Sequence

from mnp_core.api import Admission, Outcome, Sync
from mnp_core.model import Report, Severity


class Sink:
    """Ignores everything: each sink overrides the methods for what it records.

    All return at once and never raise. `start_held` is called on gates' threads, the last three on the source's.
    """

    __slots__ = ()

    def outcome(self, outcome: Outcome) -> None:
        """Record the outcome of one pod's operation."""

    def sync(self, sync: Sync) -> None:
        """Record the end of a pass, whose outcomes were recorded one by one."""

    def state(self, *, pods: int, policies: int, groups: int, members: int) -> None:
        """Record the current sizes."""

    def start_held(self, admission: Admission, seconds: float) -> None:
        """Record the end of a held pod start."""

    def gate_state(self, gate: str, *, connected: bool) -> None:
        """Record whether a gate holds pod starts."""

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Record the restart of a watch."""

    def listed(self, kind: str, count: int) -> None:
        """Record a complete list of a kind."""

    def refused(self, kind: str, sentence: str) -> None:
        """Record a refused read of a kind."""


def problems(reports: Sequence[Report]) -> tuple[Report, ...]:
    """Without hints: these raise no alert and make no Event."""
    return tuple(report for report in reports if report.severity is Severity.PROBLEM)
