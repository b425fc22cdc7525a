"""A tenant's size costs that tenant alone. A policy over a budget isolates, allows nothing, and is reported."""

from concurrent.futures import Future

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from mnp_core.cluster import ClusterState
from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.pod_budget import PodBudget
from mnp_core.cluster.pod_policies import PodPolicies
from mnp_core.model import Audited, Change, CommonRules, Enforcement, Isolated, ObjectRef, Reason, Report
from mnp_core.model.budget import Budgets, size_of
from mnp_core.model.parsing import parse_policy
from mnp_core.testing.builders import named, namespace, network, pod, present, status
from mnp_core.testing.fakes import FakeKernel
from tests.agent.test_agent import Node

NET = network("net", "macvlan")
FEW = Budgets()
FEW = evolve(
    FEW,
    policy=evolve(FEW.policy, rules=3, blocks=4, members=4),
    namespace=evolve(FEW.namespace, rules=5, members=6),
    pod=evolve(FEW.pod, rules=4),
)


def local(name, number, **labels):
    return pod(name, status("net", "net1", f"10.0.0.{number}"), labels={"app": name} | labels, node="here")


def written(name, *ingress, selects=None):
    raw = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": "net"},
        },
        "spec": {"podSelector": {"matchLabels": selects or {}}, "ingress": list(ingress)},
    }
    found, reports = parse_policy(raw)
    return Change(ref=found.ref, object=found, reports=reports)


def blocks(*numbers):
    return [{"from": [{"ipBlock": {"cidr": f"10.1.{number}.0/24"}}]} for number in numbers]


def gone(name):
    return Change(ref=ObjectRef("MultiNetworkPolicy", named(name)), object=None)


@pytest.fixture
def cluster():
    made = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", budgets=FEW)
    made.apply(map(present, (NET, namespace("default"), local("a", 1), local("b", 2))))
    return made


def rules(cluster, name):
    """How many rules hold in a pod."""
    [interface] = cluster.sandbox_policy(named(name)).interfaces
    assert isinstance(interface.ingress, Isolated)
    return len(interface.ingress.allows)


def over(cluster):
    return {str(report.about.name) for report in cluster.reports() if report.reason is Reason.OVER_BUDGET}


def test_equal_rules_are_one():
    change = written("many", *[{}] * 1000, *blocks(1, 1, 2))
    assert [rule.index for rule in change.object.ingress] == [0, 1000, 1002]
    assert size_of(change.object).rules == 3


def test_a_policy_over_its_budget_isolates_and_allows_nothing_until_it_is_smaller(cluster):
    cluster.apply([written("big", *blocks(1, 2, 3, 4))])
    [report] = cluster.reports()
    assert (report.reason, report.field, str(report.about.name)) == (Reason.OVER_BUDGET, "spec", "default/big")
    assert "4 rules (at most 3)" in report.message
    assert "budget-per-policy" in report.remedy
    assert rules(cluster, "a") == 0
    cluster.apply([written("big", *blocks(1, 2, 3))])
    assert (rules(cluster, "a"), cluster.reports()) == (3, ())


def test_of_the_policies_of_a_namespace_the_last_by_name_have_to_do_without_rules(cluster):
    """In any order of arrival."""
    cluster.apply([written("c", *blocks(6), selects={"app": "b"})])
    cluster.apply([written("b", *blocks(4, 5), selects={"app": "a"})])
    cluster.apply([written("a", *blocks(1, 2, 3), selects={"app": "b"})])
    assert over(cluster) == {"default/c"}
    assert (rules(cluster, "a"), rules(cluster, "b")) == (2, 3)
    cluster.apply([gone("b")])
    assert (over(cluster), rules(cluster, "b")) == (set(), 4)


def test_a_policy_over_the_budget_of_one_pod_holds_in_others(cluster):
    cluster.apply([written("a", *blocks(1, 2, 3), selects={"app": "a"}), written("b", *blocks(4, 5))])
    assert over(cluster) == {"default/b"}
    assert (rules(cluster, "a"), rules(cluster, "b")) == (3, 2)


def in_audit(change):
    return evolve(change, object=evolve(change.object, enforcement=Enforcement.AUDIT))


def test_no_audit_takes_the_room_of_an_enforced_policy(cluster):
    """S74, S71: those in audit mode come last, whatever their names; without rules they still deny nothing."""
    cluster.apply([in_audit(written("a", *blocks(1, 2, 3), selects={"app": "a"}))])
    cluster.apply([written("b", *blocks(4, 5), selects={"app": "b"}), written("c", *blocks(6), selects={"app": "b"})])
    assert over(cluster) == {"default/a"}
    assert rules(cluster, "b") == 3
    [audited] = cluster.sandbox_policy(named("a")).interfaces
    assert isinstance(audited.ingress, Audited)
    assert audited.ingress.allows == ()
    cluster.apply([gone("c")])
    [audited] = cluster.sandbox_policy(named("a")).interfaces
    assert (over(cluster), len(audited.ingress.allows)) == (set(), 3)
    cluster.apply([written("a", *blocks(1, 2, 3), selects={"app": "a"}), written("b", *blocks(4, 5, 6))])
    assert (over(cluster), rules(cluster, "a")) == ({"default/b"}, 3)


def test_no_audit_takes_the_room_of_an_enforced_policy_in_a_pod(cluster):
    """S74."""
    cluster.apply([in_audit(written("a", *blocks(1, 2, 3))), written("b", *blocks(4, 5))])
    assert (over(cluster), rules(cluster, "a"), rules(cluster, "b")) == ({"default/a"}, 2, 2)


def selecting(*values):
    return [
        {"from": [{"podSelector": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": [v]}]}}]}
        for v in values
    ]


def test_groups_with_too_many_members_are_let_go(cluster):
    cluster.apply([written("p", *selecting("1", "2"))])
    assert (over(cluster), rules(cluster, "a")) == (set(), 2)
    cluster.apply([present(local("c", 3))])
    assert over(cluster) == {"default/p"}
    assert (rules(cluster, "a"), rules(cluster, "c"), sum(cluster.group_sizes.values())) == (0, 0, 0)
    cluster.apply([Change(ref=ObjectRef("Pod", named("c")), object=None)])
    effect = cluster.retry_oversized()
    assert effect.sandboxes == {named("a"), named("b")}
    assert (over(cluster), rules(cluster, "a")) == (set(), 2)


def test_no_audit_takes_the_members_of_an_enforced_policy(cluster):
    """S74: in another pod, and before it came."""
    cluster.apply([in_audit(written("a", *selecting("1", "2"), selects={"app": "a"}))])
    assert over(cluster) == set()
    effect = cluster.apply([written("b", *selecting("3", "4"), selects={"app": "b"})])
    assert (over(cluster), rules(cluster, "b")) == ({"default/a"}, 2)
    assert effect.sandboxes == {named("a"), named("b")}
    [audited] = cluster.sandbox_policy(named("a")).interfaces
    assert isinstance(audited.ingress, Audited)
    cluster.retry_oversized()
    cluster.settle()
    assert (over(cluster), rules(cluster, "b")) == ({"default/a"}, 2)
    cluster.apply([gone("b")])
    cluster.retry_oversized()
    cluster.settle()
    assert over(cluster) == set()


def test_no_audit_takes_the_members_that_an_enforced_policy_comes_to_need():
    """S74."""
    budgets = evolve(FEW, policy=evolve(FEW.policy, members=6))
    cluster = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", budgets=budgets)
    cluster.apply(map(present, (NET, namespace("default"), local("a", 1), local("b", 2))))
    cluster.apply([in_audit(written("a", *selecting("1"), selects={"app": "a"}))])
    cluster.apply([written("b", *selecting("3", "4"), selects={"app": "b"})])
    assert over(cluster) == set()
    cluster.apply([present(local("c", 3))])
    assert (over(cluster), rules(cluster, "b")) == ({"default/a"}, 2)


def test_an_enforced_policy_that_is_too_big_by_itself_takes_no_audit_away(cluster):
    cluster.apply([in_audit(written("a", *selecting("1", "2"), selects={"app": "a"}))])
    cluster.apply([written("b", *selecting("3", "4", "5"), selects={"app": "b"})])
    assert over(cluster) == {"default/b"}
    assert len(cluster.sandbox_policy(named("a")).interfaces[0].ingress.allows) == 2


class Stuck(FakeKernel):
    """In the pods of one namespace nothing comes to its end."""

    def submit(self, sandbox, work):
        return Future() if sandbox.path.startswith("noisy") else super().submit(sandbox, work)


def test_pods_in_which_nothing_comes_to_its_end_leave_places_to_other_namespaces():
    node = Node(kernel=Stuck())
    noisy = [pod(f"noisy/{n}", status("default/net", "net1", f"10.0.1.{n}")) for n in range(100)]
    quiet = pod("quiet/a", status("default/net", "net1", "10.0.2.1"))
    for each in (*noisy, quiet):
        node.kernel.add(each.name)
    node.agent.submit(map(present, (NET, namespace("default"), *noisy)))
    for _ in range(100):
        node.agent.process(0)
    node.agent.submit([present(quiet)])
    for _ in range(20):
        node.agent.process(0)
    assert node.kernel.namespaces[quiet.name].writes == ["apply"]


FEW_RULES = evolve(FEW, policy=evolve(FEW.policy, members=100), namespace=evolve(FEW.namespace, members=1000))
NAMES = ("a", "b", "c", "d")


def made_of(changes):
    found = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", budgets=FEW_RULES)
    found.apply(map(present, (NET, namespace("default"))))
    found.apply(changes)
    return found


def observed(state):
    """All results that could depend on the order: rules in pods, reports, tracked groups."""
    pods = [named(name) for name in ("a", "b")]
    return (
        [state.sandbox_policy(name) for name in pods],
        [state.policies_of(name) for name in pods],
        [state.weight(name) for name in pods],
        state.reports(),
        state.group_sizes,
    )


@st.composite
def steps(draw):
    """Changes, a few at a time: policies and pods come, change, and go."""
    name = draw(st.sampled_from(NAMES))
    if draw(st.integers(0, 4)) == 0:
        lives = draw(st.booleans())
        pod_name = draw(st.sampled_from(("a", "b")))
        ref = ObjectRef("Pod", named(pod_name))
        return present(local(pod_name, draw(st.integers(1, 2)))) if lives else Change(ref=ref, object=None)
    if draw(st.integers(0, 3)) == 0:
        return gone(name)
    peers = draw(st.lists(st.sampled_from((*blocks(1, 2, 3), *selecting("1", "2"))), max_size=4, unique_by=str))
    return written(name, *peers, selects=draw(st.sampled_from((None, {"app": "a"}, {"app": "b"}))))


@given(st.lists(st.lists(steps(), min_size=1, max_size=3), max_size=8))
@settings(deadline=None)
def test_rules_depend_on_the_objects_and_not_on_their_history(batches):
    """S6, S11: one policy more costs one policy, and the result is that of looking at all."""
    state, last = made_of([]), {}
    for batch in batches:
        state.apply(batch)
        last.update((change.ref, change) for change in batch)
    assert observed(state) == observed(made_of(last.values()))


def test_one_policy_more_costs_one_policy(monkeypatch):
    """S61: not all policies of all pods that it selects."""
    state = made_of([present(local("a", 1)), *(written(f"many-{n:03}", selects={"app": "a"}) for n in range(200))])
    seen = []
    select = PodPolicies.select
    monkeypatch.setattr(PodPolicies, "select", lambda pod, compiled: seen.append(compiled) or select(pod, compiled))
    effect = state.apply([written("more", *blocks(1))])
    assert (effect.sandboxes, len(seen), rules(state, "a")) == ({named("a")}, 1, 1)


def test_a_storm_of_changes_beyond_a_budget_costs_one_pass_when_it_is_read(monkeypatch):
    """S61: thousands of policies of one pod would be admitted anew for each change of one of them."""
    state = made_of([present(local("a", 1)), *(written(f"many-{n:03}", *blocks(1)) for n in range(20))])
    assert len(over(state)) == 16
    passes = []
    admit_all = PodBudget.admit_all
    monkeypatch.setattr(PodBudget, "admit_all", lambda budget, pod: passes.append(pod) or admit_all(budget, pod))
    for number in range(100):
        assert state.apply([written("early", *blocks(number))]).sandboxes == {named("a")}
    assert (passes, state.weight(named("a"))) == ([], 9), "at most so much: four rules and five blocks"
    assert (rules(state, "a"), len(passes), len(over(state))) == (4, 1, 17)
    state.apply([gone("early")])
    assert (len(over(state)), len(passes)) == (16, 2), "reports are read"


def report_of(name, place=0, reason=Reason.INVALID_PEER):
    about = ObjectRef("MultiNetworkPolicy", named(name))
    return Report(about=about, field=f"[{place}]", reason=reason, message="m", remedy="r")


def test_an_interface_that_may_be_open_is_reported_before_the_rest_of_its_namespace():
    """S64: and once, also if another problem of the same object waits already."""
    reports = ActiveReports()
    for number in range(50):
        reports.put(number, [report_of(f"noisy/p{number}")])
    reports.put("open", [report_of("noisy/p40", 1, Reason.UNENFORCEABLE), report_of("noisy/p41", 1)])
    reports.put("left out", [report_of("noisy/pod", 0, Reason.INVALID_STATUS)])
    reports.put("quiet", [report_of("quiet/p")])
    first, _ = reports.take(3)
    assert {str(each.about.name) for each in first} == {"noisy/p40", "noisy/pod", "quiet/p"}
    rest = []
    while reports.changed:
        taken, _ = reports.take(16)
        assert len({each.about for each in taken}) in {16, 1}, "an object taken before takes no turn"
        rest += taken
    assert sorted((*first, *rest)) == list(reports.all())


def test_reports_of_a_noisy_namespace_leave_turns_to_others():
    """S6: reports are delivered in bounded portions, those of an object together, and none gets lost."""
    reports = ActiveReports()
    for number in range(100):
        reports.put(number, [report_of(f"noisy/p{number}", place) for place in range(3)])
    reports.put("quiet", [report_of("quiet/p")])
    first, _ = reports.take(4)
    assert [str(each.about.name) for each in first[::3]] == ["noisy/p0", "noisy/p1", "noisy/p2", "quiet/p"]
    reports.put(50, ())
    rest = []
    while reports.changed:
        appeared, vanished = reports.take(4)
        assert (len(appeared) <= 12, vanished) == (True, ())
        rest += appeared
    assert {*first, *rest} == {*reports.all()}
