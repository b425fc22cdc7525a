"""Present problems, and the difference since the last look: the cost follows the change, not the number of problems.

Where many wait, namespaces take turns, and in each those by which an interface may be open come first.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator

from mnp_core.model import ObjectRef, Report, Severity
from mnp_core.model.report import URGENT_REASONS
from mnp_core.turns import Turns

Difference = tuple[tuple[Report, ...], tuple[Report, ...]]
"""New and resolved reports, each sorted."""


class ActiveReports:
    """Reports by their source. A report of two sources is active until both have withdrawn it."""

    def __init__(self) -> None:
        self._by_source: dict[Hashable, tuple[Report, ...]] = {}
        self._count: Counter[Report] = Counter()
        self._changed: defaultdict[ObjectRef, dict[Report, bool]] = defaultdict(dict)  # True: active at the last `take`
        self._turns: Turns[ObjectRef] = Turns()  # the keys of `_changed`, some of them twice
        self._urgent: set[ObjectRef] = set()

    def put(self, source: Hashable, reports: Iterable[Report]) -> None:
        """Replace the reports of a source."""
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

    def take(self, most: int | None = None) -> Difference:
        """New and resolved reports since the last call.

        Args:
            most: Objects; namespaces take turns, and the rest stays for the next call. None for all.
        """
        changed: dict[Report, bool] = {}
        for ref in self._turns.all() if most is None else self._next(most):
            changed |= self._changed.pop(ref, {})
        self._urgent &= self._changed.keys()
        appeared = (report for report, was_active in changed.items() if not was_active and report in self._count)
        vanished = (report for report, was_active in changed.items() if was_active and report not in self._count)
        return tuple(sorted(appeared, key=_order)), tuple(sorted(vanished, key=_order))

    def _next(self, most: int) -> Iterator[ObjectRef]:
        """So many objects, one of each namespace after the other."""
        taken = 0
        while taken < most and (refs := self._turns.take(1)):
            if refs[0] in self._changed:
                taken += 1
                yield refs[0]

    def all(self) -> tuple[Report, ...]:
        """All active reports, sorted. The cost follows their number: not for use at every change."""
        return tuple(sorted(self._count, key=_order))

    def counts(self) -> Counter[Severity]:
        """The number of active reports of each severity."""
        return Counter(report.severity for report in self._count)

    def of(self, sources: Iterable[Hashable]) -> tuple[Report, ...]:
        """The reports of some sources, sorted."""
        found = {report for source in sources for report in self._by_source.get(source, ())}
        return tuple(sorted(found, key=_order))

    @property
    def changed(self) -> bool:
        """Whether `take` may return anything."""
        return bool(self._changed)

    def _note(self, report: Report, difference: int) -> None:
        about = report.about
        if report.reason in URGENT_REASONS and about not in self._urgent:
            self._urgent.add(about)
            self._turns.add(about.name.namespace, [about], urgent=True)
        elif about not in self._changed:
            self._turns.add(about.name.namespace, [about])
        self._changed[report.about].setdefault(report, report in self._count)
        self._count[report] += difference
        if not self._count[report]:
            del self._count[report]


def _order(report: Report) -> tuple[str | bool, ...]:
    """Sorts as reports do, but faster."""
    about = report.about
    return (
        *(about.kind, about.name.namespace, about.name.name, report.field, report.reason),
        *(report.message, report.remedy, report.severity, report.exposed),
    )
