"""ClusterState keeps indexes; after any sequence of changes it equals one that got the final state at once."""

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mnp_core.cluster import Affected, ClusterState, state
from mnp_core.cluster.tracked_group import TrackedGroup
from mnp_core.model import (
    AddressSource,
    Change,
    CommonRules,
    ObjectName,
    Operator,
    Reason,
    SandboxPolicy,
    Selector,
    parse_address,
)
from mnp_core.model.budget import Budgets
from mnp_core.testing import builders
from mnp_core.testing.builders import absent, named, namespace, network, pods_across, present, requirement, selector
from mnp_core.testing.lifecycle import changed_by
from mnp_core.testing.suites.differential.profile import in_proportion

NET = network("x/net", "macvlan")
CLAIMED = frozenset({"macvlan", "bridge"})


def pod(name, *addresses, node="n1", labels=None, net="x/net", **fields):
    status = builders.status(net, "net1", *addresses)
    return builders.pod(
        name, status, labels={"app": named(name).name} if labels is None else labels, node=node, **fields
    )


def policy(name, *, networks=("x/net",), ingress=(), **fields):
    return builders.policy(f"x/{name}", networks=networks, ingress=ingress, **fields)


def pods(among=selector()):  # noqa: B008 - a frozen value
    return builders.PodPeer(namespace="x", namespace_selector=None, pod_selector=among)


def from_(*peers, ports=None):
    return [builders.rule(peers, ports)]


def cluster(*objects, node=None):
    new = ClusterState(common=CommonRules(), claimed=CLAIMED, node=node)
    new.apply(map(present, objects))
    return new


X, Y = namespace("x", team="red"), namespace("y", team="blue")
A, B = pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.2")


def addresses(sandbox):
    return {str(member) for group in sandbox.groups.values() for member in group.members}


def difference(effect):
    """Added and removed members, over all groups, and the affected sandboxes."""
    came = {str(a) for delta, _ in effect.deltas for a in delta.after.members - delta.before.members}
    went = {str(a) for delta, _ in effect.deltas for a in delta.before.members - delta.after.members}
    return came, went, set().union(*(users for _, users in effect.deltas))


def test_a_new_peer_is_a_difference_of_membership_and_nothing_else():
    """S61."""
    w = cluster(NET, X, A, B, policy("p", selector=selector(app="a"), ingress=from_(pods())))
    effect = w.apply([present(pod("x/c", "10.0.0.3", node="n2"))])
    assert effect.sandboxes == {named("x/c")}
    assert difference(effect) == ({"10.0.0.3"}, set(), {A.name})


def test_a_cidr_more_is_a_difference_of_members_for_all_pods_of_the_policy():
    """S61: no sandbox is compiled anew for it."""
    some, more = [builders.block("10.1.0.0/24")], builders.block("10.2.0.0/16", "10.2.3.0/24")
    w = cluster(NET, X, A, B, policy("p", ingress=from_(*some)))
    before = w.sandbox_policy(A.name)
    effect = w.apply([present(policy("p", ingress=from_(*some, more)))])
    ((delta, users),) = effect.deltas
    assert (effect.sandboxes, users) == (frozenset(), {A.name, B.name})
    assert changed_by(before, delta) == w.sandbox_policy(A.name)


def test_a_pod_whose_rules_change_gets_no_difference_of_blocks():
    """Both at once: it is written as a whole, the others are not."""
    some, more = [builders.block("10.1.0.0/24")], builders.block("10.2.0.0/16")
    one = selector(app="a")
    w = cluster(NET, X, A, B, policy("p", ingress=from_(*some)), policy("q", selector=one, ingress=from_(*some)))
    changed = policy("q", selector=one, ingress=from_(*some, ports=["TCP/80"]))
    effect = w.apply(map(present, (policy("p", ingress=from_(*some, more)), changed)))
    ((_, users),) = effect.deltas
    assert (effect.sandboxes, users) == ({A.name}, {B.name})


def test_a_policy_over_budget_changes_no_blocks():
    """It has no rules in the pod, so nothing is to be written for them."""
    blocks = [builders.block(f"10.{number}.0.0/24") for number in range(4)]
    budgets = Budgets(pod=evolve(Budgets().pod, blocks=3))
    w = ClusterState(common=CommonRules(), claimed=CLAIMED, budgets=budgets)
    w.apply(map(present, (NET, X, A, policy("p", ingress=from_(*blocks[:2])))))
    assert w.apply([present(policy("p", ingress=from_(*blocks)))]).deltas == ()
    assert w.sandbox_policy(A.name).block_lists == {}
    effect = w.apply([present(policy("p", ingress=from_(*blocks[:3])))])
    assert (effect.deltas, effect.sandboxes) == ((), {A.name})


def test_a_pod_that_no_peer_selects_affects_no_other():
    """S61."""
    w = cluster(NET, X, A, B, policy("p", ingress=from_(pods(selector(role="client")))), node="n1")
    effect = w.apply([present(pod("x/c", "10.0.0.3", node="n2"))])
    assert effect == Affected(sandboxes=frozenset(), gone=frozenset(), deltas=())


def test_relabelling_a_namespace_changes_membership():
    """S61."""
    w = cluster(NET, X, Y, A, pod("y/d", "10.0.0.4"), policy("p", ingress=from_(pods_across(selector(team="blue")))))
    effect = w.apply([present(namespace("y", team="green"))])
    assert effect.sandboxes == frozenset()
    assert difference(effect) == (set(), {"10.0.0.4"}, {A.name})
    assert addresses(w.sandbox_policy(A.name)) == set()


def test_a_namespace_with_thousands_of_pods_is_relabelled_in_slices(monkeypatch):
    """S61: in one piece it would delay all other changes. Groups that the labels do not concern cost nothing."""
    of_blue = [policy(f"p{n}", ingress=from_(pods_across(selector(team="blue"), selector(n=str(n))))) for n in range(9)]
    to_green = policy("q", ingress=from_(pods_across(selector(team="green"))))
    crowd = [pod(f"y/d{n}", f"10.1.{n >> 8}.{n & 255}", node="n2", labels={}) for n in range(1200)]
    w = cluster(NET, X, namespace("y", team="red"), A, *crowd, *of_blue, to_green, node="n1")
    moved = []
    set_members = TrackedGroup.set_members
    monkeypatch.setattr(TrackedGroup, "set_members", lambda *args: moved.append(args[1]) or set_members(*args))
    effects, parts = [w.apply([present(namespace("y", team="green"))])], [len(moved)]
    while w.unfinished:
        moved.clear()
        effects.append(w.resume())
        parts.append(len(moved))
    assert parts == [500, 500, 200]
    assert [len(difference(effect)[0]) for effect in effects] == parts
    assert len(addresses(w.sandbox_policy(A.name))) == 1200
    w.apply([present(namespace("y", team="red"))])
    w.apply([absent(to_green)])
    while w.unfinished:
        assert w.resume().deltas == (), "the group is not in use any more"


def test_a_namespace_that_is_not_known_yet_matches_no_namespace_selector():
    """S13: never more is allowed because something is missing."""
    not_red = pods_across(selector(requirement("team", "NotIn", "red")))
    w = cluster(NET, X, A, pod("y/d", "10.0.0.4"), policy("p", ingress=from_(not_red)))
    assert addresses(w.sandbox_policy(A.name)) == set()
    w.apply([present(Y)])
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.4"}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_no_peer_and_a_target_as_long_as_its_sandbox_lives(phase):
    """S5: a pod that was evicted is Failed while its processes still run."""
    w = cluster(NET, X, A, B, policy("p", ingress=from_(pods())))
    before = w.sandbox_policy(B.name)
    effect = w.apply([present(pod("x/b", "10.0.0.2", phase=phase))])
    assert effect.gone == frozenset()
    assert w.sandbox_policy(B.name).interfaces == before.interfaces
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.1"}


def test_an_address_that_moved_to_another_pod_stays_allowed_in_any_order():
    """S5: the address of a finished pod may belong to another pod already."""
    w = cluster(NET, X, A, B, policy("p", ingress=from_(pods(selector(app="b")))))
    w.apply([present(pod("x/heir", "10.0.0.2", labels={"app": "b"}))])
    effect = w.apply([absent(B)])
    assert effect.deltas == ()
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.2"}


def test_a_pod_that_loses_its_attachments_loses_its_rules():
    """S62."""
    w = cluster(NET, X, A)
    effect = w.apply([present(evolve(A, statuses=()))])
    assert effect.sandboxes == {A.name}
    assert w.sandbox_policy(A.name) is None


def test_pods_of_other_nodes_are_peers_but_not_targets():
    far = pod("x/far", "10.0.0.9", node="n2")
    w = cluster(NET, X, A, far, policy("p", ingress=from_(pods())), node="n1")
    assert w.sandbox_policy(far.name) is None
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.1", "10.0.0.9"}


def test_a_change_that_changes_nothing_affects_nothing():
    """S61."""
    w = cluster(NET, X, A, B, policy("p"))
    effect = w.apply(map(present, (NET, X, A, B, policy("p"))))
    assert effect == Affected(sandboxes=frozenset(), gone=frozenset(), deltas=())


def test_a_network_definition_that_appears_late_reaches_the_pods_that_wait_for_it():
    """S61."""
    w = cluster(X, A, policy("p"))
    effect = w.apply([present(NET)])
    assert effect.sandboxes == {A.name}
    assert w.claims(A.name)[0].kind == "macvlan"


@pytest.mark.parametrize("ports", [None, ["TCP/http"], ["TCP/80"]])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_selector_whose_pods_have_no_address_is_reported_once_and_until_one_has(direction, ports):
    """S21: on a network without IPAM; one report however many pods the policy selects and the selector matches."""

    def unaddressed():
        return [report for report in w.reports() if report.reason is Reason.NO_ADDRESS]

    rules = {"ingress": (), direction: from_(pods(selector(role="vm")), ports=ports)}
    w = cluster(NET, X, A, B, policy("p", **rules), node="n1")
    assert unaddressed() == []
    w.apply([present(pod(f"x/vm{n}", labels={"role": "vm"}, node=f"n{n}")) for n in range(3)])
    (report,) = unaddressed()
    assert (str(report.about), "x/net" in report.message) == ("MultiNetworkPolicy x/p", True)
    w.apply([present(pod("x/vm1", "10.0.0.7", labels={"role": "vm"}))])
    assert unaddressed() == []
    w.apply([absent(pod("x/vm1"))])
    assert unaddressed() == [report]
    w.apply([absent(A), absent(B), absent(pod("x/vm0"))])
    assert unaddressed() == [], "no pod of this node is selected any more"


def test_a_pod_whose_interfaces_are_yet_to_be_read_lacks_no_address():
    """S21: where the kernel is believed, its address is there a moment after the pod."""
    w = ClusterState(common=CommonRules(), claimed=CLAIMED, node="n1", peer_addresses=AddressSource.KERNEL)
    guest = pod("x/b", labels={"app": "b"})
    w.apply(map(present, (NET, X, A, guest, policy("p", ingress=from_(pods(selector(app="b")))))))
    assert w.reports() == ()
    w.observe_sandbox(guest.name, w.claims(guest.name))
    assert [report.reason for report in w.reports()] == [Reason.NO_ADDRESS]
    w.observe_sandbox(
        guest.name, tuple(evolve(claim, addresses=(parse_address("10.0.0.9"),)) for claim in w.claims(guest.name))
    )
    assert w.reports() == ()


# --- any way to a state is as good as any other ---------------------------------------------------------------------

labels = st.fixed_dictionaries({}, optional={"app": st.sampled_from("abc"), "tier": st.sampled_from("12")})
values = st.frozensets(st.sampled_from(["a", "b", "1", "red", "blue"]), min_size=1, max_size=2)
requirements = st.builds(
    lambda key, operator, some: requirement(key, operator, *(some if operator in {"In", "NotIn"} else ())),
    st.sampled_from(["app", "tier", "team"]),
    st.sampled_from([operator.value for operator in Operator]),
    values,
)
selectors = st.one_of(
    st.lists(requirements, max_size=2).map(lambda some: selector(*some)), st.just(Selector(never=True))
)
blocks = st.sampled_from([builders.block("10.1.0.0/24"), builders.block("10.2.0.0/16", "10.2.3.0/24")])
peers = st.one_of(selectors.map(pods), st.builds(pods_across, selectors, selectors), blocks)
rules = st.builds(builders.rule, st.none() | st.lists(peers, max_size=2), st.sampled_from([None, ["TCP/web"]]))
rule_lists = st.none() | st.lists(rules, max_size=2)
nets = st.sampled_from(["x/net", "x/other"])
pod_objects = st.builds(
    lambda name, numbers, port, **fields: pod(
        name, *(f"10.0.0.{number}" for number in numbers), ports=[builders.serves(f"TCP/{port}", "web")], **fields
    ),
    st.sampled_from(["x/a", "x/b", "x/c", "y/a", "y/b"]),
    st.lists(st.integers(1, 5), max_size=1),  # without an IPAM a network gives no address
    st.sampled_from([80, 81]),
    labels=labels,
    node=st.sampled_from(["n1", "n2"]),
    phase=st.sampled_from(["Running", "Running", "Failed"]),
    net=nets,
)
policy_objects = st.builds(
    policy,
    st.sampled_from("pq"),
    selector=selectors,
    ingress=rule_lists,
    egress=rule_lists,
    networks=st.none() | st.frozensets(nets, max_size=2),
    kinds=st.sampled_from([None, {"macvlan"}, {"bridge"}]),
)
objects = st.one_of(
    pod_objects,
    policy_objects,
    st.builds(namespace, st.sampled_from("xy"), team=st.sampled_from(["red", "blue"])),
    st.builds(network, nets, st.sampled_from(["macvlan", "bridge", "odd"])),
)


class Ways(RuleBasedStateMachine):
    """Follows `Affected` as an agent would, and compares with a cluster state that got the final state at once."""

    def __init__(self):
        super().__init__()
        self.cluster = ClusterState(common=CommonRules(), claimed=CLAIMED, node="n1")
        self.objects = {}
        self.written: dict[ObjectName, SandboxPolicy] = {}

    @rule(values=st.lists(objects, min_size=1, max_size=3))
    def put(self, values):
        self.objects.update({builders.reference(value): value for value in values})
        self.follow(self.cluster.apply(map(present, values)))

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def remove(self, data):
        ref = data.draw(st.sampled_from(sorted(self.objects)))
        del self.objects[ref]
        self.follow(self.cluster.apply([Change(ref=ref, object=None)]))

    def follow(self, effect):
        for name in effect.gone:
            self.written.pop(name, None)
        for name in effect.sandboxes:
            written = self.cluster.sandbox_policy(name)
            if written is None:
                self.written.pop(name, None)
            else:
                self.written[name] = written
        for delta, users in effect.deltas:
            for name in users:
                self.update(name, delta)

    def update(self, name, delta):
        self.written[name] = changed_by(self.written[name], delta)

    @invariant()
    def every_way_leads_to_the_same_state(self):
        fresh = ClusterState(common=CommonRules(), claimed=CLAIMED, node="n1")
        fresh.apply(map(present, self.objects.values()))
        wanted = {name: fresh.sandbox_policy(name) for name in fresh.attached_pods()}
        assert self.written == {name: sandbox for name, sandbox in wanted.items() if sandbox is not None}
        assert self.cluster.reports() == fresh.reports()


TestWays = Ways.TestCase
TestWays.settings = settings(max_examples=in_proportion(150), stateful_step_count=12, deadline=None)


class SlicedWays(Ways):
    """The same where every pod of a relabelled namespace is a slice, with other changes between them."""

    def __init__(self):
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(state, "_SLICE_PODS", 1)

    @rule(values=st.lists(objects, min_size=1, max_size=4))
    def put(self, values):
        for value in values:
            self.objects[builders.reference(value)] = value
            self.follow(self.cluster.apply([present(value)]))

    @invariant()
    def every_way_leads_to_the_same_state(self):
        while self.cluster.unfinished:
            self.follow(self.cluster.resume())
        super().every_way_leads_to_the_same_state()

    def teardown(self):
        self._patch.undo()


TestSlicedWays = SlicedWays.TestCase
TestSlicedWays.settings = TestWays.settings
