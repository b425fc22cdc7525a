"""The discoverer, on real links."""

from ipaddress import ip_address

import pytest
from pyroute2 import IPRoute

from mnp_core.model import Attachment, ObjectName
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, bridge, macvlan, private_namespace, veth_pair
from mnp_macvlan import MacvlanDiscoverer

pytestmark = pytest.mark.root
ADDRESSES = ("10.0.0.1/24", "fd00::1/64")


@pytest.fixture
def pod():
    """A namespace with ``net1`` (macvlan), ``tap1`` (macvtap) on a parent elsewhere, and ``veth1``."""
    with private_namespace() as node, private_namespace() as pod:
        veth_pair(End(node, "parent"), End(node, "switch"))
        macvlan(End(node, "parent"), End(pod, "net1", ADDRESSES))
        macvlan(End(node, "parent"), End(pod, "tap1", ADDRESSES), kind="macvtap")
        veth_pair(End(node, "veth"), End(pod, "veth1", ADDRESSES))
        yield pod


def claim(interface, *addresses, mac=""):
    return Attachment(
        pod=ObjectName("a", "pod"),
        network=ObjectName("a", "net"),
        interface=interface,
        addresses=tuple(map(ip_address, addresses)),
        kind="macvlan",
        mac=mac,
    )


def discover(pod, claimed):
    return MacvlanDiscoverer().discover(claimed, run_inside(pod, read_links))


def change(pod, what, command, interface, **arguments):
    def work():
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname=interface)
            getattr(kernel, what)(command, index=index, **arguments)

    run_inside(pod, work)


def test_real_macvlan_is_as_claimed(pod):
    found = discover(pod, claim("net1", "10.0.0.1", "fd00::1"))
    assert (found.unenforceable, found.mismatches) == ("", ())
    assert found.attachment.addresses == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert len(found.attachment.mac) == 17


def test_other_kinds_differ_from_macvlan(pod):
    found = discover(pod, claim("veth1", "10.0.0.1", "fd00::1"))
    assert found.unenforceable == ""
    assert ["'veth'" in text for text in found.mismatches] == [True]


def test_macvtap_is_not_taken_for_macvlan(pod):
    """S64: packets of its character device never meet the pod's rules."""
    assert "it is a macvtap" in discover(pod, claim("tap1", "10.0.0.1", "fd00::1")).unenforceable


def test_interface_that_the_pod_makes_a_port_of_a_bridge_is_unenforceable(pod):
    """S64."""
    bridge(pod, "br0", "net1")
    found = discover(pod, claim("net1", "10.0.0.1", "fd00::1"))
    assert "it is a port of 'br0' of kind 'bridge'" in found.unenforceable


def test_address_changed_in_the_pod_shows_on_both_sides(pod):
    change(pod, "addr", "del", "net1", address="10.0.0.1", prefixlen=24)
    change(pod, "addr", "add", "net1", address="10.0.0.66", prefixlen=24)
    found = discover(pod, claim("net1", "10.0.0.1", "fd00::1"))
    assert ip_address("10.0.0.66") in found.attachment.addresses
    assert ip_address("10.0.0.1") not in found.attachment.addresses
    missing, further = found.mismatches
    assert "gives it 10.0.0.1," in missing
    assert "the kernel has 10.0.0.66 on it" in further


def test_mac_changed_in_the_pod_is_seen(pod):
    was = discover(pod, claim("net1")).attachment.mac
    change(pod, "link", "set", "net1", address="02:00:00:00:00:66")
    found = discover(pod, claim("net1", "10.0.0.1", "fd00::1", mac=was))
    assert found.attachment.mac == "02:00:00:00:00:66"
    assert len(found.mismatches) == 1


def test_interface_renamed_in_the_pod_is_found_by_its_mac(pod):
    """S64."""
    mac = discover(pod, claim("net1")).attachment.mac
    change(pod, "link", "set", "net1", ifname="x;'\"$\x1b")
    found = discover(pod, claim("net1", "10.0.0.1", mac=mac.upper()))
    assert r"x;\'" in found.unenforceable
    assert found.unenforceable.isprintable()


def test_interface_that_goes_is_unenforceable(pod):
    """S64."""
    change(pod, "link", "del", "net1")
    assert "'lo'" in discover(pod, claim("net1", "10.0.0.1")).unenforceable


def test_plugin_claims_the_cni_type():
    """S4."""
    assert isinstance(load_plugins().discoverer("macvlan"), MacvlanDiscoverer)
