"""The discoverer, on real links."""

from ipaddress import ip_address

import pytest

from mnp_core.model import Attachment, ObjectName
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, bridge, macvlan, private_namespace, veth_pair
from mnp_netdev import NetdevDiscoverer

pytestmark = pytest.mark.root


@pytest.fixture
def pod():
    """A namespace with ``net1`` (veth), ``tap1`` (macvtap) and ``net2`` (veth)."""
    with private_namespace() as node, private_namespace() as pod:
        for number in (1, 2):
            veth_pair(End(node, f"port{number}"), End(pod, f"net{number}", (f"10.0.0.{number}/24",)))
        macvlan(End(node, "port1"), End(pod, "tap1", ("10.0.0.3/24",)), kind="macvtap")
        yield pod


def discover(pod, cni_type, interface, *addresses):
    claim = Attachment(
        pod=ObjectName("a", "pod"),
        network=ObjectName("a", "net"),
        interface=interface,
        addresses=tuple(map(ip_address, addresses)),
        kind=cni_type,
    )
    return NetdevDiscoverer().discover(claim, run_inside(pod, read_links))


@pytest.mark.parametrize("cni_type", ["bridge", "ptp", "ovs", "host-device"])
def test_veth_is_as_claimed(pod, cni_type):
    found = discover(pod, cni_type, "net1", "10.0.0.1")
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_veth_is_no_vlan(pod):
    assert "a link of kind 'veth'" in discover(pod, "vlan", "net1", "10.0.0.1").mismatches[0]


def test_macvtap_is_unenforceable(pod):
    """S64."""
    assert "it is a macvtap" in discover(pod, "macvtap", "tap1", "10.0.0.3").unenforceable


def test_port_of_a_bridge_in_the_pod_is_unenforceable_and_its_neighbour_is_not(pod):
    """S64."""
    bridge(pod, "br0", "net1")
    assert "it is a port of 'br0'" in discover(pod, "bridge", "net1", "10.0.0.1").unenforceable
    assert discover(pod, "bridge", "net2", "10.0.0.2").unenforceable == ""
