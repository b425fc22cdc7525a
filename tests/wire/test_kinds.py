"""Pods on five networks of different kinds with the same addresses on all: every kind of policy is right on each."""

import importlib
import json
import sys
from itertools import permutations

import pytest

from mnp_core.model import Reason
from mnp_core.testing.suites.reference.naive import End, allowed
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.living import make_decoder
from tests.plugins.distributions import write_distribution
from tests.wire.mixed import MixedRig

pytestmark = pytest.mark.root

TYPES = {"x/net1": "macvlan", "x/net2": "bridge", "x/net3": "ptp", "x/net4": "macvlan", "x/net5": "host-device"}
"""By network; a pod's interface is called like its network."""
SUBNETS = ("10.0.0.0/24", "fd00::/64")
PODS = ("web", *(f"{role}{network[-1]}" for network in TYPES for role in ("friend", "stranger")))
POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"
FROM_FRIEND = {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}
WEB = {"matchLabels": {"app": "web"}}


def networks_of(pod):
    """A pod in the middle that is attached to all of them, and two at the edge of each."""
    return list(TYPES) if pod == "web" else [f"x/net{pod[-1]}"]


def addresses(pod):
    """The same three on every network; the friend's on one network is the stranger's on the next."""
    number = 1 if pod == "web" else 2 + (pod.startswith("friend") + int(pod[-1])) % 2
    return f"10.0.0.{number}", f"fd00::{number}"


def ends(family):
    return [
        End(addresses(pod)[family], f"x/{pod}", network.partition("/")[2])
        for pod in PODS
        for network in networks_of(pod)
    ]


PROBES = [
    Probe(*pair, protocol, port)
    for family in (0, 1)
    for pair in permutations(ends(family), 2)
    if pair[0].interface == pair[1].interface
    for protocol, port in (("TCP", 80), ("UDP", 53))
]


def pod_of(name):
    status = [
        {"name": network, "interface": network.partition("/")[2], "ips": addresses(name)}
        for network in networks_of(name)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "x",
            "labels": {"app": name.rstrip("12345")},
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
        },
    }


def definition_of(network):
    home, _, name = network.partition("/")
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": home},
        "spec": {"config": json.dumps({"cniVersion": "1.0.0", "name": name, "type": TYPES[network]})},
    }


CLUSTER = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    *map(definition_of, TYPES),
    *map(pod_of, PODS),
]


def policy(name, spec, networks=None, *, kind="MultiNetworkPolicy", api_version="k8s.cni.cncf.io/v1beta1"):
    annotations = {} if networks is None else {POLICY_FOR: networks}
    metadata = {"name": name, "namespace": "x", "annotations": annotations}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"podSelector": WEB} | spec}


def macvlan_policy(name, spec, networks=None):
    return policy(name, spec, networks, kind="MacvlanNetworkPolicy", api_version="k8s.cni.cncf.io/v1")


def expected(*policies):
    """By the reference, which knows MultiNetworkPolicy alone."""
    objects = [*CLUSTER, *policies]
    return {probe: allowed(objects, *probe) for probe in PROBES}


CLOSED = {"policyTypes": ["Ingress"]}
OPEN_TO_FRIEND = {"policyTypes": ["Ingress"], "ingress": [FROM_FRIEND]}
EGRESS_TCP = {"policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80}]}]}
EACH_ITS_OWN = (
    policy("one", OPEN_TO_FRIEND, "net1"),
    policy("two", CLOSED, "net2"),
    policy("three", EGRESS_TCP, "net3"),
    policy("four", OPEN_TO_FRIEND | {"podSelector": {}}, "net4"),
)


def reports(rig, objects):
    """Of the discoverers too, when the state is in force."""
    rig.become(objects)
    return rig.agent.reports()


@pytest.fixture
def rig():
    with MixedRig(TYPES, SUBNETS) as made:
        assert reports(made, CLUSTER) == ()
        yield made


def test_without_policies_every_network_is_open(rig):
    """Open without policies, so later denials are theirs."""
    assert rig.wrong(dict.fromkeys(PROBES, True)) == {}


def test_a_policy_for_each_network_is_right_on_each(rig):
    """S10, S21: net5 has none; an address that a friend has on one network is a stranger's on the next."""
    wanted = expected(*EACH_ITS_OWN)
    assert {wanted[probe] for probe in PROBES if probe.destination.interface == "net5"} == {True}
    assert {wanted[probe] for probe in PROBES if probe.destination.interface == "net1"} == {True, False}
    assert reports(rig, [*CLUSTER, *EACH_ITS_OWN]) == ()
    assert rig.wrong(wanted) == {}


def test_macvlan_policies_add_to_others_on_the_same_interfaces(rig):
    """S11: closed on all macvlan interfaces, and opened to friends on one of them by a policy of the other kind."""
    added = macvlan_policy("closed", CLOSED), policy("friend", OPEN_TO_FRIEND, "net1,net2")
    assert reports(rig, [*CLUSTER, *added]) == ()
    wanted = expected(policy("closed", CLOSED, "net1,net4"), policy("friend", OPEN_TO_FRIEND, "net1,net2"))
    assert rig.wrong(wanted) == {}
    assert reports(rig, [*CLUSTER, added[1]]) == ()
    assert rig.wrong(expected(added[1])) == {}


def test_macvlan_policy_on_a_network_of_another_kind_is_reported_and_does_nothing_there(rig):
    """S64."""
    (report,) = reports(rig, [*CLUSTER, macvlan_policy("some", CLOSED, "net1,net2")])
    assert (report.reason, str(report.about)) == (Reason.INVALID_POLICY_FOR, "MacvlanNetworkPolicy x/some")
    assert rig.wrong(expected(policy("some", CLOSED, "net1"))) == {}


ANOTHERS = """
from functools import partial

from mnp_core import hookimpl
from mnp_core.api import PolicyKindSpec
from mnp_core.model.parsing import parse_policy

KINDS = frozenset({"bridge"})

@hookimpl
def mnp_register_policy_kinds():
    parse = partial(parse_policy, kind="WirePolicy", scope_kinds=KINDS, networks_required=False)
    yield PolicyKindSpec(
        name="wirepolicies",
        group="policy.example.org",
        versions=("v1alpha1",),
        kind="WirePolicy",
        plural="wirepolicies",
        parse=parse,
    )
"""


@pytest.fixture
def wire_policies(tmp_path, monkeypatch):
    """A third party's distribution, installed."""
    write_distribution(tmp_path, "mnp-wires", ANOTHERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    make_decoder.cache_clear()
    yield
    make_decoder.cache_clear()
    sys.modules.pop("mnp_wires", None)


@pytest.mark.usefixtures("wire_policies")  # named first: plugins are loaded when the rig is made
def test_policy_kind_of_another_distribution_is_enforced(rig):
    """And it too adds to the kinds that are there."""
    added = policy("wired", OPEN_TO_FRIEND, kind="WirePolicy", api_version="policy.example.org/v1alpha1")
    assert reports(rig, [*CLUSTER, added, macvlan_policy("closed", CLOSED)]) == ()
    same = policy("wired", OPEN_TO_FRIEND, "net2"), policy("closed", CLOSED, "net1,net4")
    assert rig.wrong(expected(*same)) == {}
