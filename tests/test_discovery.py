"""Links in a pod's namespace against the claims of network-status: links as values, hostile ones too."""

from ipaddress import ip_address

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.discovery import compare
from mnp_core.model import Attachment, Link, LinkPath, ObjectName

ONE, TWO, SIX = ip_address("10.0.0.1"), ip_address("10.0.0.2"), ip_address("fd00::1")
LINK_LOCAL = (ip_address("169.254.3.4"), ip_address("fe80::1"))
MAC = "02:00:00:00:00:0a"
CLAIM = Attachment(
    pod=ObjectName("a", "pod"),
    network=ObjectName("a", "net"),
    interface="net1",
    addresses=(ONE, SIX),
    kind="macvlan",
    mac=MAC,
)
LINK = Link(name="net1", index=2, kind="macvlan", mac=MAC, addresses=(ONE, SIX))
LOOPBACK = Link(name="lo", index=1, addresses=(ip_address("127.0.0.1"),))


def discover(claim=CLAIM, *links, **options):
    return compare(claim, (LOOPBACK, *links), **{"kinds": {"macvlan"}} | options)


def test_interface_as_claimed_is_enforced_without_differences():
    found = discover(CLAIM, LINK)
    assert found.attachment == CLAIM
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_missing_interface_is_unenforceable_and_the_claim_stays_as_it_came():
    """S64."""
    found = discover(CLAIM, evolve(LINK, name="eth0", mac="02:00:00:00:00:0b"))
    assert found.attachment is CLAIM
    assert "none by that name" in found.unenforceable
    assert "'lo', 'eth0'" in found.unenforceable


def test_renamed_interface_is_unenforceable_and_named():
    """S64: a process in the pod with CAP_NET_ADMIN can rename its interface."""
    found = discover(CLAIM, evolve(LINK, name="mine"))
    assert "'mine' has its MAC address" in found.unenforceable
    assert found.attachment is CLAIM


@pytest.mark.parametrize(("kind", "said"), [("veth", "'veth'"), ("ipvlan", "'ipvlan'"), ("", "hardware")])
def test_other_kind_is_a_difference_and_still_enforced(kind, said):
    found = discover(CLAIM, evolve(LINK, kind=kind))
    assert found.unenforceable == ""
    (mismatch,) = found.mismatches
    assert said in mismatch
    assert "macvlan" in mismatch


def test_any_kind_is_as_claimed_where_none_is_expected():
    assert discover(CLAIM, evolve(LINK, kind="surprise"), kinds=None).mismatches == ()


@pytest.mark.parametrize("kind", ["macvtap", "ipvtap"])
def test_interface_whose_packets_go_to_a_character_device_is_unenforceable(kind):
    """S64."""
    found = discover(CLAIM, evolve(LINK, kind=kind), kinds=None)
    assert f"it is a {kind}" in found.unenforceable
    assert found.attachment == evolve(CLAIM, path=LinkPath.REDIRECTED, carrier="net1")


@pytest.mark.parametrize("kind", ["bond", "bridge", "team", "openvswitch", "", "anything"])
def test_port_of_another_interface_is_unenforceable(kind):
    """S64: its receive handler hands packets on as the master's, so rules that name the port never meet them."""
    found = discover(CLAIM, evolve(LINK, master=7), Link(name="all0", index=7, kind=kind))
    assert "it is a port of 'all0'" in found.unenforceable
    is_frames = kind == "bridge"
    assert found.attachment == (evolve(CLAIM, path=LinkPath.BRIDGED, carrier="net1") if is_frames else CLAIM)
    assert "port of an interface that has just gone" in discover(CLAIM, evolve(LINK, master=7)).unenforceable


def test_member_of_a_vrf_is_enforced_by_its_own_name():
    """S47."""
    found = discover(CLAIM, evolve(LINK, master=7), Link(name="red", index=7, kind="vrf"))
    assert (found.unenforceable, found.mismatches) == ("", ())


def test_renamed_interface_is_known_by_its_device_too():
    """S64."""
    claim = evolve(CLAIM, mac="", device="0000:18:02.5")
    found = discover(claim, evolve(LINK, name="mine", device="0000:18:02.5"))
    assert "'mine' has its device" in found.unenforceable
    assert (
        "none by that name in the pod's network namespace, which has"
        in discover(evolve(claim, device=""), evolve(LINK, name="mine")).unenforceable
    )


def test_device_of_the_kernel_counts_and_the_claimed_one_where_it_says_nothing():
    claim = evolve(CLAIM, device="0000:18:02.5")
    assert discover(claim, LINK).attachment.device == "0000:18:02.5"
    assert discover(claim, evolve(LINK, device="0000:18:02.6")).attachment.device == "0000:18:02.6"


def test_interfaces_that_share_a_mac_differ_by_their_addresses():
    """Of two on one parent, the present one is not taken for the missing one."""
    other = evolve(LINK, name="net2", addresses=(TWO,))
    assert "which has 'lo', 'net2'" in discover(CLAIM, other, own_mac=False).unenforceable
    renamed = discover(CLAIM, other, evolve(LINK, name="mine"), own_mac=False)
    assert "'mine' has its MAC and IP addresses" in renamed.unenforceable
    without = evolve(CLAIM, addresses=())
    assert "which has" in discover(without, evolve(LINK, name="mine"), own_mac=False).unenforceable
    assert discover(CLAIM, LINK, own_mac=False).unenforceable == ""


def test_claimed_address_that_is_not_there_is_a_difference_and_not_an_address():
    found = discover(CLAIM, evolve(LINK, addresses=(ONE,)))
    assert found.attachment.addresses == (ONE,)
    (mismatch,) = found.mismatches
    assert "network-status gives it fd00::1, the kernel has 10.0.0.1;" in mismatch


def test_interface_without_addresses_is_a_difference():
    (mismatch,) = discover(CLAIM, evolve(LINK, addresses=())).mismatches
    assert "gives it 10.0.0.1, fd00::1, the kernel has none" in mismatch


def test_further_address_is_a_difference_and_an_address():
    found = discover(CLAIM, evolve(LINK, addresses=(ONE, TWO, SIX)))
    assert found.attachment.addresses == (ONE, TWO, SIX)
    (mismatch,) = found.mismatches
    assert "the kernel has 10.0.0.2 on it" in mismatch


def test_link_local_addresses_are_neither_compared_nor_kept():
    found = discover(CLAIM, evolve(LINK, addresses=(*LINK_LOCAL, ONE, SIX)))
    assert (found.attachment.addresses, found.mismatches) == ((ONE, SIX), ())


def test_claimed_link_local_address_that_is_there_is_no_difference():
    claim = evolve(CLAIM, addresses=(*CLAIM.addresses, *LINK_LOCAL))
    assert discover(claim, evolve(LINK, addresses=(*LINK_LOCAL, ONE, SIX))).mismatches == ()


def test_recorded_addresses_are_a_guests_and_need_not_be_the_kernels():
    """S75: they stay where the kernel has none; what the kernel has instead is a difference."""
    recorded = evolve(CLAIM, recorded=True)
    found = discover(recorded, evolve(LINK, addresses=LINK_LOCAL))
    assert (found.attachment, found.mismatches) == (recorded, ())
    found = discover(recorded, evolve(LINK, addresses=(TWO,)))
    assert found.attachment == evolve(CLAIM, addresses=(TWO,))
    assert ["the kernel has 10.0.0.2 on it" in text for text in found.mismatches] == [True]


def test_mac_is_compared_without_regard_to_case():
    found = discover(evolve(CLAIM, mac=MAC.upper()), LINK)
    assert (found.attachment.mac, found.mismatches) == (MAC, ())


def test_other_mac_is_a_difference_and_the_kernels_counts():
    found = discover(CLAIM, evolve(LINK, mac="02:00:00:00:00:0b"))
    assert found.attachment.mac == "02:00:00:00:00:0b"
    (mismatch,) = found.mismatches
    assert "02:00:00:00:00:0b" in mismatch
    assert MAC in mismatch


def test_claim_without_mac_is_no_difference():
    assert discover(evolve(CLAIM, mac=""), LINK).mismatches == ()


def test_all_differences_are_said_at_once():
    found = discover(CLAIM, evolve(LINK, kind="veth", mac="02:00:00:00:00:0b", addresses=(TWO,)))
    assert len(found.mismatches) == 4


addresses = st.lists(st.ip_addresses(), max_size=20).map(tuple)
names = st.text(max_size=40)
links = st.builds(
    Link,
    name=names,
    index=st.integers(0, 5),
    kind=names,
    mac=names,
    addresses=addresses,
    master=st.none() | st.integers(0, 5),
    device=names,
)


@given(
    claim=st.builds(
        Attachment,
        pod=st.just(CLAIM.pod),
        network=st.just(CLAIM.network),
        interface=names,
        addresses=addresses,
        kind=names,
        mac=names,
    ),
    found=st.lists(links, max_size=20),
    same_name=st.booleans(),
    own_mac=st.booleans(),
)
def test_hostile_claims_and_links_give_short_printable_sentences(claim, found, same_name, own_mac):
    if same_name and found:
        claim = evolve(claim, interface=found[0].name)
    discovery = compare(claim, found, kinds={"macvlan"}, own_mac=own_mac)
    texts = (discovery.unenforceable, *discovery.mismatches)
    assert all(text.isprintable() and len(text) < 700 for text in texts)
    if discovery.unenforceable:
        assert evolve(discovery.attachment, path=LinkPath.IP, carrier="") == claim
    else:
        assert claim.interface in {link.name for link in found}


def test_an_interface_whose_packets_are_taken_away_is_unenforceable():
    """S64: Kata's redirect, a macvlan on top of it, XDP."""
    found = discover(CLAIM, evolve(LINK, diverted="tc redirects its packets to 'tap0'"))
    assert found.unenforceable.startswith("tc redirects its packets to 'tap0'")
    assert found.attachment == evolve(CLAIM, path=LinkPath.REDIRECTED, carrier="net1")


def test_no_backend_reaches_packets_that_traffic_control_does_not_see():
    """S64: XDP, or what the kernel does not show."""
    found = discover(CLAIM, evolve(LINK, diverted="an XDP program sees its packets", hidden=True))
    assert found.unenforceable.startswith("an XDP program")
    assert found.attachment.path is LinkPath.IP


@pytest.mark.parametrize("kind", ["veth", "macvlan", "tun", "dummy"])
def test_an_interface_whose_mac_another_one_has_is_unenforceable(kind):
    """S64: KubeVirt's bridge binding puts a dummy with its name, MAC and addresses in front of the real one."""
    found = discover(CLAIM, evolve(LINK, kind="dummy"), Link(name="37a8eec1ce1-nic", index=9, kind=kind, mac=MAC))
    assert "'37a8eec1ce1-nic' has its MAC address, too" in found.unenforceable
    changed = evolve(LINK, mac="02:00:00:00:00:0b")  # the MAC address of the claim counts, not that of the decoy
    assert "has its MAC address" in discover(CLAIM, changed, Link(name="nic", index=9, mac=MAC)).unenforceable


@pytest.mark.parametrize(
    "other",
    [
        Link(name="net1.7", index=9, kind="vlan", mac=MAC, parent=2),
        Link(name="port", index=9, kind="veth", mac=MAC, master=2),
        Link(name="lo", index=1, mac=MAC, loopback=True),
    ],
)
def test_interfaces_that_belong_together_share_a_mac(other):
    assert discover(CLAIM, LINK, other).unenforceable == ""


def test_a_parent_in_another_namespace_excuses_no_interface_of_its_number():
    other = Link(name="nic", index=9, kind="macvlan", mac=MAC)
    assert "'nic' has" in discover(CLAIM, evolve(LINK, parent=9, parent_inside=False), other).unenforceable


NIC = Link(
    name="37a8eec1ce1-nic", index=9, kind="veth", mac="02:00:00:00:77:77", master=7, parent=3, parent_inside=False
)
K6T = Link(name="k6t-37a8eec1ce1", index=7, kind="bridge", mac="02:00:00:00:77:77")
TAP = Link(name="tap37a8eec1ce1", index=8, kind="tun", mac="fe:00:00:00:00:01", master=7)
POD = evolve(CLAIM, interface="pod37a8eec1ce1", kind="bridge")
DUMMY = Link(name="pod37a8eec1ce1", index=10, kind="dummy", mac=MAC, addresses=(ONE,))


def test_bridge_binding_of_kubevirt_is_the_port_by_its_name():
    found = compare(POD, (LOOPBACK, K6T, TAP, NIC, DUMMY))
    assert (found.attachment.path, found.attachment.carrier) == (LinkPath.BRIDGED, "37a8eec1ce1-nic")
    assert found.attachment.addresses == POD.addresses
    assert found.parts == {"37a8eec1ce1-nic", "k6t-37a8eec1ce1", "tap37a8eec1ce1"}
    assert found.binding == "bridge, by '37a8eec1ce1-nic' in 'k6t-37a8eec1ce1', the guest behind 'tap37a8eec1ce1'"


def test_two_guest_interfaces_are_told_apart_by_name_mac_or_device():
    other = (
        evolve(K6T, name="k6t-b", index=17),
        evolve(NIC, name="b-nic", index=19, master=17, mac="02:00:00:00:00:0b"),
    )
    links = (LOOPBACK, K6T, TAP, NIC, DUMMY, *other)
    assert compare(POD, links).attachment.carrier == "37a8eec1ce1-nic"
    assert compare(evolve(POD, interface="podb"), links).attachment.carrier == "b-nic"
    assert compare(evolve(POD, interface="net1", mac="02:00:00:00:00:0b"), links).attachment.carrier == "b-nic"
    assert compare(evolve(POD, interface="net1", mac=""), links).attachment.path is LinkPath.IP


def test_bridge_port_of_the_default_network_is_no_attachments():
    eth0 = (Link(name="eth0", index=2, kind="dummy"), evolve(NIC, name="eth0-nic"), K6T, TAP)
    claim = evolve(CLAIM, kind="bridge")
    assert compare(claim, (LOOPBACK, *eth0, evolve(LINK, index=12, kind="dummy"))).attachment.path is LinkPath.IP


def test_masquerade_binding_of_kubevirt_is_an_ordinary_interface():
    """Packets are routed between it and the bridge of the guest (S47)."""
    real = evolve(LINK, name="pod37a8eec1ce1", kind="veth", parent=3, parent_inside=False)
    found = compare(POD, (LOOPBACK, K6T, TAP, real))
    assert (found.attachment.path, found.unenforceable) == (LinkPath.IP, "")
    assert found.binding == "masquerade, through bridge 'k6t-37a8eec1ce1'"


def test_bridge_port_whose_packets_are_taken_away_is_unenforceable():
    found = compare(POD, (LOOPBACK, K6T, TAP, evolve(NIC, diverted="tc redirects its packets"), DUMMY))
    assert "tc redirects" in found.unenforceable
    assert found.attachment.path is LinkPath.IP
