"""When a pod that could not be written to is tried again, by a clock that the test sets (S64)."""

from itertools import pairwise

import pytest
from attrs import evolve

from mnp_core.agent.results import Attempt, Operation
from mnp_core.agent.retries import Retries
from mnp_core.api import Result
from mnp_core.errors import InputError, PluginError, UnsupportedError
from mnp_core.model import OPEN, Reason
from mnp_core.sandbox.monitor import Topic
from mnp_core.testing.builders import (
    absent,
    named,
    namespace,
    network,
    pod,
    pods,
    policy,
    present,
    rule,
    selector,
    status,
)
from mnp_core.testing.fakes import FakeNamespace, FakeRenderer
from tests.agent.test_agent import Clock, Node

NET = network("net", "macvlan")
A, B = (pod(name, status("net", "net1", f"10.0.0.{n}"), labels={"app": name}) for n, name in enumerate("ab", 1))
ON_A, ON_B = (policy(f"on-{name}", selector=selector(app=name), networks=["net"], ingress=[]) for name in "ab")
FROM_B = policy("on-a", selector=selector(app="a"), networks=["net"], ingress=[rule([pods(app="b")])])
SOON, RARELY, MANY = 30.0, 300.0, 6  # seconds, seconds, tries
STEP = 0.05  # seconds: shorter than the shortest pause


@pytest.fixture
def clock():
    return Clock()


class Failing(FakeRenderer):
    """Fails for pods that a policy selects, as long as there is an error."""

    failures = 0

    def __init__(self, error):
        self.error = error

    def render(self, policy):
        if self.error is not None and policy.interfaces[0].ingress != OPEN:
            self.failures += 1
            raise self.error
        return super().render(policy)


def started(clock, **parts):
    node = Node(clock=clock, **parts)
    for name in "ab":
        node.kernel.add(named(name))
    node.sync(NET, namespace("default"), A, B)
    node.told.clear()
    return node


def results_within(node, clock, seconds):
    """The first pod's outcomes within so many seconds, each with its time."""
    began, found = clock.now, []
    while clock.now < began + seconds:
        node.agent.process(0)
        found += [(clock.now, outcome.result) for outcome in node.told if outcome.pod == A.name]
        node.told.clear()
        clock.now += STEP
    return found


def reasons(node):
    return [(report.reason, report.exposed) for report in node.agent.reports() if report.about.name == A.name]


def test_repeated_failures_count_as_open_soon_and_are_retried_ever_more_rarely(clock):
    """S64: after six tries in some seconds; at last one every five minutes."""
    node = started(clock)
    node.kernel.namespaces[A.name].refuse = True
    node.agent.submit([present(ON_A)])
    first = results_within(node, clock, 2)
    assert (len(first), reasons(node)) == (MANY - 1, [(Reason.ENFORCEMENT_FAILED, True)])
    assert len(results_within(node, clock, 3)) == 1
    assert reasons(node) == [(Reason.UNENFORCEABLE, True)]
    later = [when for when, _ in results_within(node, clock, 1500)]
    pauses = [after - before for before, after in pairwise(later)]
    assert all(after > before * 1.9 or after > RARELY - 1 for before, after in pairwise(pauses)), pauses
    assert RARELY - 1 < pauses[-1] < RARELY + 1
    assert reasons(node) == [(Reason.UNENFORCEABLE, True)]


def test_a_pod_that_is_tried_rarely_holds_up_no_other(clock):
    node = started(clock)
    node.kernel.namespaces[A.name].refuse = True
    node.agent.submit([present(ON_A)])
    results_within(node, clock, 60)
    node.agent.submit([present(ON_B)])
    node.agent.process(0)
    assert [(outcome.pod, outcome.result) for outcome in node.told] == [(B.name, Result.APPLIED)]


@pytest.mark.parametrize("mended", [True, False])
def test_a_change_is_tried_at_once_however_often_it_failed_before(clock, mended):
    """S61."""
    node = started(clock)
    node.kernel.namespaces[A.name].refuse = True
    node.agent.submit([present(ON_A)])
    results_within(node, clock, 60)
    node.kernel.namespaces[A.name].refuse = not mended
    node.agent.submit([present(evolve(ON_A, egress=()))])
    [(_, result)] = results_within(node, clock, 1)
    assert result is (Result.APPLIED if mended else Result.FAILED)
    assert reasons(node) == ([] if mended else [(Reason.UNENFORCEABLE, True)])


def test_after_a_success_failures_are_counted_anew(clock):
    node = started(clock)
    node.kernel.namespaces[A.name].refuse = True
    node.agent.submit([present(ON_A)])
    results_within(node, clock, 60)
    node.kernel.namespaces[A.name].refuse = False
    assert [result for _, result in results_within(node, clock, RARELY)] == [Result.APPLIED]
    node.kernel.namespaces[A.name].refuse = True
    node.agent.submit([absent(ON_A)])
    assert len(results_within(node, clock, 2)) > 1
    assert reasons(node) == [(Reason.ENFORCEMENT_FAILED, False)]  # no policy selects it any more


PERMANENT = [
    InputError("a number is too big"),
    UnsupportedError("no such feature"),
    PluginError("broken"),
    KeyError("x"),
]


@pytest.mark.parametrize("error", PERMANENT)
def test_permanent_failure_waits_for_new_input(clock, error):
    """S64: the same input would fail again, and is not rendered again, nor after unexpected exceptions."""
    renderer = Failing(error)
    node = started(clock, renderer=renderer)
    node.agent.submit([present(ON_A)])
    assert [result for _, result in results_within(node, clock, 2 * RARELY)] == [Result.FAILED]
    assert (renderer.failures, reasons(node)) == (1, [(Reason.UNENFORCEABLE, True)])
    [report] = [report for report in node.agent.reports() if report.about.name == A.name]
    assert "when a policy, the pod or its sandbox changes" in report.remedy
    node.agent.submit([present(evolve(ON_A, egress=()))])
    assert len(results_within(node, clock, 2 * RARELY)) == 1
    assert renderer.failures == 2


@pytest.mark.parametrize("error", PERMANENT)
@pytest.mark.parametrize("change", ["policy", "sandbox", "membership"])
def test_permanent_failure_is_retried_at_once_when_its_input_changes(clock, error, change):
    """S61: another pod's change is none of its input."""
    renderer = Failing(error)
    node = started(clock, renderer=renderer)
    node.agent.submit([present(FROM_B)])
    assert len(results_within(node, clock, 1)) == 1
    node.agent.submit([present(pod("c"))])
    assert results_within(node, clock, 1) == []
    renderer.error = None
    match change:
        case "policy":
            node.agent.submit([absent(FROM_B)])
        case "sandbox":
            node.kernel.namespaces[A.name] = FakeNamespace()
            node.agent.watch()
        case "membership":
            node.agent.submit([absent(B)])
    [(_, result)] = results_within(node, clock, 1)
    assert result is not Result.FAILED
    assert reasons(node) == []


def test_a_permanent_error_is_tried_again_when_its_sandbox_changes_but_not_all_the_time(clock):
    """S64: a process in the pod must not have it rendered as often as it likes."""
    renderer = Failing(UnsupportedError("no such feature"))
    node = started(clock, renderer=renderer)
    node.agent.submit([present(ON_A)])
    results_within(node, clock, 1)
    renderer.failures = 0
    for _ in range(100):
        node.agent.noticed(A.name, Topic.LINKS)
        results_within(node, clock, 1)
    assert 2 <= renderer.failures <= 4


def test_a_sandbox_that_is_not_there_is_looked_for_all_the_time(clock):
    """S64: it may come without another word of the API."""
    node = started(clock)
    del node.kernel.namespaces[A.name]
    node.agent.submit([present(ON_A)])
    tried = results_within(node, clock, 200)
    assert len(tried) > 2 * MANY - 1
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(tried)) < SOON + 1
    node.kernel.add(A.name)
    assert [result for _, result in results_within(node, clock, SOON + 1)] == [Result.APPLIED]


@pytest.mark.parametrize(("error", "tried"), [(InputError("odd"), False), (UnsupportedError("no nf_tables"), True)])
def test_a_change_inside_a_sandbox_is_no_new_input_for_what_is_wrong_outside_of_it(error, tried):
    """S64: a pod could otherwise have the same mistake rendered for ever."""
    retries, attempt = Retries(), Attempt(operation=Operation.REPLACE, started_at=0.0)
    retries.record(error, attempt, 0.0)
    retries.sandbox_changed(SOON)
    assert (retries.at == SOON) == tried
    assert retries.waits_for_input != tried
