"""Peers and ports as matches of iptables rules, for one family.

One allow becomes one rule for each way in which a packet can match it. Nothing to match gives no rule (S22); a match
that is empty matches everything.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, product

from attrs import frozen

from mnp_core.model import (
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
)
from mnp_iptables.sets.set_types import combine, endpoint_set, group_set

_MULTIPORT = 15  # ports in one match, XT_MULTI_PORTS; a range takes two places
_PROTOCOL = {
    Protocol.ICMP: "icmp",
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMPV6: "ipv6-icmp",
    Protocol.SCTP: "sctp",
}


@frozen(kw_only=True)
class Fields:
    """Where a packet shows the peer and the port that a rule is about.

    Attributes:
        side: ``src`` or ``dst``, where the peer's address is.
        port: ``sports`` or ``dports``, where the port is; empty if only the packet that opened the connection had it.
        untracked: Whether packets of no connection are judged too (S48): these show the port themselves.
    """

    side: str
    port: str
    untracked: bool = False


OPENING = {Direction.INGRESS: Fields(side="src", port="dports"), Direction.EGRESS: Fields(side="dst", port="dports")}
"""By direction of a flow: in the packets that open it, before any translation of addresses inside the pod (a service
mesh) for what comes in, after it for what leaves: as they are on the wire."""

OPENING_TRANSLATED = {**OPENING, Direction.INGRESS: Fields(side="src", port="", untracked=True)}
"""The same where what comes in has been translated already."""

REPLYING = {Direction.INGRESS: Fields(side="dst", port=""), Direction.EGRESS: Fields(side="src", port="sports")}
"""By direction of a flow: in its replies, which pass the other way (S42).

Replies that leave may have another source than what the flow was opened to, as that is translated back after us: the
connection tells the port. Their destination is translated back before us, and what comes in is as it is on the wire.
"""


def allow_matches(allow: AllowRule, family: Family, fields: Fields) -> Iterator[str]:
    """The matches that together are an allow."""
    match allow:
        case Allow(peers=peers, ports=ports):
            pairs = product(peer_matches(peers, family, fields), tuple(_ports(ports, fields)))
            yield from (f"{peer} {port}".strip() for peer, port in pairs)
        case AllowEndpoints(group=group):
            yield f"-m set --match-set {endpoint_set(group, family)} {fields.side},{fields.side}"


def peer_matches(peers: AnyPeer | Peers, family: Family, fields: Fields) -> Iterator[str]:
    """The matches that together are the peers."""
    if isinstance(peers, AnyPeer):
        yield ""
        return
    blocks = combine(peers.blocks, family)
    if blocks.everything:
        yield ""
        return
    if blocks.set_name:
        yield f"-m set --match-set {blocks.set_name} {fields.side}"
    else:
        yield from (f"-{fields.side[0]} {cidr}" for cidr in blocks.cidrs)
    for group in peers.groups:
        yield f"-m set --match-set {group_set(group, family)} {fields.side}"


def _ports(ports: AnyPort | Ports, fields: Fields) -> Iterator[str]:
    if isinstance(ports, AnyPort):
        yield ""
        return
    for protocol, entries in groupby(ports.ranges, key=lambda entry: entry.protocol):
        ranges = list(entries)
        name = f"-p {_PROTOCOL[protocol]}"
        if ranges[0].is_every:
            yield name
        else:
            yield from (f"{name} {match}" for match in _port_matches(ranges, fields))


def _port_matches(ranges: list[PortRange], fields: Fields) -> Iterator[str]:
    if fields.port:
        yield from (f"-m multiport --{fields.port} {ports}" for ports in _chunks(ranges))
        return
    yield from (f"-m conntrack --ctorigdstport {_range(each)}" for each in ranges)
    if fields.untracked:
        for ports in _chunks(ranges):
            yield f"-m conntrack --ctstate INVALID,UNTRACKED -m multiport --dports {ports}"


def _chunks(ranges: Iterable[PortRange]) -> Iterator[str]:
    """Lists of ports, each short enough for one match."""
    chunk: list[str] = []
    room = _MULTIPORT
    for each in ranges:
        places = 1 if each.first == each.last else 2
        if places > room:
            yield ",".join(chunk)
            chunk, room = [], _MULTIPORT
        chunk.append(_range(each))
        room -= places
    yield ",".join(chunk)


def _range(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}:{ports.last}"
