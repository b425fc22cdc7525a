"""Peers and ports as matches of nft rules.

One allow becomes one rule for each way in which a packet can match it: family, single addresses or a range of them or a
group, protocol, single ports or a range of them. Nothing to match gives no rule (S22).

Ranges stand in rules of their own, not in a set, as long as they are few. The kernel fills an interval set a few
microseconds after the new rules have taken over (measured on 6.18: 1.5 packets lost for each replacement under 250,000
packets a second, none with plain ranges and hash sets), and packets of an allowed flow that has had no answer yet must
not be lost because something else has changed.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import summarize_address_range
from itertools import islice

from attrs import evolve, frozen

from mnp_core.model import (
    AddressRange,
    Allow,
    AllowEndpoints,
    AllowRule,
    AnyPeer,
    AnyPort,
    Direction,
    Family,
    Peers,
    PortRange,
    Ports,
    Protocol,
    address_ranges,
)
from mnp_nftables.sets import FAMILIES, SetName

_RANGES_IN_RULES = 16
"""From this number of ranges on, an interval set costs a packet less than the rules do."""

_PROTOCOL = {
    Protocol.ICMP: "icmp",
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMPV6: "icmpv6",
    Protocol.SCTP: "sctp",
}
_LAST = {4: 2**32 - 1, 6: 2**128 - 1}


@frozen(kw_only=True)
class Fields:
    """Where a packet shows the peer and the port that a rule is about.

    Attributes:
        address: For each family, the expression that is the peer's address.
        port: The expression that is the port, after a protocol's name.
        protocol: Matches a protocol where `port` does not by itself.
        endpoint: For each family, address, protocol and port together; empty where no rule needs it.
    """

    address: dict[Family, str]
    port: str
    protocol: str = ""
    endpoint: dict[Family, str]

    def ports(self, protocol: Protocol, ports: str) -> str:
        """A match for some ports of a protocol."""
        name = _PROTOCOL[protocol]
        return f"{self.protocol} {name} {self.port} {ports}" if self.protocol else f"{name} {self.port} {ports}"


def _packet_fields(address: str, port: str) -> Fields:
    by_family: dict[Family, str] = {4: f"ip {address}", 6: f"ip6 {address}"}
    endpoint = {family: f"{by_family[family]} . meta l4proto . th {port}" for family in FAMILIES}
    return Fields(address=by_family, port=port, endpoint=endpoint)


OPENING = {
    Direction.INGRESS: _packet_fields("saddr", "dport"),
    Direction.EGRESS: _packet_fields("daddr", "dport"),
}
"""By direction of a flow: in the packets that open it."""

REPLYING = {
    Direction.INGRESS: Fields(
        address={4: "ct original ip saddr", 6: "ct original ip6 saddr"},
        port="ct original proto-dst",
        protocol="meta l4proto",
        endpoint={},
    ),
    Direction.EGRESS: _packet_fields("saddr", "sport"),
}
"""By direction of a flow: in its replies, which pass the other way (S42).

Each names what `OPENING` would have seen, whatever address translation happens inside the pod (a service mesh). Replies
that leave have not been translated back yet, so the connection must tell; those that come in are as they are on the
wire, where the peer is the one that the pod's own packets left for.
"""


def allow_matches(allow: AllowRule, fields: Fields) -> Iterator[str]:
    """The matches that together are an allow; an empty one matches everything."""
    match allow:
        case Allow(peers=peers, ports=ports):
            wanted = tuple(_ports(ports, fields))
            for peer in peer_matches(peers, fields):
                yield from (f"{peer} {port}".strip() for port in wanted)
        case AllowEndpoints(group=group):
            for family in FAMILIES:
                name = SetName(family=family, endpoints=True, group=group)
                yield f"{fields.endpoint[family]} @{name}"


def peer_matches(peers: AnyPeer | Peers, fields: Fields) -> Iterator[str]:
    """The matches that together are the peers; an empty one matches everything."""
    if isinstance(peers, AnyPeer):
        yield ""
        return
    for family in FAMILIES:
        field = fields.address[family]
        ranges = address_ranges(peers.blocks, family)
        if any(_is_whole_family(span) for span in ranges):
            yield f"meta nfproto ipv{family}"
            continue
        yield from (f"{field} {choice}" for choice in _choices(ranges))
        for group in sorted(peers.groups):
            yield f"{field} @{SetName(family=family, endpoints=False, group=group)}"


def _is_whole_family(span: AddressRange) -> bool:
    return int(span.first) == 0 and int(span.last) == _LAST[span.first.version]


def _ports(ports: AnyPort | Ports, fields: Fields) -> Iterator[str]:
    if isinstance(ports, AnyPort):
        yield ""
        return
    for protocol in sorted({entry.protocol for entry in ports.ranges}):
        merged = _merged(entry for entry in ports.ranges if entry.protocol is protocol)
        if any(entry.is_every for entry in merged):
            yield f"meta l4proto {_PROTOCOL[protocol]}"
            continue
        yield from (fields.ports(protocol, choice) for choice in _choices(merged))


def _merged(entries: Iterable[PortRange]) -> list[PortRange]:
    """Ranges of one protocol joined where they overlap or touch (S30), sorted."""
    merged: list[PortRange] = []
    for entry in sorted(entries):
        if merged and entry.first <= merged[-1].last + 1:
            merged[-1] = evolve(merged[-1], last=max(merged[-1].last, entry.last))
        else:
            merged.append(entry)
    return merged


def _choices(spans: Sequence[AddressRange] | Sequence[PortRange]) -> Iterator[str]:
    """Sorted, disjoint spans as right-hand sides of a match: the single values together, each range by itself."""
    singles = [str(span.first) for span in spans if span.first == span.last]
    ranges = [_range(span) for span in spans if span.first != span.last]
    if len(ranges) > _RANGES_IN_RULES:
        singles, ranges = [*ranges, *singles], []
    if singles:
        yield singles[0] if len(singles) == 1 else "{ " + ", ".join(singles) + " }"
    yield from ranges


def _range(span: AddressRange | PortRange) -> str:
    """A range as people write it: a CIDR if it is one."""
    if isinstance(span, AddressRange):
        cidrs = tuple(islice(summarize_address_range(span.first, span.last), 2))
        if len(cidrs) == 1:
            return str(cidrs[0])
    return f"{span.first}-{span.last}"
