"""Addresses of guests from machines and claims: the running program, an API server, and packets (S75).

Enforced are pods whose peer is a guest: its launcher is a pod of the lab whose network-status has no address.
"""

import json
import re
import signal

import pytest

from mnp_core.model import ObjectName
from mnp_core.testing.apiserver import ServedResource

pytestmark = pytest.mark.root
MACHINES = ServedResource("kubevirt.io", "VirtualMachineInstance", "virtualmachineinstances", ("v1",))
CLAIMS = ServedResource("k8s.cni.cncf.io", "IPAMClaim", "ipamclaims", ("v1alpha1",))
STATUS, NETWORKS = "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks"
CLIENT = ObjectName("demo", "client")


def addresses(node, name):
    """The addresses that a pod really has on its secondary network."""
    entries = json.loads(node.raw("Pod", name)["metadata"]["annotations"][STATUS])
    return [address for entry in entries if not entry.get("default") for address in entry["ips"]]


def launcher(node, name="client", networks=None):
    """Let a pod be the launcher of a machine without addresses, on a network without IPAM."""
    uid = node.server.put("virtualmachineinstances", machine())["metadata"]["uid"]
    raw = json.loads(json.dumps(node.raw("Pod", name)))
    metadata = raw["metadata"]
    metadata["labels"] |= {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid}
    entries = [{**entry, "ips": []} for entry in json.loads(metadata["annotations"][STATUS])]
    metadata["annotations"][STATUS] = json.dumps(entries)
    if networks is not None:
        metadata["annotations"][NETWORKS] = json.dumps(networks)
    node.server.put("pods", raw)
    return raw


def machine(*ips, source="domain, multus-status", interface="net1", name="vm", **entry):
    networks = [{"name": "default", "pod": {}}, {"name": "data", "multus": {"networkName": "data"}}]
    found = {"name": "data", "infoSource": source, "ipAddresses": list(ips), "podInterfaceName": interface, **entry}
    return {
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"networks": networks},
        "status": {"phase": "Running", "interfaces": [found]},
    }


def is_watched(node, plural):
    return any(plural in line for line in node.server.requests)


def test_a_guest_is_a_peer_by_the_addresses_of_its_machine(node):
    """S75, S61, S62: learned, changed, lost, and the same after a kill."""
    node.server.serve(MACHINES)
    launcher(node)
    node.set(guest_addresses="kubevirt")
    node.start()
    assert node.allowed() == set()
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.until(lambda: node.allowed() == {"client"})
    node.end(signal.SIGKILL)
    node.start()
    assert node.allowed() == {"client"}
    node.server.put("virtualmachineinstances", machine("10.10.0.222"))
    node.until(lambda: node.allowed() == set())
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.until(lambda: node.allowed() == {"client"})
    node.server.delete("virtualmachineinstances", "vm", "demo")
    node.until(lambda: node.allowed() == set())


def test_what_a_guest_says_itself_counts_only_by_a_setting_of_its_own(node):
    """S75: a guest could claim the address of anybody on its network."""
    node.server.serve(MACHINES)
    launcher(node)
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client"), source="domain, guest-agent"))
    node.set(guest_addresses="kubevirt")
    node.start()
    assert node.allowed() == set()
    assert node.end() == 0
    node.set(guest_addresses="kubevirt-guest-agent")
    node.start()
    assert node.allowed() == {"client"}


def test_nothing_is_read_that_the_setting_does_not_name(node):
    node.server.serve(MACHINES)
    node.server.serve(CLAIMS)
    launcher(node)
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.start()
    assert node.allowed() == set()
    assert node.end() == 0
    assert not is_watched(node, "virtualmachineinstances")
    node.set(guest_addresses="ipam-claims")
    node.start()
    assert is_watched(node, "ipamclaims")
    assert not is_watched(node, "virtualmachineinstances")


def test_a_definition_that_comes_later_is_read_when_it_is_there(node):
    """No error at the start: the reason is in the log, and everything else is enforced."""
    launcher(node)
    node.set(guest_addresses="kubevirt, ipam-claims")
    node.start()
    log = node.log.read_text()
    assert "VirtualMachineInstance: kubevirt.io/v1 is not served: it is read as soon as" in log
    assert "IPAMClaim: k8s.cni.cncf.io/v1alpha1 is not served" in log
    assert node.allowed() == set()
    node.server.serve(MACHINES)
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.until(lambda: node.allowed() == {"client"})


def test_a_claim_has_the_addresses_of_the_request_that_names_it(node):
    """S75."""
    node.server.serve(CLAIMS)
    request = {"name": "data", "namespace": "demo", "interface": "net1", "ipam-claim-reference": "vm.data"}
    launcher(node, networks=[request])
    node.set(guest_addresses=["ipam-claims"])
    node.start()
    assert node.allowed() == set()
    claim = {
        "metadata": {"name": "vm.data", "namespace": "demo"},
        "spec": {"network": "tenantblue", "interface": "net1"},
        "status": {"ips": [f"{address}/24" for address in addresses(node, "client")], "ownerPod": "client"},
    }
    node.server.put("ipamclaims", claim)
    node.until(lambda: node.allowed() == {"client"})


def test_live_migration_keeps_the_guest_a_peer_throughout(node):
    """S75, S5: source and target have its address for a moment, and no packet of an allowed flow is lost by that."""
    node.server.serve(MACHINES)
    source = launcher(node)
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.set(guest_addresses="kubevirt")
    node.start()
    assert node.allowed() == {"client"}
    target = {**source, "metadata": {**source["metadata"], "name": "client-target", "uid": "target"}}
    target = {**target, "spec": {**target["spec"], "nodeName": "elsewhere"}}
    node.server.put("pods", target)
    node.until(lambda: any("10.10.0." in line for line in node.problems("DuplicateAddress")))
    assert node.allowed() == {"client"}
    terminating = {**source["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    node.server.put("pods", {**source, "metadata": terminating})
    node.until(lambda: 'msg="problem resolved"' in node.log.read_text())
    assert node.allowed() == {"client"}
    node.server.delete("pods", "client", "demo")
    node.until(lambda: node.allowed() == {"client"})
    node.server.delete("pods", "client-target", "demo")
    node.until(lambda: node.allowed() == set())


def test_hostile_machines_add_nothing_and_are_reported(node):
    """S6, S75: each problem names object and field; other machines are not harmed."""
    node.server.serve(MACHINES)
    launcher(node)
    node.set(guest_addresses="kubevirt-guest-agent")
    node.start()
    for bad in (
        machine("0.0.0.0", "224.0.0.1", "127.0.0.1", "x", name="bad"),  # noqa: S104 # an address in an object
        machine(*(f"10.10.{n // 250}.{n % 250 + 1}" for n in range(20_000)), name="many"),
        {**machine(name="shape"), "status": {"interfaces": {"junk": ["x" * 1000] * 1000}}},
        {**machine(name="spec"), "spec": {"networks": "data"}},
    ):
        node.server.put("virtualmachineinstances", bad)
    for name, field in (
        ("bad", "status.interfaces[0].ipAddresses[0]"),
        ("many", "status.interfaces[0].ipAddresses"),
        ("shape", "status.interfaces"),
        ("spec", "spec.networks"),
    ):
        told = f'object="VirtualMachineInstance demo/{name}" field="?{re.escape(field)}"? '
        node.until(lambda told=told: any(re.search(told, line) for line in node.problems("InvalidGuestAddress")))
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.until(lambda: node.allowed() == {"client"})


def test_a_plugged_interface_is_enforced_and_a_peer_without_a_restart(node):
    """S61: network-status and machine grow on a running pod, in either order."""
    node.server.serve(MACHINES)
    whole = launcher(node)
    before = json.loads(json.dumps(whole))
    entries = [entry for entry in json.loads(whole["metadata"]["annotations"][STATUS]) if entry.get("default")]
    before["metadata"]["annotations"] |= {STATUS: json.dumps(entries)}
    del before["metadata"]["annotations"][NETWORKS]
    node.server.put("pods", before)
    node.set(guest_addresses="kubevirt")
    node.start()
    assert node.allowed() == set()
    isolating = node.raw("MultiNetworkPolicy", "web-deny")
    deny = {**isolating, "metadata": {**isolating["metadata"], "name": "client-deny"}}
    deny["spec"] = {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Ingress"]}
    node.server.put("multi-networkpolicies", deny)
    assert node.allowed(CLIENT) == {"web", "stranger"}
    node.server.put("pods", whole)
    node.until(lambda: node.allowed(CLIENT) == set())
    node.server.put("virtualmachineinstances", machine(*addresses(node, "client")))
    node.until(lambda: node.allowed() == {"client"})
