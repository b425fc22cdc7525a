"""Addresses that network-status lacks, from machines and claims, in the running agent's state (S75)."""

import json

import pytest
from attrs import evolve

from mnp_core.cluster import ClusterState
from mnp_core.model import (
    AddressRecord,
    AddressSource,
    CommonRules,
    LinkPath,
    ObjectName,
    ObjectRef,
    Reason,
    RecordedInterface,
    parse_address,
)
from mnp_core.model.parsing import parse_pod
from mnp_core.testing.builders import absent, namespace, network, pods, policy, present, rule, selector

NET, OTHER = network("net", "macvlan"), network("other", "macvlan")
LABEL = "kubevirt.io/created-by"
LABELS = {"VirtualMachineInstance": LABEL, "IPAMClaim": ""}
FROM_GUESTS = policy("p", selector=selector(app="web"), networks=["net"], ingress=[rule([pods(app="guest")])])
STATUS, NETWORKS = "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks"
MAC = "02:00:00:00:00:05"
WEB, GUEST = ObjectName("default", "web"), ObjectName("default", "guest")


def entry(*ips, name="default/net", interface="net1", **more):
    return {"name": name, "interface": interface, "ips": list(ips), **more}


def pod(name, *entries, app="guest", uid="vmi-1", networks=None, terminating=False, node="here"):
    annotations = {STATUS: json.dumps(entries)}
    if networks is not None:
        annotations[NETWORKS] = json.dumps(networks)
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "labels": {"app": app, LABEL: uid},
        "annotations": annotations,
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return parse_pod({"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}})[0]


def interface(*addresses, network="net", **fields):
    return RecordedInterface(
        network=ObjectName("default", network) if network else None,
        addresses=tuple(map(parse_address, addresses)),
        **fields,
    )


def machine(*interfaces, uid="vmi-1", name="vm", space="default"):
    return AddressRecord(
        ref=ObjectRef("VirtualMachineInstance", ObjectName(space, name)), uid=uid, interfaces=interfaces
    )


def claim(*interfaces, name="vm.net", space="default"):
    return AddressRecord(ref=ObjectRef("IPAMClaim", ObjectName(space, name)), uid="c", interfaces=interfaces)


TARGET = pod("web", entry("10.0.0.1"), app="web", uid="")


def cluster(*objects, labels=LABELS, peer_addresses=AddressSource.NETWORK_STATUS):
    new = ClusterState(
        common=CommonRules(),
        claimed=frozenset({"macvlan"}),
        node="here",
        record_labels=labels,
        peer_addresses=peer_addresses,
    )
    new.apply(map(present, (NET, OTHER, namespace("default"), FROM_GUESTS, TARGET, *objects)))
    return new


def members(state):
    sandbox = state.sandbox_policy(WEB)
    return {str(address) for group in sandbox.groups.values() for address in group.members}


def reasons(state):
    return {report.reason for report in state.reports()}


def test_a_guest_without_addresses_in_network_status_has_those_of_its_machine():
    """S75, S21."""
    state = cluster(pod("guest", entry(mac=MAC)))
    assert members(state) == set()
    assert Reason.NO_ADDRESS in reasons(state)
    state.apply([present(machine(interface("10.0.0.5", "fd00::5")))])
    assert members(state) == {"10.0.0.5", "fd00::5"}
    assert Reason.NO_ADDRESS not in reasons(state)


def test_nothing_is_learned_from_kinds_that_are_not_asked_for():
    """S75."""
    state = cluster(pod("guest", entry()), labels={})
    state.apply([present(machine(interface("10.0.0.5")))])
    assert members(state) == set()


@pytest.mark.parametrize("first", ["pod", "machine"])
def test_the_order_of_objects_makes_no_difference(first):
    """S61."""
    both = [present(pod("guest", entry())), present(machine(interface("10.0.0.5")))]
    state = cluster()
    for change in both if first == "pod" else reversed(both):
        state.apply([change])
    assert members(state) == {"10.0.0.5"}


def test_a_changed_machine_changes_the_groups_and_only_those():
    """S61: a delta of members, no new rules in the pod that uses them."""
    state = cluster(pod("guest", entry(), node="elsewhere"), machine(interface("10.0.0.5")))
    affected = state.apply([present(machine(interface("10.0.0.6")))])
    assert members(state) == {"10.0.0.6"}
    assert affected.sandboxes == frozenset()
    ((delta, users),) = affected.deltas
    added, removed = ({str(a) for a in group.members} for group in (delta.added, delta.removed))
    assert (users, added, removed) == ({WEB}, {"10.0.0.6"}, {"10.0.0.5"})
    again = state.apply([present(machine(interface("10.0.0.6")))])
    assert (again.sandboxes, again.deltas) == (frozenset(), ())


def test_a_machine_that_is_gone_takes_its_addresses_along():
    record = machine(interface("10.0.0.5"))
    state = cluster(pod("guest", entry()), record)
    state.apply([absent(record)])
    assert members(state) == set()


def test_network_status_outranks_a_machine():
    """S75, S3: addresses are added where there are none, and never replaced."""
    assert members(cluster(pod("guest", entry("10.0.0.9")), machine(interface("10.0.0.5")))) == {"10.0.0.9"}


@pytest.mark.parametrize(
    "other",
    [machine(interface("10.0.0.5"), uid="vmi-2"), machine(interface("10.0.0.5"), space="elsewhere"), machine()],
)
def test_another_machine_says_nothing_about_the_pod(other):
    """S6: a namesake before or after it, or one in another namespace that has taken its UID."""
    assert members(cluster(pod("guest", entry()), other)) == set()


def test_a_machine_made_anew_is_another_one():
    record = machine(interface("10.0.0.5"))
    state = cluster(pod("guest", entry()), record)
    state.apply([present(machine(interface("10.0.0.5"), uid="vmi-2"))])
    assert members(state) == set()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (interface("10.0.0.5", interface="net1"), {"10.0.0.5"}),
        (interface("10.0.0.5", interface="net2"), set()),
        (interface("10.0.0.5", mac=MAC), {"10.0.0.5"}),
        (interface("10.0.0.5", mac="02:00:00:00:00:99"), set()),
        (interface("10.0.0.5", interface="net1", mac="02:00:00:00:00:99"), {"10.0.0.5"}),
        (interface("10.0.0.5", network="other"), set()),
        (interface("10.0.0.5", network=None), set()),
    ],
)
def test_an_attachment_is_found_by_network_and_name_or_mac(found, expected):
    """S75: KubeVirt's name of the interface decides; without one the MAC address, if both have one."""
    assert members(cluster(pod("guest", entry(mac=MAC)), machine(found))) == expected


def test_one_network_attached_twice_is_told_apart_or_nothing_is_learned():
    """S75, S3."""
    twice = pod("guest", entry(mac=MAC), entry(interface="net2", mac="02:00:00:00:00:06"))
    assert members(cluster(twice, machine(interface("10.0.0.5")))) == set()
    assert members(cluster(twice, machine(interface("10.0.0.5", mac=MAC)))) == {"10.0.0.5"}
    named = machine(interface("10.0.0.5", interface="net1"), interface("10.0.0.6", interface="net2"))
    assert members(cluster(twice, named)) == {"10.0.0.5", "10.0.0.6"}


def requested(name="vm.net", interface="net1"):
    return [{"name": "net", "namespace": "default", "interface": interface, "ipam-claim-reference": name}]


def test_a_claim_has_the_addresses_of_the_attachment_whose_request_names_it():
    """S75."""
    guest = pod("guest", entry(), networks=requested(), uid="")
    assert members(cluster(guest, claim(interface("10.0.0.5", network=None, interface="net1")))) == {"10.0.0.5"}
    assert members(cluster(guest, claim(interface("10.0.0.5", network=None, interface="net2")))) == set()
    assert members(cluster(guest, claim(interface("10.0.0.5", network=None), name="vm.other"))) == set()
    assert members(cluster(guest, claim(interface("10.0.0.5", network=None), space="elsewhere"))) == set()


@pytest.mark.parametrize("junk", [42, "../x", "UPPER", ["vm.net"], "x" * 300])
def test_a_request_with_a_bad_claim_stays_a_request(junk):
    """S6, S64: the attachment is known by it, the addresses are not."""
    guest = pod("guest", entry(), networks=requested(junk))
    assert [(request.interface, request.claim) for request in guest.requests] == [("net1", "")]


def test_of_two_sources_the_first_is_believed():
    guest = pod("guest", entry(), networks=requested())
    records = machine(interface("10.0.0.5")), claim(interface("10.0.0.6", network=None))
    assert members(cluster(guest, *records)) == {"10.0.0.5"}
    assert members(cluster(guest, *records, labels={kind: LABELS[kind] for kind in reversed(LABELS)})) == {"10.0.0.6"}


def test_during_live_migration_both_pods_count_and_it_is_reported():
    """S75, S5: two living pods of one machine have its address; when the source terminates it is the target's."""
    source, target = pod("guest", entry(mac=MAC)), pod("target", entry(mac=MAC), node="elsewhere")
    state = cluster(source, machine(interface("10.0.0.5", interface="net1", mac=MAC)))
    state.apply([present(target)])
    assert members(state) == {"10.0.0.5"}
    assert {str(a) for name in (GUEST, target.name) for p in state.peer_attachments(name) for a in p.addresses} == {
        "10.0.0.5"
    }
    assert Reason.DUPLICATE_ADDRESS in reasons(state)
    state.apply([present(pod("guest", entry(mac=MAC), terminating=True))])
    assert [p.addresses for p in state.peer_attachments(GUEST)] == [()]
    assert members(state) == {"10.0.0.5"}
    assert Reason.DUPLICATE_ADDRESS not in reasons(state)
    state.apply([absent(source)])
    assert members(state) == {"10.0.0.5"}


def test_an_address_of_somebody_else_is_reported_and_belongs_to_both():
    """S5: a guest, or whoever writes its machine, cannot take an address from a living pod."""
    honest = pod("honest", entry("10.0.0.7"), app="honest", uid="")
    state = cluster(honest, pod("guest", entry()), machine(interface("10.0.0.7")))
    assert Reason.DUPLICATE_ADDRESS in reasons(state)
    assert [str(a) for p in state.peer_attachments(honest.name) for a in p.addresses] == ["10.0.0.7"]


def test_an_interface_plugged_into_a_running_machine_is_learned():
    """S61: first network-status grows, then the machine's status."""
    state = cluster(pod("guest", entry(name="default/other")), machine(interface("10.8.0.5", network="other")))
    assert members(state) == set()
    state.apply([present(pod("guest", entry(name="default/other"), entry(interface="net2")))])
    assert members(state) == set()
    both = machine(interface("10.8.0.5", network="other"), interface("10.0.0.5", interface="net2"))
    state.apply([present(both)])
    assert members(state) == {"10.0.0.5"}


def test_kernel_addresses_are_believed_before_learned_ones():
    """With peer-addresses: kernel; a bridged interface has none in the kernel, and keeps the learned ones."""
    state = cluster(pod("guest", entry()), machine(interface("10.0.0.5")), peer_addresses=AddressSource.KERNEL)
    (claimed,) = state.claims(GUEST)
    state.observe_sandbox(GUEST, (evolve(claimed, addresses=(), recorded=False),))
    assert members(state) == {"10.0.0.5"}
    state.observe_sandbox(GUEST, (evolve(claimed, path=LinkPath.BRIDGED, carrier="x-nic"),))
    state.apply([present(machine(interface("10.0.0.6")))])
    assert members(state) == {"10.0.0.6"}
    state.observe_sandbox(GUEST, (evolve(claimed, addresses=(parse_address("10.0.0.8"),), recorded=False),))
    assert members(state) == {"10.0.0.8"}


def test_a_finished_pod_is_no_peer_whatever_its_machine_says():
    """S5."""
    state = cluster(evolve(pod("guest", entry()), phase="Succeeded"), machine(interface("10.0.0.5")))
    assert members(state) == set()
