"""The World keeps indexes; whatever the way, it must say what a World that was told everything at once would say."""

from ipaddress import ip_address

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mnp_core.agent.world import Effect, World
from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    Change,
    CommonRules,
    ContainerPort,
    NamedPort,
    Namespace,
    Network,
    NetworkStatus,
    ObjectName,
    ObjectRef,
    Operator,
    Pod,
    PodPeer,
    Policy,
    PolicyRule,
    Protocol,
    Requirement,
    SandboxPolicy,
    Scope,
    Selector,
)

NET = ObjectName("x", "net")
OTHER = ObjectName("x", "other")


def label(key, *values, operator=Operator.IN):
    return Selector(requirements=(Requirement(key=key, operator=operator, values=frozenset(values)),))


def pod(name, address, *, node="n1", labels=None, phase="Running", network=NET, ports=()):
    namespace, name = name.split("/")
    status = NetworkStatus(network=network, interface="net1", addresses=(ip_address(address),))
    return Pod(
        name=ObjectName(namespace, name),
        labels=labels or {"app": name},
        node=node,
        phase=phase,
        ports=ports,
        statuses=(status,),
    )


def policy(name, *, selector=None, ingress=(), egress=None, network=NET):
    return Policy(
        ref=ObjectRef("MultiNetworkPolicy", ObjectName("x", name)),
        scope=Scope(networks=frozenset({network})),
        pod_selector=selector or Selector(),
        ingress=ingress,
        egress=egress,
    )


def rule_from(*peers, ports=ANY_PORT):
    return PolicyRule(index=0, peers=peers or ANY_PEER, ports=ports)


def in_own_namespace(selector):
    return PodPeer(namespace="x", namespace_selector=None, pod_selector=selector)


def in_namespaces(selector, pods=None):
    return PodPeer(namespace=None, namespace_selector=selector, pod_selector=pods or Selector())


def upsert(value):
    match value:
        case Pod():
            ref = ObjectRef("Pod", value.name)
        case Namespace():
            ref = ObjectRef("Namespace", ObjectName("", value.name))
        case Network():
            ref = ObjectRef("NetworkAttachmentDefinition", value.name)
        case Policy():
            ref = value.ref
    return Change(ref=ref, object=value)


def delete(value):
    return Change(ref=upsert(value).ref, object=None)


def world(*objects, node=None):
    new = World(common=CommonRules(), claimed=frozenset({"macvlan"}), node=node)
    new.apply(map(upsert, (Network(name=NET, cni_types=("macvlan",)), *objects)))
    return new


X = Namespace(name="x", labels={"team": "red"})
Y = Namespace(name="y", labels={"team": "blue"})
A, B = pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.2")


def addresses(sandbox):
    return {str(member) for group in sandbox.groups.values() for member in group.members}


def test_a_new_peer_is_a_difference_of_membership_and_nothing_else():
    """S61."""
    w = world(X, A, B, policy("p", selector=label("app", "a"), ingress=(rule_from(in_own_namespace(Selector())),)))
    effect = w.apply([upsert(pod("x/c", "10.0.0.3", node="n2"))])
    assert effect.sandboxes == {ObjectName("x", "c")}
    [(delta, users)] = effect.deltas
    assert users == {A.name}
    assert {str(a) for a in delta.after.members - delta.before.members} == {"10.0.0.3"}
    assert not delta.before.members - delta.after.members


def test_a_pod_that_nobody_selects_as_a_peer_affects_nobody_else():
    """S61."""
    peers = in_own_namespace(label("role", "client"))
    w = world(X, A, B, policy("p", ingress=(rule_from(peers),)), node="n1")
    effect = w.apply([upsert(pod("x/c", "10.0.0.3", node="n2"))])
    assert effect == Effect(sandboxes=frozenset(), gone=frozenset(), deltas=())


def test_relabelling_a_namespace_changes_membership():
    """S61."""
    blue = rule_from(in_namespaces(label("team", "blue")))
    w = world(X, Y, A, pod("y/d", "10.0.0.4"), policy("p", ingress=(blue,)))
    effect = w.apply([upsert(Namespace(name="y", labels={"team": "green"}))])
    assert effect.sandboxes == frozenset()
    assert [{str(a) for a in d.before.members - d.after.members} for d, _ in effect.deltas] == [{"10.0.0.4"}]
    assert addresses(w.sandbox_policy(A.name)) == set()


def test_a_namespace_that_is_not_known_yet_matches_no_namespace_selector():
    not_red = in_namespaces(label("team", "red", operator=Operator.NOT_IN))
    w = world(X, A, pod("y/d", "10.0.0.4"), policy("p", ingress=(rule_from(not_red),)))
    assert addresses(w.sandbox_policy(A.name)) == set()
    w.apply([upsert(Y)])
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.4"}


def test_a_finished_pod_is_neither_target_nor_peer():
    """S5."""
    w = world(X, A, B, policy("p", ingress=(rule_from(in_own_namespace(Selector())),)))
    effect = w.apply([upsert(pod("x/b", "10.0.0.2", phase="Succeeded"))])
    assert effect.gone == {B.name}
    assert w.sandbox_policy(B.name) is None
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.1"}


def test_an_address_that_moved_to_another_pod_stays_allowed_whatever_the_order():
    """S5: the address of a finished pod may belong to another pod already."""
    w = world(X, A, B, policy("p", ingress=(rule_from(in_own_namespace(label("app", "b"))),)))
    heir = pod("x/heir", "10.0.0.2", labels={"app": "b"})
    w.apply([upsert(heir)])
    effect = w.apply([delete(B)])
    assert effect.deltas == ()
    assert addresses(w.sandbox_policy(A.name)) == {"10.0.0.2"}


def test_a_pod_that_loses_its_attachments_is_told_of_so_that_its_rules_go():
    """S62."""
    w = world(X, A)
    effect = w.apply([upsert(Pod(name=A.name, labels=A.labels, node="n1", phase="Running"))])
    assert effect.sandboxes == {A.name}
    assert w.sandbox_policy(A.name) is None


def test_pods_of_other_nodes_are_peers_but_not_targets():
    w = world(
        X, A, pod("x/far", "10.0.0.9", node="n2"), policy("p", ingress=(rule_from(in_own_namespace(Selector())),))
    )
    here = World(common=CommonRules(), claimed=frozenset({"macvlan"}), node="n1")
    here.apply(map(upsert, (Network(name=NET, cni_types=("macvlan",)), X, A, pod("x/far", "10.0.0.9", node="n2"))))
    assert w.sandbox_policy(ObjectName("x", "far")) is not None
    assert here.sandbox_policy(ObjectName("x", "far")) is None
    assert here.sandbox_policy(A.name) is not None


def test_a_change_that_changes_nothing_affects_nothing():
    """S61."""
    w = world(X, A, B, policy("p"))
    effect = w.apply(map(upsert, (X, A, B, policy("p"))))
    assert effect == Effect(sandboxes=frozenset(), gone=frozenset(), deltas=())


def test_a_network_definition_that_appears_late_reaches_the_pods_that_wait_for_it():
    """S61."""
    w = World(common=CommonRules(), claimed=frozenset({"macvlan"}))
    w.apply(map(upsert, (X, A, policy("p"))))
    effect = w.apply([upsert(Network(name=NET, cni_types=("macvlan",)))])
    assert effect.sandboxes == {A.name}
    assert w.claims(A.name)[0].kind == "macvlan"


# --- any way to a state is as good as any other ---------------------------------------------------------------------

labels = st.fixed_dictionaries({}, optional={"app": st.sampled_from("abc"), "tier": st.sampled_from("12")})
requirement = st.builds(
    lambda key, operator, values: Requirement(
        key=key, operator=operator, values=values if operator in {Operator.IN, Operator.NOT_IN} else frozenset()
    ),
    st.sampled_from(["app", "tier", "team"]),
    st.sampled_from(list(Operator)),
    st.frozensets(st.sampled_from(["a", "b", "1", "red", "blue"]), min_size=1, max_size=2),
)
selectors = st.builds(lambda rs, never: Selector(requirements=tuple(rs), never=never), st.lists(requirement, max_size=2),
                      st.sampled_from([False] * 9 + [True]))  # fmt: skip
peers = st.one_of(selectors.map(in_own_namespace), st.builds(in_namespaces, selectors, selectors))
ports = st.sampled_from([ANY_PORT, (NamedPort(protocol=Protocol.TCP, name="web"),)])
rules = st.builds(lambda p, ports: PolicyRule(index=0, peers=tuple(p), ports=ports), st.lists(peers, max_size=2), ports)
rule_lists = st.one_of(st.none(), st.lists(rules, max_size=2).map(tuple))
pods = st.builds(
    lambda name, number, labels, node, phase, network, port: pod(
        name, f"10.0.0.{number}", labels=labels, node=node, phase=phase, network=network,
        ports=(ContainerPort(name="web", protocol=Protocol.TCP, port=port),),
    ),
    st.sampled_from(["x/a", "x/b", "x/c", "y/a", "y/b"]), st.integers(1, 5), labels, st.sampled_from(["n1", "n2"]),
    st.sampled_from(["Running", "Running", "Failed"]), st.sampled_from([NET, OTHER]), st.sampled_from([80, 81]),
)  # fmt: skip
namespaces = st.builds(
    lambda name, team: Namespace(name=name, labels={"team": team}),
    st.sampled_from("xy"),
    st.sampled_from(["red", "blue"]),
)
networks = st.builds(
    lambda name, kind: Network(name=name, cni_types=(kind,)),
    st.sampled_from([NET, OTHER]),
    st.sampled_from(["macvlan", "odd"]),
)
policies = st.builds(policy, st.sampled_from("pq"), selector=selectors, ingress=rule_lists, egress=rule_lists,
                     network=st.sampled_from([NET, OTHER]))  # fmt: skip
objects = st.one_of(pods, pods, policies, policies, namespaces, networks)


class Ways(RuleBasedStateMachine):
    """Follows the effects as an agent would, and compares with a World that was told the final state at once."""

    def __init__(self):
        super().__init__()
        self.world = World(common=CommonRules(), claimed=frozenset({"macvlan"}), node="n1")
        self.objects = {}
        self.written: dict[ObjectName, SandboxPolicy] = {}

    @rule(values=st.lists(objects, min_size=1, max_size=3))
    def put(self, values):
        self.objects.update({upsert(value).ref: value for value in values})
        self.follow(self.world.apply(map(upsert, values)))

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def remove(self, data):
        ref = data.draw(st.sampled_from(sorted(self.objects)))
        del self.objects[ref]
        self.follow(self.world.apply([Change(ref=ref, object=None)]))

    def follow(self, effect):
        for name in effect.gone:
            self.written.pop(name, None)
        for name in effect.sandboxes:
            written = self.world.sandbox_policy(name)
            if written is None:
                self.written.pop(name, None)
            else:
                self.written[name] = written
        for delta, users in effect.deltas:
            for name in users:
                held = self.written[name]
                if delta.id in held.groups:
                    assert held.groups[delta.id] == delta.before
                    groups = {**held.groups, delta.id: delta.after}
                    self.written[name] = SandboxPolicy(
                        pod=held.pod, interfaces=held.interfaces, groups=groups, common=held.common
                    )

    @invariant()
    def every_way_leads_to_the_same_state(self):
        fresh = World(common=CommonRules(), claimed=frozenset({"macvlan"}), node="n1")
        fresh.apply(map(upsert, self.objects.values()))
        wanted = {name: fresh.sandbox_policy(name) for name in fresh.local_pods()}
        assert self.written == {name: sandbox for name, sandbox in wanted.items() if sandbox is not None}
        assert self.world.reports() == fresh.reports()


TestWays = Ways.TestCase
TestWays.settings = settings(max_examples=150, stateful_step_count=12, deadline=None)
pytestmark = pytest.mark.timeout(120)
