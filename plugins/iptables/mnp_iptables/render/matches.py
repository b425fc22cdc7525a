"""Peers and ports as matches of iptables rules, for one family.

One allow becomes one rule for each way in which a packet can match it. Nothing to match gives no rule (S22); a match
that is empty matches everything. Ports come first: they take a comparison, an address often takes a lookup.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from attrs import frozen

from mnp_core.model import (
    ANY_PORT,
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


@frozen(kw_only=True, order=True)
class Peer:
    """One kind of peer.

    Attributes:
        match: What matches it; empty if that is everything.
        group: The group of addresses that it looks up; empty for others.
    """

    match: str
    group: str = ""


def allow_matches(allow: AllowRule, family: Family, fields: Fields) -> Iterator[tuple[AnyPort | Ports, Peer]]:
    """The ports and peers that together are an allow; of endpoints, the peer's match looks at the port."""
    match allow:
        case Allow(peers=peers, ports=ports):
            yield from ((ports, peer) for peer in _peers(peers, family, fields))
        case AllowEndpoints(group=group):
            sides = f"{fields.side},{fields.side}"
            yield ANY_PORT, Peer(match=f"-m set --match-set {endpoint_set(group, family)} {sides}")


def peer_matches(peers: AnyPeer | Peers, family: Family, fields: Fields) -> Iterator[str]:
    """The matches that together are the peers."""
    return (peer.match for peer in _peers(peers, family, fields))


def set_match(name: str, fields: Fields) -> str:
    """The match for peers whose address is in a set."""
    return f"-m set --match-set {name} {fields.side}"


def _peers(peers: AnyPeer | Peers, family: Family, fields: Fields) -> Iterator[Peer]:
    if isinstance(peers, AnyPeer):
        yield Peer(match="")
        return
    blocks = combine(peers.blocks, family)
    if blocks.everything:
        yield Peer(match="")
        return
    if blocks.set_name:
        yield Peer(match=set_match(blocks.set_name, fields))
    else:
        yield from (Peer(match=f"-{fields.side[0]} {cidr}") for cidr in blocks.cidrs)
    for group in peers.groups:
        yield Peer(match=set_match(group_set(group, family), fields), group=group)


def port_matches(ports: AnyPort | Ports, fields: Fields) -> Iterator[str]:
    """The matches that together are the ports."""
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
