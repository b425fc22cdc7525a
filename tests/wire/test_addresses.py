"""A network without IPAM: workloads give themselves addresses, later and others, and packets say whom rules mean."""

import json

import pytest
from pyroute2 import IPRoute

from mnp_core.model import AddressSource, Reason
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.rig import Rig

pytestmark = pytest.mark.root

LAN, NIC = "x/lan", "net1"
POLICY_FOR = {"k8s.v1.cni.cncf.io/policy-for": "lan"}
WEB, CLIENT, STRANGER = "x/web", "x/client", "x/stranger"
OUTSIDE = ("10.0.0.9", "fd00::9")
INGRESS = [
    {"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]},
    {"from": [{"ipBlock": {"cidr": f"{OUTSIDE[0]}/32"}}, {"ipBlock": {"cidr": f"{OUTSIDE[1]}/128"}}]},
    {"ports": [{"port": 81}]},
]


def pod(name):
    status = [{"name": LAN, "interface": NIC}]
    home, _, short = name.partition("/")
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)}
    metadata = {"name": short, "namespace": home, "labels": {"app": short}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


CLUSTER = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "lan", "namespace": "x"},
        "spec": {"config": '{"cniVersion": "1.0.0", "type": "macvlan"}'},
    },
    {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {"name": "web", "namespace": "x", "annotations": POLICY_FOR},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": INGRESS},
    },
    *map(pod, (WEB, CLIENT, STRANGER)),
]


@pytest.fixture(params=AddressSource)
def peer_addresses(request):
    return request.param


@pytest.fixture
def rig(mnp_backend, peer_addresses):
    subnets, outside = {LAN: ("10.0.0.0/24", "fd00::/64")}, {LAN: OUTSIDE}
    with Rig(subnets, outside, backend=mnp_backend, peer_addresses=peer_addresses, listening=True) as rig:
        assert {report.reason for report in rig.sync(CLUSTER).reports} <= {Reason.NO_ADDRESS}  # until there are some
        yield rig


def addresses(number):
    return f"10.0.0.{number}", f"fd00::{number}"


def set_addresses(rig, name, number, command="add"):
    """Change an address inside the pod, as a DHCP client would."""

    def work():
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname=NIC)
            for address, length, flags in zip(addresses(number), (24, 64), ({}, {"flags": 2}), strict=True):
                kernel.addr(command, index=index, address=address, prefixlen=length, **flags)

    run_inside(rig.sandbox(name), work)


def to_web(name, number, port=80):
    ends = zip(addresses(number), addresses(1), strict=True)
    return [Probe(End(source, name, NIC), End(web, WEB, NIC), "TCP", port) for source, web in ends]


FROM_OUTSIDE = [
    Probe(End(o, None, "lan"), End(w, WEB, NIC), "TCP", 80) for o, w in zip(OUTSIDE, addresses(1), strict=True)
]


def verdicts(*, allowed=(), denied=()):
    return dict.fromkeys(allowed, True) | dict.fromkeys(denied, False)


def test_addresses_that_appear_and_change_are_followed(rig, peer_addresses):
    """S21, S61: addresses of a peer from the kernel; with network-status, which has none, the peer is empty.

    No polling: between two states the agent only processes the kernel's notifications.
    """
    believed = peer_addresses is AddressSource.KERNEL
    for number, name in enumerate((WEB, CLIENT, STRANGER), start=1):
        set_addresses(rig, name, number)
    mine = [*FROM_OUTSIDE, *to_web(STRANGER, 3, port=81)]
    first = verdicts(allowed=mine, denied=to_web(STRANGER, 3)) | dict.fromkeys(to_web(CLIENT, 2), believed)
    assert rig.until(lambda: told_of(rig) == {WEB, CLIENT, STRANGER})
    assert rig.wrong(first) == {}

    set_addresses(rig, CLIENT, 2, "del")
    set_addresses(rig, CLIENT, 4)
    set_addresses(rig, STRANGER, 2)
    second = verdicts(allowed=mine, denied=to_web(STRANGER, 2)) | dict.fromkeys(to_web(CLIENT, 4), believed)
    assert rig.until(lambda: "10.0.0.4" in messages(rig) and "10.0.0.2" in messages(rig, STRANGER))
    assert rig.wrong(second) == {}


def told_of(rig):
    """The kernel has addresses that network-status does not list, which is reported."""
    reports = [report for report in rig.agent.reports() if "fd00::" in report.message and "10.0.0." in report.message]
    assert {report.reason for report in reports} <= {Reason.MISMATCH}
    return {str(report.about.name) for report in reports}


def messages(rig, name=CLIENT):
    return "".join(report.message for report in rig.agent.reports() if str(report.about.name) == name)


def test_an_interface_without_an_address_yet_is_enforced_from_its_first_packet(rig):
    """The rules are in force before the address, without any notification of it."""
    set_addresses(rig, WEB, 1)
    set_addresses(rig, STRANGER, 3)
    allowed = [*FROM_OUTSIDE, *to_web(STRANGER, 3, port=81)]
    assert rig.wrong(verdicts(allowed=allowed, denied=to_web(STRANGER, 3))) == {}
