"""The truth table of the public NetworkPolicy conformance suites, on a secondary network, with three judges.

At every step each pod sends to each pod, itself too, over TCP, UDP and SCTP to ports 80 and 81: 486 probes, over IPv4
and over IPv6. The naive reference is right; `evaluate` and real packets must both agree with it. The packets
are first packets of connections; every so many steps, all connections are opened and answered as well.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from mnp_core.testing.suites.differential.evaluated import Evaluated
from mnp_core.testing.suites.reference import naive
from mnp_core.testing.suites.truthtable.cluster import FAMILIES, SUBNETS, probes
from mnp_core.testing.suites.truthtable.generators import CATEGORIES, Step
from mnp_core.testing.suites.wire.connections import wrong_connections
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.rig import Rig

STEPS = {"targets": 48, "rules": 36, "peers": 112, "ports": 70, "conflicts": 29, "actions": 26}
LARGE = ("peers", "ports")
CONNECTIONS_EVERY = 16  # steps


class Table:
    """Questions and wrong answers, by category."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.probes: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    def lines(self) -> Iterator[str]:
        yield f"truth table {'steps':>9}{'probes':>9}{'denied':>9}{'connections':>13}{'wrong':>7}"
        for category in self.steps:
            yield self._line(category, *(counter[category] for counter in self._counters))
        yield self._line("all", *(counter.total() for counter in self._counters))

    @property
    def _counters(self) -> tuple[Counter[str], ...]:
        return self.steps, self.probes, self.denied, self.connections, self.wrong

    @staticmethod
    def _line(name: str, *counts: int) -> str:
        return f"  {name:10}" + "".join(f"{n:>{width}}" for n, width in zip(counts, (9, 9, 9, 13, 7), strict=True))


@pytest.fixture(scope="module")
def table(mnp_figures, mnp_backend):
    made = Table()
    yield made
    mnp_figures += (mnp_backend, *made.lines())


@pytest.fixture(scope="module")
def judges(mnp_backend, mnp_wiring):
    with Rig(SUBNETS, {}, backend=mnp_backend, wiring=mnp_wiring) as rig:
        yield rig, Evaluated()


def test_the_categories_have_as_many_steps_as_is_said():
    assert {category: sum(1 for _ in generate()) for category, generate in CATEGORIES.items()} == STEPS


def test_a_step_has_486_probes_in_each_family():
    step = next(CATEGORIES["targets"]())
    assert [len(set(probes(step.objects, family))) for family in FAMILIES] == [486, 486]


@pytest.mark.root
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "category", [pytest.param(each, marks=[pytest.mark.full] * (each in LARGE)) for each in CATEGORIES]
)
def test_truth_table(judges, table, category):
    """S1 to S32, S40, S44, S61"""
    wrong = {}
    for number, step in enumerate(CATEGORIES[category]()):
        found = judge(step, judges, table, connections=number % CONNECTIONS_EVERY == 0)
        wrong |= {f"{step.name}: {problem}": None for problem in found}
    assert not wrong, f"{len(wrong)} wrong, the first: {[*wrong][:20]}"


def judge(step: Step, judges: tuple[Rig, Evaluated], table: Table, *, connections: bool) -> list[str]:
    """Go on to the step and compare; the differences in words."""
    rig, evaluated = judges
    rig.become(step.objects)
    evaluated.become(step.objects)
    truth = {p: naive.allowed(step.objects, *p) for family in FAMILIES for p in probes(step.objects, family)}
    wrong = [f"evaluate says {not reaches} of {p}" for p, reaches in truth.items() if evaluated.allowed(*p) != reaches]
    wrong += [f"{p} {'got through' if reached else 'was lost'}" for p, reached in rig.wrong(truth).items()]
    if connections:
        wrong += [f"the connection {p} was {verdict}" for p, verdict in wrong_connections(rig, truth).items()]
    _count(table, step, truth, connections=connections, wrong=len(wrong))
    return wrong


def _count(table: Table, step: Step, truth: dict[Probe, bool], *, connections: bool, wrong: int) -> None:
    table.steps[step.category] += 1
    table.probes[step.category] += len(truth)
    table.denied[step.category] += [*truth.values()].count(False)
    table.connections[step.category] += len(truth) if connections else 0
    table.wrong[step.category] += wrong
