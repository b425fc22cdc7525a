"""How far an ipvlan interface is enforced in the pod, by its mode."""

from ipaddress import ip_address

import pytest
from attrs import evolve

from mnp_core.model import Attachment, Link, ObjectName
from mnp_core.plugins import load_plugins
from mnp_ipvlan import IpvlanDiscoverer

MAC = "02:00:00:00:00:0a"
CLAIM = Attachment(
    pod=ObjectName("a", "pod"),
    network=ObjectName("a", "net"),
    interface="net1",
    addresses=(ip_address("10.0.0.1"),),
    kind="ipvlan",
    mac=MAC,
)
LINK = Link(name="net1", index=2, kind="ipvlan", mode="l2", mac=MAC, addresses=CLAIM.addresses)


def discover(*links):
    return IpvlanDiscoverer().discover(CLAIM, links)


@pytest.mark.parametrize("mode", ["l2", "l3", ""])
def test_interface_as_claimed_shares_the_mac_of_its_parent(mode):
    found = discover(evolve(LINK, mode=mode))
    assert found.attachment == CLAIM
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_mode_whose_packets_from_the_wire_pass_the_pods_hooks_by_is_unenforceable():
    """S64."""
    found = discover(evolve(LINK, mode="l3s"))
    assert "mode l3s" in found.unenforceable
    assert "mode l2 or l3" in found.unenforceable
    assert found.attachment is CLAIM


def test_mode_is_not_all_that_is_said():
    assert len(discover(evolve(LINK, mode="l3s", addresses=())).mismatches) == 1


def test_mode_of_another_kind_means_nothing():
    found = discover(evolve(LINK, kind="veth", mode="l3s"))
    assert found.unenforceable == ""
    assert "CNI type 'ipvlan', but the kernel has a link of kind 'veth'" in found.mismatches[0]


def test_neighbour_with_the_same_mac_is_not_taken_for_the_interface():
    """S64."""
    reason = discover(evolve(LINK, name="net2", addresses=(ip_address("10.0.0.2"),))).unenforceable
    assert "none by that name" in reason
    assert "renamed" not in reason


def test_plugin_claims_the_cni_type():
    """S4."""
    assert isinstance(load_plugins().discoverer("ipvlan"), IpvlanDiscoverer)
