"""What is found in a pod's namespace, against what network-status claims: with links as values, hostile ones too."""

from ipaddress import ip_address

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import Attachment, Link, ObjectName, Trait
from mnp_macvlan import MacvlanDiscoverer

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


def discover(claim=CLAIM, *links):
    return MacvlanDiscoverer().discover(claim, (LOOPBACK, *links))


def test_interface_as_claimed_is_a_kernel_device_without_differences():
    found = discover(CLAIM, LINK)
    assert found.attachment == evolve(CLAIM, traits=frozenset({Trait.KERNEL_DEVICE}))
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
    assert Trait.KERNEL_DEVICE not in found.attachment.traits


@pytest.mark.parametrize(("kind", "said"), [("veth", "'veth'"), ("macvtap", "'macvtap'"), ("", "hardware")])
def test_other_kind_is_a_difference_and_still_a_kernel_device(kind, said):
    found = discover(CLAIM, evolve(LINK, kind=kind))
    assert found.unenforceable == ""
    assert Trait.KERNEL_DEVICE in found.attachment.traits
    (mismatch,) = found.mismatches
    assert said in mismatch
    assert "macvlan" in mismatch


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
links = st.builds(Link, name=names, index=st.integers(), kind=names, mac=names, addresses=addresses)


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
)
def test_hostile_claims_and_links_give_short_printable_sentences(claim, found, same_name):
    if same_name and found:
        claim = evolve(claim, interface=found[0].name)
    discovery = MacvlanDiscoverer().discover(claim, found)
    texts = (discovery.unenforceable, *discovery.mismatches)
    assert all(text.isprintable() and len(text) < 700 for text in texts)
    assert bool(discovery.unenforceable) == all(link.name != claim.interface for link in found)
