"""The summary of a node from its pods: counts by policy, and the worst state of each."""

from mnp_core.api import Failure
from mnp_core.cluster.pod_policies import Coverage, Selection
from mnp_core.conditions.summary import State
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.node.view import NodeView, PodView
from mnp_core.policy.compile import compile_policy
from mnp_core.testing.builders import policy

RED = ObjectName("default", "red")
WEB, DB = (compile_policy(policy(name, networks=["red"])) for name in ("web", "db"))
TOKENS = {WEB.policy.ref: 1, DB.policy.ref: 2}


def selection(*compiled, interfaces=1, enforceable=1, refused=()):
    names = tuple((RED, f"net{number}") for number in range(interfaces))
    coverages = {each.policy.scope: Coverage(enforceable, names) for each in compiled}
    return Selection(compiled, coverages, frozenset(each.policy.ref for each in refused))


def pod(name, chosen, state=None, reason=""):
    return PodView(name=ObjectName("default", name), selection=chosen, state=state, reason=reason, message="no")


def summarize(*pods, tokens=TOKENS):
    return NodeView(fingerprint=3, tokens=tokens, pods=pods).summarize()


def test_interfaces_of_all_pods_are_counted():
    found = summarize(pod("a", selection(WEB, interfaces=2, enforceable=2)), pod("b", selection(WEB, DB)))
    assert (dict(found.enforced), dict(found.faults), found.knows) == ({1: 3, 2: 1}, {}, 3)


def test_the_worst_pod_decides_and_all_interfaces_count():
    failed = pod("a", selection(WEB), State.FAILED, Failure.REFUSED.value)
    pods = [pod("b", selection(WEB)), pod("c", selection(WEB), State.PENDING), failed]
    for order in (pods, pods[::-1]):
        found = summarize(*order)
        assert dict(found.enforced) == {}
        assert (found.faults[1].state, found.faults[1].reason, found.faults[1].interfaces) == (
            State.FAILED,
            "Refused",
            3,
        )
        assert found.faults[1].message == "default/a: no"


def test_an_interface_that_cannot_be_enforced_is_a_failure_of_its_policies():
    found = summarize(pod("a", selection(WEB, interfaces=2, enforceable=1)))
    assert (found.faults[1].state, found.faults[1].reason) == (State.FAILED, "Unenforceable")


def test_a_policy_over_budget_is_a_failure_and_the_others_are_not():
    found = summarize(pod("a", selection(WEB, DB, refused=[WEB])))
    assert (found.faults[1].reason, dict(found.enforced)) == ("OverBudget", {2: 1})


def test_policies_that_select_no_interface_or_have_no_token_are_left_out():
    assert not summarize(pod("a", selection(WEB, interfaces=0, enforceable=0))).enforced
    assert not summarize(pod("a", selection(WEB)), tokens={ObjectRef("X", RED): 9}).enforced


def test_a_pod_that_nobody_has_begun_with_is_pending():
    assert PodView.of(RED, selection(WEB), None).state is State.PENDING
