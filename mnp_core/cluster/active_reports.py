"""Problems that stand, and which of them are new or gone: the cost follows what changes, not how many there are."""

from collections import Counter
from collections.abc import Hashable, Iterable

from mnp_core.model import Report

Difference = tuple[tuple[Report, ...], tuple[Report, ...]]
"""Reports that have appeared, and those that have vanished, each sorted."""


class ActiveReports:
    """Reports by their source. Two sources may give the same report: it stands until both have taken it back."""

    def __init__(self) -> None:
        self._by_source: dict[Hashable, tuple[Report, ...]] = {}
        self._count: Counter[Report] = Counter()
        self._changed: dict[Report, bool] = {}  # whether it stood at the last `take`

    def put(self, source: Hashable, reports: Iterable[Report]) -> None:
        """Replace what a source has reported."""
        before, now = self._by_source.get(source, ()), tuple(reports)
        if before == now:
            return
        if now:
            self._by_source[source] = now
        else:
            del self._by_source[source]
        for report in now:
            self._note(report, 1)
        for report in before:
            self._note(report, -1)

    def of(self, source: Hashable) -> tuple[Report, ...]:
        """What a source has reported."""
        return self._by_source.get(source, ())

    def take(self) -> Difference:
        """What has appeared and what has vanished since the last time."""
        changed, self._changed = self._changed, {}
        appeared = sorted(report for report, stood in changed.items() if not stood and report in self._count)
        vanished = sorted(report for report, stood in changed.items() if stood and report not in self._count)
        return tuple(appeared), tuple(vanished)

    def all(self) -> tuple[Report, ...]:
        """Every problem that stands, sorted: costs as much as there are, so nothing for each change."""
        return tuple(sorted(self._count))

    @property
    def changed(self) -> bool:
        """Whether `take` may give something."""
        return bool(self._changed)

    def _note(self, report: Report, difference: int) -> None:
        self._changed.setdefault(report, report in self._count)
        self._count[report] += difference
        if not self._count[report]:
            del self._count[report]
