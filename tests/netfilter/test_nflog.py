"""Logged packets and their headers: bytes of any kind, and those of real packets."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import Direction, LoggedVerdict, LogMark
from mnp_core.model.denied_log import LARGEST_PREFIX
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute
from mnp_core.netfilter.headers import parse_headers
from mnp_core.netfilter.netlink import packed
from mnp_core.netfilter.nflog import Logged, parse_packets

SOURCE, TARGET = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}
names = st.binary(min_size=1, max_size=15).map(lambda name: name.decode(errors="surrogateescape"))
marks = st.builds(
    LogMark, verdict=st.sampled_from(LoggedVerdict), direction=st.sampled_from(Direction), interface=names
)


def ipv4(protocol, data, *, fragment=0):
    addresses = (ip_address(each[4]).packed for each in (SOURCE, TARGET))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 0, fragment, 64, protocol, 0) + b"".join(addresses) + data


def ipv6(protocol, data):
    addresses = (ip_address(each[6]).packed for each in (SOURCE, TARGET))
    return struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + b"".join(addresses) + data


def tcp(flags):
    return struct.pack("!HHIIBBHHH", 1234, 80, 0, 0, 5 << 4, flags, 0, 0, 0)


packets = st.binary(max_size=200) | st.builds(
    lambda made, protocol, data: made(protocol, data),
    st.sampled_from([ipv4, ipv6]),
    st.sampled_from([0, 1, 6, 17, 43, 44, 51, 58, 60, 132]) | st.integers(0, 255),
    st.binary(max_size=100),
)


@given(marks)
def test_a_mark_is_read_as_it_was_written(mark):
    """And fits into every backend's prefix; the name of an interface cannot leave its place."""
    text = str(mark)
    assert LogMark.parse(text.encode() + b"\0") == mark
    assert len(text) <= LARGEST_PREFIX
    assert set(text) <= {*"abcdefghijklmnopqrstuvwxyz0123456789- "}


@given(st.binary(max_size=80) | st.text(max_size=40).map(lambda text: f"mnp denied {text}".encode(errors="replace")))
def test_no_prefix_of_others_is_taken_for_ours(prefix):
    mark = LogMark.parse(prefix)
    assert mark is None or str(mark).encode() == prefix.partition(b"\0")[0]


@given(packets, st.integers(0, 200))
def test_headers_of_any_bytes_are_read_or_left_out(packet, size):
    """Cut off anywhere."""
    found = parse_headers(packet[:size])
    assert found is None or found.source_port is None or 0 <= found.source_port <= 0xFFFF


@given(st.binary(max_size=300), packets)
def test_messages_of_any_bytes_are_read_or_left_out(junk, packet):
    """Hostile attributes too; what is whole is found."""
    for data in (junk, packed(4 << 8, 0, b"\0\0\0\0" + junk, 0)):
        assert all(isinstance(each, Logged) for each in parse_packets(data))
    body = b"\0\0\0\0" + attribute(uapi.NFULA_PREFIX, b"mark\0") + attribute(uapi.NFULA_PAYLOAD, packet)
    assert next(parse_packets(packed(4 << 8, 0, body, 0) + junk)) == Logged(prefix=b"mark\0", payload=packet)


@pytest.mark.parametrize(("made", "version"), [(ipv4, 4), (ipv6, 6)])
def test_ports_flags_and_types_are_read(made, version):
    found = parse_headers(made(6, tcp(0x12)))
    assert (str(found.source), str(found.target)) == (SOURCE[version], TARGET[version])
    assert (found.source_port, found.target_port, found.flags, found.opens) == (1234, 80, ("SYN", "ACK"), False)
    assert parse_headers(made(6, tcp(0x02))).opens
    assert parse_headers(made(17, struct.pack("!HHHH", 53, 5353, 8, 0))).target_port == 5353
    sctp = struct.pack("!HHII", 7, 9, 0, 0)
    assert [parse_headers(made(132, sctp + chunk)).opens for chunk in (b"\1", b"\0", b"")] == [True, False, False]
    icmp = parse_headers(made({4: 1, 6: 58}[version], b"\x08\x03rest"))
    assert (icmp.kind, icmp.code, icmp.target_port) == (8, 3, None)


def test_extension_headers_are_skipped_and_later_fragments_have_no_ports():
    ports = struct.pack("!HHHH", 53, 5353, 8, 0)
    options = bytes([17, 0]) + bytes(6)
    assert parse_headers(ipv6(60, options + ports)).target_port == 5353
    assert parse_headers(ipv6(44, bytes([17, 0, 0, 1]) + bytes(4) + ports)).target_port == 5353
    assert parse_headers(ipv6(44, bytes([17, 0, 0, 8]) + bytes(4) + ports)).target_port is None
    assert parse_headers(ipv4(17, ports, fragment=1)).target_port is None
    assert parse_headers(ipv6(0, bytes([0, 0]) + bytes(6) + bytes([0, 0, 0, 0, 0, 0, 0, 0]) * 20)).target_port is None
