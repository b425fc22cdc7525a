"""Machines and claims in manifests: what `mnp validate` and `explain` make of them (S75)."""

import json

import pytest
import yaml

from tests.cli.objects import policy

STATUS, NETWORKS = "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks"
UID = "94e0304d-26d6-4868-942a-7e1043cc9c8d"
BARE = {"cniVersion": "0.4.0", "name": "data", "type": "macvlan", "master": "eth1"}
NET = {
    "apiVersion": "k8s.cni.cncf.io/v1",
    "kind": "NetworkAttachmentDefinition",
    "metadata": {"name": "data", "namespace": "demo"},
    "spec": {"config": json.dumps(BARE)},
}


def pod(name, *ips, status=True, **labels):
    request = [{"name": "data", "interface": "net1", "ipam-claim-reference": "vm.data"}] if name == "b" else "data"
    entry = {"name": "demo/data", "interface": "net1", "mac": "02:00:00:00:00:05", "ips": list(ips)}
    annotations = {NETWORKS: request if isinstance(request, str) else json.dumps(request)}
    if status:
        annotations[STATUS] = json.dumps([entry])
    metadata = {"name": name, "namespace": "demo", "labels": {"app": name, **labels}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c"}]}}


def machine(*ips, source="domain", **fields):
    entry = {"name": "blue", "infoSource": source, "ipAddresses": list(ips), "mac": "02:00:00:00:00:05"}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm", "namespace": "demo", "uid": UID},
        "spec": {"networks": [{"name": "blue", "multus": {"networkName": "data"}}]},
        "status": {"interfaces": [entry]},
        **fields,
    }


CLAIM = {
    "apiVersion": "k8s.cni.cncf.io/v1alpha1",
    "kind": "IPAMClaim",
    "metadata": {"name": "vm.data", "namespace": "demo"},
    "spec": {"network": "tenant", "interface": "net1"},
    "status": {"ips": ["10.9.0.6/24"], "ownerPod": "b"},
}
A = pod("a", "10.9.0.1")
B = pod("b", **{"kubevirt.io/created-by": UID})
ALLOW = policy(selector={"app": "a"}, ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}])
OBJECTS = [NET, A, B, ALLOW]


@pytest.fixture
def settings(tmp_path):
    """`settings("kubevirt")`: the options for it."""

    def of(*sources):
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump({"guest-addresses": list(sources)}))
        return "--settings", path

    return of


def reasons(answer):
    return {report["reason"] for report in answer["reports"]}


@pytest.mark.parametrize(
    ("source", "record"),
    [("kubevirt", machine("10.9.0.5")), ("kubevirt-guest-agent", machine("10.9.0.5", source="domain, guest-agent")),
     ("ipam-claims", CLAIM)],
)  # fmt: skip
def test_a_guest_has_the_addresses_of_its_record_if_the_settings_say_so(ask, verdict, settings, source, record):
    """S75."""
    objects = [*OBJECTS, record]
    assert "NoAddress" in reasons(ask("validate", objects))
    assert "NoAddress" not in reasons(ask("validate", objects, *settings(source)))
    assert verdict(objects, "--port", "tcp:80", *settings(source)) == "allowed"


def test_what_a_guest_says_is_not_believed_without_a_setting_of_its_own(ask, settings):
    objects = [*OBJECTS, machine("10.9.0.5", source="domain, guest-agent")]
    assert "NoAddress" in reasons(ask("validate", objects, *settings("kubevirt")))


def test_a_pod_without_network_status_has_the_address_of_its_claim(ask, settings):
    """As the meta-plugin would attach it."""
    without = pod("b", status=False)
    objects = [NET, A, without, ALLOW, CLAIM]
    assert "NoAddress" not in reasons(ask("validate", objects, *settings("ipam-claims")))


def test_faults_of_a_record_are_findings_with_object_and_field(ask, settings):
    objects = [*OBJECTS, machine("127.0.0.1", "10.9.0.5")]
    found = ask("validate", objects, *settings("kubevirt"), status=1)
    (fault,) = [report for report in found["reports"] if report["reason"] == "InvalidGuestAddress"]
    assert (fault["kind"], fault["name"]) == ("VirtualMachineInstance", "demo/vm")
    assert fault["field"] == "status.interfaces[0].ipAddresses[0]"
