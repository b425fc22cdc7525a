import pytest

from mnp_core.errors import InputError
from mnp_core.model import Protocol
from mnp_core.model.port import PortRange
from mnp_core.offline.port_spans import merged, port_spans
from mnp_core.offline.probe import ProbeSpec


def tcp(first, last):
    return PortRange(protocol=Protocol.TCP, first=first, last=last)


def test_ports_are_cut_at_the_borders_of_ranges():
    """S32: both ends are inside."""
    texts = [str(span) for span in port_spans([tcp(80, 90), tcp(85, 85)]) if span.protocol is Protocol.TCP]
    assert texts == ["tcp:1-79", "tcp:80-84", "tcp:85", "tcp:86-90", "tcp:91-65535"]


def test_every_port_is_in_exactly_one_span():
    spans = [s for s in port_spans([tcp(1, 1), tcp(65535, 65535), tcp(7, 9)]) if s.protocol is Protocol.TCP]
    assert [port for span in spans for port in range(span.port, span.last + 1)] == list(range(1, 65536))


def test_a_protocol_without_ranges_is_one_span():
    """S30."""
    assert [str(span) for span in port_spans([PortRange.every(Protocol.UDP)])] == ["tcp", "udp", "sctp", "icmp"]


def test_adjacent_spans_are_printed_as_one():
    spans = port_spans([tcp(80, 90), tcp(85, 85)])
    without = [span for span in spans if span.port != 85]
    assert [str(span) for span in merged(without)] == ["icmp", "tcp:1-84", "tcp:86-65535", "udp", "sctp"]
    assert [str(each) for each in merged([ProbeSpec(protocol=Protocol.TCP, port=81), *without[:1]])] == [
        "tcp:1-79",
        "tcp:81",
    ]


def test_too_many_spans_are_an_error_with_a_remedy():
    with pytest.raises(InputError, match="use --probe"):
        port_spans([tcp(n, n) for n in range(1, 65000, 2)])
