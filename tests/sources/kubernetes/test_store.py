"""Objects as the store of a kind delivers them."""

import msgspec

from mnp_core.model import Severity
from mnp_core.plugins import load_plugins
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.codec import read_object
from mnp_core.sources.kubernetes.store import RecordStore, Store


def test_of_the_problems_of_one_object_the_first_are_delivered():
    """Ten thousand policies with fifty problems each would take a gigabyte on every node."""
    metadata = {"name": "odd", "namespace": "demo", "resourceVersion": "1"}
    spec = {"podSelector": {}, "ingress": [{"from": [{f"odd-{number}": {}} for number in range(30)]}]}
    raw = msgspec.json.encode({"metadata": metadata, "spec": spec})
    change = Store("MultiNetworkPolicy", Decoder().decode).read(raw, "k8s.cni.cncf.io/v1beta1").change
    *listed, last = [report for report in change.reports if report.severity is Severity.PROBLEM]
    assert [report.field for report in listed if "from" in report.field] == [
        f"spec.ingress[0].from[{number}]" for number in range(10)
    ]
    assert (last.field, last.message) == ("", "it has more problems than are listed here")
    assert change.object.ingress is not None


def machine(version, uid="1", ips=("10.0.0.5",), **status):
    entry = {"name": "net", "infoSource": "domain", "ipAddresses": list(ips)}
    return msgspec.json.encode(
        {
            "metadata": {"name": "vm", "namespace": "demo", "uid": uid, "resourceVersion": str(version)},
            "spec": {"networks": [{"name": "net", "multus": {"networkName": "net"}}], "domain": {"cpu": version}},
            "status": {"interfaces": [entry], **status},
        }
    )


def test_of_a_machine_only_its_addresses_networks_and_uid_are_news():
    """S61, S75: KubeVirt writes its status all the time; a machine made anew has other pods."""
    (source,) = load_plugins().addresses_from(["kubevirt"])
    store = RecordStore(source.kind, Decoder((), (source,)).decode)

    def news(raw):
        entry = store.read(raw, "kubevirt.io/v1")
        changes = store.changes([entry])
        store.commit([entry])
        return [(change.object.uid, [str(a) for each in change.object.interfaces for a in each.addresses])
                for change in changes]  # fmt: skip

    assert news(machine(1)) == [("1", ["10.0.0.5"])]
    assert news(machine(2, phase="Running", guestOSInfo={"name": "Debian"})) == []
    assert news(machine(3, ips=["10.0.0.6"])) == [("1", ["10.0.0.6"])]
    assert news(machine(4, uid="2", ips=["10.0.0.6"])) == [("2", ["10.0.0.6"])]


def test_of_a_machine_nothing_else_is_decoded():
    """A megabyte of a machine that is of no meaning here costs no memory."""
    raw = machine(1, guestOSInfo={"name": "x" * 1_000_000}, conditions=[{}] * 1000)
    found = read_object(raw, "VirtualMachineInstance")
    assert sorted(found["status"]) == ["interfaces"]
    assert sorted(found["spec"]) == ["networks"]
