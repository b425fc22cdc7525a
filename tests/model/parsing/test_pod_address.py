"""Addresses of pods are judged by numbers as `ipaddress` judges them."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mnp_core.model.address import parse_address
from mnp_core.model.parsing.pod_address import parse_pod_address

_OCTETS = st.one_of(
    st.integers(0, 300).map(str), st.sampled_from(("", "00", "01", "007", "0", "a", "127", "224", "239"))
)
_WRITTEN = st.one_of(
    st.lists(_OCTETS, min_size=1, max_size=5).map(".".join),
    st.ip_addresses().map(str),
    st.text("0123456789abcdefABCDEF:.", max_size=20),
)


def _near(number: int) -> st.SearchStrategy[IPv4Address]:
    return st.integers(max(0, number - 2), number + 2).map(IPv4Address)


@given(_WRITTEN)
@example("010.1.1.1")
@example("1.2.3")
@example("::ffff:10.0.0.1")
def test_an_address_is_what_ipaddress_says(text: str) -> None:
    expected = None
    with suppress(ValueError):
        expected = ip_address(text)
    if expected is None:
        with pytest.raises(ValueError, match=r"."):
            parse_address(text)
        return
    mapped = expected.ipv4_mapped if isinstance(expected, IPv6Address) else None
    assert parse_address(text) == (mapped or expected)


@given(st.one_of(st.ip_addresses(), st.sampled_from((0, 126 << 24, 127 << 24, 224 << 24, 240 << 24)).flatmap(_near)))
def test_a_pod_has_no_address_of_many_or_of_none(address: IPv4Address | IPv6Address) -> None:
    broadcast = address == IPv4Address("255.255.255.255")
    refused = address.is_multicast or address.is_loopback or address.is_unspecified or broadcast
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is None:
        assert parse_pod_address(str(address)) == (None if refused else address)
