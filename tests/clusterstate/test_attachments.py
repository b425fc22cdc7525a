"""A pod's attachments and the owners of addresses, in the running agent's state (S3, S5, S64)."""

import json

import pytest
from attrs import evolve

from mnp_core.cluster import ClusterState
from mnp_core.model import AddressSource, CommonRules, Isolated, ObjectName, Reason, Severity, parse_address
from mnp_core.model.gated import Gated, GatedInterface
from mnp_core.model.parsing import parse_pod
from mnp_core.testing.builders import absent, namespace, network, pods, policy, present, rule

NET, OTHER = network("net", "macvlan"), network("other", "ovs")
FROM_ALL = policy("p", networks=["net"], ingress=[rule([pods()])])
STATUS = "k8s.v1.cni.cncf.io/network-status"
OF_OLD = "k8s.v1.cni.cncf.io/networks-status"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT = "v1.multus-cni.io/default-network"
ETH0 = {"name": "cluster", "interface": "eth0", "default": True}
A, B = ObjectName("default", "a"), ObjectName("default", "b")


def entry(number, name="default/net", interface="net1", **more):
    return {"name": name, "interface": interface, "ips": [f"10.0.0.{number}"], **more}


def a_pod(name="a", *, annotations=None, phase="Running", node="here", terminating=False, containers=(), **spec):
    """A pod as an API server has it, parsed as the agent parses it."""
    texts = {key: text if isinstance(text, str) else json.dumps(text) for key, text in (annotations or {}).items()}
    metadata = {"name": name, "namespace": "default", "annotations": texts}
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    raw = {
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": list(containers), **spec},
        "status": {"phase": phase},
    }
    return parse_pod(raw)[0]


def attached(name="a", number=1, **fields):
    return a_pod(name, annotations={STATUS: [ETH0, entry(number)]}, **fields)


def cluster(*objects, claimed=("macvlan",)):
    new = ClusterState(common=CommonRules(), claimed=frozenset(claimed), node="here")
    new.apply(map(present, (NET, OTHER, namespace("default"), *objects)))
    return new


def reports(cluster, reason):
    return [report for report in cluster.reports() if report.reason is reason]


def members(cluster, pod=A):
    sandbox = cluster.sandbox_policy(pod)
    return {str(address) for group in sandbox.groups.values() for address in group.members}


def interfaces(cluster, pod=A):
    return {claim.interface for claim in cluster.claims(pod)}


# --- lost attachments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("networks", ["net", "default/net@net1", [{"name": "net", "ips": ["10.0.0.1/24"]}]])
@pytest.mark.parametrize("status", [{}, {STATUS: [ETH0]}, {STATUS: "[{"}, {STATUS: "[]"}, {STATUS: ""}])
def test_an_attachment_that_network_status_lost_stays_enforced_and_is_reported(networks, status):
    """S64."""
    before = cluster(a_pod(annotations={NETWORKS: networks, STATUS: [ETH0, entry(1)]}), FROM_ALL)
    after = cluster(a_pod(annotations={NETWORKS: networks, **status}), FROM_ALL)
    assert after.sandbox_policy(A).interfaces == before.sandbox_policy(A).interfaces
    (report,) = [each for each in reports(after, Reason.INVALID_STATUS) if "asks for default/net" in each.message]
    assert "asks for default/net as 'net1'" in report.message


def test_a_request_is_answered_by_an_entry_of_the_network_under_another_interface_name():
    """S3: the meta-plugin's report counts, not the request."""
    pod = a_pod(annotations={NETWORKS: "net@mine,net", STATUS: [ETH0, entry(1, interface="x"), entry(2)]})
    assert interfaces(cluster(pod)) == {"x", "net1"}
    third = evolve(pod, statuses=pod.statuses[:1])
    assert interfaces(cluster(third)) == {"x", "net2"}


def test_a_request_is_no_attachment_before_network_status():
    assert interfaces(cluster(a_pod(annotations={NETWORKS: "net"}, phase="Pending"))) == set()


def test_an_unrequested_address_belongs_to_no_pod():
    """S21."""
    w = cluster(attached("b", 2), a_pod(annotations={NETWORKS: "net"}), FROM_ALL)
    assert members(w, B) == {"10.0.0.2"}


# --- the default network ----------------------------------------------------------------------------------------------


def test_both_entries_of_a_primary_network_are_the_default_networks():
    """S3: pods of a primary user-defined network have two entries of one name, one of them default."""
    primary = {"name": "ovn-kubernetes", "interface": "ovn-udn1", "ips": ["10.128.0.4"], "default": True}
    infra = {"name": "ovn-kubernetes", "interface": "eth0", "ips": ["10.244.0.4"]}
    for entries in ([primary, infra, entry(1)], [infra, entry(1), primary]):
        pod = a_pod(annotations={STATUS: entries})
        assert pod.default_interfaces == {"ovn-udn1", "eth0"}
        w = cluster(pod, FROM_ALL)
        assert interfaces(w) == {"net1"}
        assert w.reports() == ()


@pytest.mark.parametrize("status", [[], [{"name": "default/net", "interface": "eth0", "default": True}]])
def test_a_policy_on_a_network_that_is_a_pods_default_one_is_reported(status):
    """S3."""
    pod = a_pod(annotations={DEFAULT: "default/net", STATUS: status})
    w = cluster(pod, FROM_ALL)
    (report,) = reports(w, Reason.DEFAULT_NETWORK)
    assert "MultiNetworkPolicy default/p enforces nothing" in report.message
    assert w.sandbox_policy(A) is None
    w.apply([absent(FROM_ALL)])
    assert w.reports() == ()


def test_the_annotation_of_old_meta_plugins_is_read_where_there_is_no_other():
    assert interfaces(cluster(a_pod(annotations={OF_OLD: [ETH0, entry(1)]}))) == {"net1"}
    both = {OF_OLD: [entry(1, interface="x")], STATUS: [entry(1)]}
    assert interfaces(cluster(a_pod(annotations=both))) == {"net1"}


# --- owners of addresses ----------------------------------------------------------------------------------------------


def test_an_address_of_a_terminating_pod_that_a_living_one_claims_is_the_living_ones_alone():
    """S5: a dead node's pods stay terminating; their labels must not stand for another pod."""
    picky = policy("p", networks=["net"], ingress=[rule([pods(app="ghost")])])
    ghost = evolve(attached("b", 2, node="dead", terminating=True), labels={"app": "ghost"})
    w = cluster(attached(), ghost, picky)
    assert members(w) == {"10.0.0.2"}
    heir = attached("c", 2, node="alive")
    w.apply([present(heir)])
    assert members(w) == set()
    assert reports(w, Reason.DUPLICATE_ADDRESS) == []
    w.apply([absent(heir)])
    assert members(w) == {"10.0.0.2"}


def test_two_living_pods_with_one_address_are_reported_until_one_goes():
    """S5."""
    w = cluster(attached(), attached("b", 1, node="elsewhere"))
    (report,) = reports(w, Reason.DUPLICATE_ADDRESS)
    assert (report.about.name, "pod default/b's" in report.message) == (A, True)
    w.apply([present(attached("b", 3, node="elsewhere"))])
    assert w.reports() == ()


def test_a_pod_that_was_never_scheduled_is_no_peer():
    """S5: no IPAM has assigned the addresses that its annotation claims."""
    w = cluster(attached(), attached("b", 2, node=""), FROM_ALL)
    assert members(w) == {"10.0.0.1"}
    w.apply([present(attached("b", 2, node="elsewhere"))])
    assert members(w) == {"10.0.0.1", "10.0.0.2"}


# --- counts for alerts ------------------------------------------------------------------------------------------------


def test_an_unclaimed_type_counts_as_open_only_where_a_policy_selects_it():
    """S64: an alert that fires for ever is turned off."""
    pod = a_pod(annotations={STATUS: [ETH0, entry(1, name="default/other")]})
    w = cluster(pod, FROM_ALL)
    (report,) = reports(w, Reason.UNCLAIMED_TYPE)
    assert not report.exposed
    assert "its CNI type is ovs, enforced are macvlan" in report.message
    on_it = policy("q", networks=["other"], ingress=[])
    w.apply([present(on_it)])
    assert [each.exposed for each in reports(w, Reason.UNCLAIMED_TYPE) if each.about.kind == "Pod"] == [True]
    w.apply([absent(on_it)])
    assert [each.exposed for each in reports(w, Reason.UNCLAIMED_TYPE)] == [False]


def test_an_interface_name_that_the_kernel_refuses_counts_as_open():
    """S64."""
    w = cluster(a_pod(annotations={STATUS: [ETH0, entry(1, interface="a/b")]}), FROM_ALL)
    assert [report.exposed for report in reports(w, Reason.UNENFORCEABLE)] == [True]


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"securityContext": {"privileged": True}}]},
        {"containers": [{"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}], "hostUsers": False},
        {"initContainers": [{"securityContext": {"capabilities": {"add": ["cap_net_admin"]}}}]},
        {"ephemeralContainers": [{"securityContext": {"capabilities": {"add": ["ALL"]}}}]},
    ],
)
def test_a_selected_pod_that_may_change_its_own_namespace_is_a_hint(spec):
    """S49."""
    w = cluster(attached(**spec))
    assert w.reports() == ()
    w.apply([present(FROM_ALL)])
    (report,) = reports(w, Reason.NETWORK_ADMIN)
    assert (report.severity, report.exposed) == (Severity.HINT, False)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"containers": [{"securityContext": {"capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]}}}]},
        {"containers": [7]},
    ],
)
def test_an_ordinary_pod_is_none(spec):
    assert cluster(attached(**spec), FROM_ALL).reports() == ()


# --- earlier sandboxes ------------------------------------------------------------------------------------------------


def found(cluster, pod, *addresses):
    """The kernel of a pod's sandbox has these addresses on its attachment."""
    (claim,) = cluster.claims(pod)
    cluster.observe_sandbox(pod, (evolve(claim, addresses=tuple(map(parse_address, addresses))),))


@pytest.mark.parametrize("change", ["uid", "status", "gone", "unscheduled"])
def test_addresses_found_in_an_earlier_sandbox_do_not_stay_the_pods(change):
    """S5, S61: with `peer-addresses: kernel`, observed addresses belong to their sandbox."""
    w = ClusterState(
        common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", peer_addresses=AddressSource.KERNEL
    )
    b = attached("b", 2)
    w.apply(map(present, (NET, namespace("default"), attached(), b, FROM_ALL)))
    found(w, B, "10.0.0.99")
    assert members(w) == {"10.0.0.1", "10.0.0.99"}
    match change:
        case "uid":
            w.apply([present(evolve(b, uid="another"))])
            assert members(w) == {"10.0.0.1", "10.0.0.2"}
        case "status":
            w.apply([present(attached("b", 3))])
            assert members(w) == {"10.0.0.1", "10.0.0.3"}
        case _:
            w.apply([absent(b) if change == "gone" else present(evolve(b, node=""))])
            assert members(w) == {"10.0.0.1"}
            w.apply([present(b)])
            assert members(w) == {"10.0.0.1", "10.0.0.2"}


def test_a_type_that_no_plugin_claims_is_enforced_where_a_setting_names_it():
    """S4: cnv-bridge, ovn-k8s-cni-overlay and the like make ordinary devices."""
    odd = network("odd", "ovn-k8s-cni-overlay")
    pod = a_pod(annotations={STATUS: [ETH0, entry(1, name="default/odd")]})
    on_it = policy("q", networks=["odd"], ingress=[])
    w = cluster(odd, pod, on_it, claimed=("macvlan", "ovn-k8s-cni-overlay"))
    assert interfaces(w) == {"net1"}
    assert w.reports() == ()


# --- gates ----------------------------------------------------------------------------------------------------------

GATED = Gated(interfaces=(GatedInterface(name="net1", network=NET.name, addresses=(parse_address("10.0.0.1"),)),))


def enforced(state):
    return [each.interface for each in state.sandbox_policy(A).interfaces]


def test_a_gates_description_counts_whether_it_comes_before_the_pod_or_after():
    pod = a_pod(phase="Pending")
    after, before = cluster(FROM_ALL, pod), cluster(FROM_ALL)
    assert interfaces(after) == set()
    assert after.put_gated(A, GATED).sandboxes == {A}
    before.put_gated(A, GATED)
    assert before.apply([present(pod)]).sandboxes == {A}
    for state in (after, before):
        assert interfaces(state) == {"net1"}
        assert members(state) == {"10.0.0.1"}


def test_a_gates_description_of_an_earlier_pod_of_the_name_does_not_count():
    state = cluster(FROM_ALL)
    state.put_gated(A, evolve(GATED, uid="earlier"))
    state.apply([present(evolve(a_pod(phase="Pending"), uid="later"))])
    assert interfaces(state) == set()


def test_a_gates_description_ends_with_the_sandbox():
    state = cluster(FROM_ALL, a_pod(phase="Pending"))
    state.put_gated(A, GATED)
    assert state.put_gated(A, None).sandboxes == {A}
    assert interfaces(state) == set()


def test_an_unclaimed_interface_is_denied_where_the_settings_say_so():
    """S64."""
    for denies in (True, False):
        state = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", denies_unclaimed=denies)
        state.apply(map(present, (NET, namespace("default"), a_pod())))
        state.deny_unclaimed(A, frozenset({"stray"}))
        sandbox = state.sandbox_policy(A)
        assert (sandbox is not None) is denies
        if denies:
            assert [(i.interface, i.ingress, i.egress) for i in sandbox.interfaces] == [
                ("stray", Isolated(), Isolated())
            ]
            state.apply([present(attached())])
            assert enforced(state) == ["net1", "stray"]
            state.deny_unclaimed(A, frozenset())
            assert enforced(state) == ["net1"]


def test_a_denied_interface_that_an_entry_claims_follows_its_policies():
    state = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", denies_unclaimed=True)
    state.apply(map(present, (NET, namespace("default"), a_pod())))
    state.deny_unclaimed(A, frozenset({"net1"}))
    state.apply([present(attached())])
    assert [type(each.ingress).__name__ for each in state.sandbox_policy(A).interfaces] == ["Open"]
