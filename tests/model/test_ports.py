"""Ports are canonical, in any order and with any overlap (S30)."""

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import PortRange, Ports, Protocol

ranges = st.builds(
    lambda protocol, ends: PortRange(protocol=protocol, first=min(ends), last=max(ends)),
    st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.SCTP]),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
)


def numbers(some):
    return {(each.protocol, port) for each in some for port in range(each.first, each.last + 1)}


@given(st.lists(ranges, max_size=8))
def test_ports_are_merged_and_sorted(given_ranges):
    ports = Ports(ranges=tuple(given_ranges))
    assert numbers(ports.ranges) == numbers(given_ranges)
    assert list(ports.ranges) == sorted(ports.ranges)
    pairs = zip(ports.ranges, ports.ranges[1:], strict=False)
    assert all(one.protocol != other.protocol or one.last + 1 < other.first for one, other in pairs)
    assert Ports(ranges=tuple(given_ranges[::-1])) == ports == Ports(ranges=ports.ranges)


def test_every_port_covers_single_ones():
    ports = Ports(ranges=(PortRange(protocol=Protocol.TCP, first=80, last=80), PortRange.every(Protocol.TCP)))
    assert ports.ranges == (PortRange.every(Protocol.TCP),)
