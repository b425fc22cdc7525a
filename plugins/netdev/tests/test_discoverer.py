"""The expected kinds of link of each CNI type."""

from ipaddress import ip_address

import pytest

from mnp_core.model import Attachment, Link, ObjectName
from mnp_core.plugins import load_plugins
from mnp_netdev import KINDS, NetdevDiscoverer

EXPECTED = [
    *[("bridge", "veth"), ("ptp", "veth"), ("ovs", "veth"), ("ovs", ""), ("vlan", "vlan"), ("bond", "bond")],
    *[("tap", "tun"), ("dummy", "dummy"), ("host-device", ""), ("host-device", "vlan"), ("host-device", "anything")],
]


def discover(cni_type, *links):
    claim = Attachment(
        pod=ObjectName("a", "pod"),
        network=ObjectName("a", "net"),
        interface="net1",
        addresses=(ip_address("10.0.0.1"),),
        kind=cni_type,
    )
    return NetdevDiscoverer().discover(claim, links)


def link(kind, **fields):
    return Link(name="net1", index=2, kind=kind, addresses=(ip_address("10.0.0.1"),), **fields)


@pytest.mark.parametrize(("cni_type", "kind"), EXPECTED)
def test_interface_of_the_kind_that_the_type_makes_is_as_claimed(cni_type, kind):
    found = discover(cni_type, link(kind))
    assert (found.unenforceable, found.mismatches) == ("", ())


@pytest.mark.parametrize("cni_type", sorted({cni_type for cni_type, _ in EXPECTED} - {"host-device"}))
def test_other_kind_is_a_difference_and_enforced(cni_type):
    found = discover(cni_type, link("wireguard"))
    assert found.unenforceable == ""
    assert f"CNI type '{cni_type}', but the kernel has a link of kind 'wireguard'" in found.mismatches[0]


def test_macvtap_is_known_and_never_called_enforced():
    """S64: a virtual machine behind it is not reached by rules in the pod."""
    assert "it is a macvtap" in discover("macvtap", link("macvtap")).unenforceable


def test_slave_is_unenforceable_and_its_bond_is_enforced():
    """S64: bond-cni makes ports of interfaces that other networks brought."""
    bond = Link(name="net3", index=5, kind="bond")
    assert "it is a port of 'net3' of kind 'bond'" in discover("host-device", link("", master=5), bond).unenforceable
    assert discover("bond", link("bond"), Link(name="net2", index=6, master=2)).unenforceable == ""


@pytest.mark.parametrize("cni_type", KINDS)
def test_each_type_is_claimed_by_itself(cni_type):
    """S4: a more specific plugin takes one type alone."""
    registry = load_plugins()
    assert isinstance(registry.discoverer(cni_type), NetdevDiscoverer)
    assert registry.discoverers.require(cni_type).cni_types == {cni_type}
