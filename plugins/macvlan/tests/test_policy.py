"""MacvlanNetworkPolicy: its selection, and its union with the other policies of an interface."""

import pytest

from mnp_core.cluster import ClusterState
from mnp_core.model import CommonRules, Direction, Reason
from mnp_core.model.parsing import parse_policy
from mnp_core.plugins import load_plugins
from mnp_core.policy.evaluate import evaluate
from mnp_core.policy.validate import validate
from mnp_core.testing.builders import namespace, network, packet, pod, present, status
from mnp_macvlan import parse_macvlan_policy

CLAIMED = frozenset({"macvlan", "bridge"})
NETWORKS = network("fast", "macvlan"), network("slow", "tuning", "macvlan"), network("lan", "bridge")


def attached(name, host):
    nets = ("fast", "slow", "lan")
    found = (status(net, f"net{i}", f"10.{i}.0.{host}") for i, net in enumerate(nets, start=1))
    return pod(name, *found, labels={"app": name})


PODS = attached("web", 1), attached("friend", 2), attached("stranger", 3)


def manifest(kind="MacvlanNetworkPolicy", networks=None, ingress=(), name="p"):
    annotations = {} if networks is None else {"k8s.v1.cni.cncf.io/policy-for": networks}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": list(ingress)},
    }


def cluster(*policies):
    new = ClusterState(common=CommonRules(), claimed=CLAIMED)
    new.apply(map(present, (namespace("default"), *NETWORKS, *PODS, *policies)))
    return new


def reach(*policies):
    """The interfaces of web that each other pod reaches."""
    web = cluster(*policies).sandbox_policy(PODS[0].name)
    return {
        f"{peer} net{i}"
        for i in (1, 2, 3)
        for host, peer in ((2, "friend"), (3, "stranger"))
        if evaluate(web, f"net{i}", Direction.INGRESS, packet(f"10.{i}.0.{host}", f"10.{i}.0.1")).allowed
    }


def macvlan_policy(**fields):
    return parse_macvlan_policy(manifest(**fields))[0]


EVERYBODY = {f"{peer} net{i}" for peer in ("friend", "stranger") for i in (1, 2, 3)}
ON_BRIDGE = {"friend net3", "stranger net3"}
FROM_FRIEND = {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}


def test_without_policy_for_it_is_about_all_macvlan_interfaces_and_no_others():
    assert reach() == EVERYBODY
    assert reach(macvlan_policy()) == ON_BRIDGE


def test_with_policy_for_it_is_about_those_of_the_named_networks_that_are_macvlan():
    assert reach(macvlan_policy(networks="fast, lan")) == EVERYBODY - {"friend net1", "stranger net1"}


@pytest.mark.parametrize("networks", ["", "a/b/c"])
def test_policy_for_without_a_valid_network_selects_nothing_and_is_reported(networks):
    """S2."""
    policy, reports = parse_macvlan_policy(manifest(networks=networks))
    assert {report.reason for report in reports} == {Reason.INVALID_POLICY_FOR}
    assert reach(policy) == EVERYBODY


def test_missing_policy_for_is_no_mistake():
    assert parse_macvlan_policy(manifest())[1] == ()


def test_named_network_that_is_not_macvlan_is_reported():
    """S64."""
    (report,) = cluster(macvlan_policy(networks="fast,lan")).reports()
    assert report.reason is Reason.INVALID_POLICY_FOR
    assert "default/lan" in report.message
    assert validate(policies=[macvlan_policy(networks="fast,lan")], networks=NETWORKS, claimed=CLAIMED) == (report,)


def test_peers_stand_for_their_macvlan_addresses():
    """S21."""
    assert reach(macvlan_policy(ingress=[FROM_FRIEND])) == {"friend net1", "friend net2"} | ON_BRIDGE


@pytest.mark.parametrize("reverse", [False, True])
def test_it_forms_one_union_with_multi_network_policies_on_the_same_interface(reverse):
    """S11."""
    multi = manifest("MultiNetworkPolicy", "fast,lan", [FROM_FRIEND])
    policies = [macvlan_policy(), parse_policy(multi)[0]]
    assert reach(*reversed(policies) if reverse else policies) == {"friend net1", "friend net3"}


def test_network_whose_definition_has_gone_stays_closed():
    """S4, S13: it may have been macvlan."""
    left = cluster(macvlan_policy())
    left.apply([present(network("fast"))])
    web = left.sandbox_policy(PODS[0].name)
    assert not evaluate(web, "net1", Direction.INGRESS, packet("10.1.0.2", "10.1.0.1")).allowed


def test_plugin_registers_the_kind():
    spec = load_plugins().policy_kinds.require("macvlan-networkpolicies")
    assert (spec.group, spec.versions, spec.kind) == ("k8s.cni.cncf.io", ("v1",), "MacvlanNetworkPolicy")
    assert spec.plural == "macvlan-networkpolicies"
    policy, _ = spec.parse(manifest())
    assert str(policy.ref) == "MacvlanNetworkPolicy default/p"
