"""Peers and ports as terms of nft rules.

One allow becomes one rule for each way in which a packet can match it: family, single addresses or a range of them or a
group, protocol, single ports or a range of them. Nothing to match gives no rule (S22).

Ranges stand in rules of their own, not in a set, as long as they are few. The kernel fills an interval set a few
microseconds after the new rules have taken over (measured on 6.18: 1.5 packets lost for each replacement under 250,000
packets a second, none with plain ranges and hash sets), and packets of an allowed flow that has had no answer yet must
not be lost because something else has changed.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby

from attrs import frozen

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
from mnp_nftables import terms
from mnp_nftables.sets import FAMILIES, SetName
from mnp_nftables.terms import NOTHING, Choice, Span, Term

_RANGES_IN_RULES = 16
"""From this number of ranges on, an interval set costs a packet less than the rules do."""

_LAST = {4: 2**32 - 1, 6: 2**128 - 1}


@frozen(kw_only=True)
class Fields:
    """Where a packet shows the peer and the port that a rule is about.

    Attributes:
        address: The peer's address, in one family, is one of a choice.
        port: The port, with its protocol, is one of a choice.
        endpoint: Address, protocol and port together are; None where no rule needs it.
    """

    address: Callable[[Family, Choice], Term]
    port: Callable[[Protocol, Choice], Term]
    endpoint: Callable[[Family, Choice], Term] | None = None


def _packet_fields(address: str, port: str) -> Fields:
    return Fields(
        address=lambda family, choice: terms.address(family, address, choice),
        port=lambda protocol, choice: terms.port(protocol, port, choice),
        endpoint=lambda family, choice: terms.endpoint(family, address, port, choice),
    )


OPENING = {
    Direction.INGRESS: _packet_fields("saddr", "dport"),
    Direction.EGRESS: _packet_fields("daddr", "dport"),
}
"""By direction of a flow: in the packets that open it."""

REPLYING = {
    Direction.INGRESS: Fields(address=terms.original_source, port=terms.original_port),
    Direction.EGRESS: _packet_fields("saddr", "sport"),
}
"""By direction of a flow: in its replies, which pass the other way (S42).

Each names what `OPENING` would have seen, whatever address translation happens inside the pod (a service mesh). Replies
that leave have not been translated back yet, so the connection must tell; those that come in are as they are on the
wire, where the peer is the one that the pod's own packets left for.
"""


def allow_matches(allow: AllowRule, fields: Fields) -> Iterator[Term]:
    """The terms that together are an allow; `NOTHING` matches everything."""
    match allow:
        case Allow(peers=peers, ports=ports):
            wanted = tuple(_ports(ports, fields))
            for peer in peer_matches(peers, fields):
                yield from (peer + port for port in wanted)
        case AllowEndpoints(group=group):
            for family in FAMILIES:
                name = SetName(family=family, endpoints=True, group=group)
                if fields.endpoint is not None:
                    yield fields.endpoint(family, terms.named_set(str(name)))


def peer_matches(peers: AnyPeer | Peers, fields: Fields) -> Iterator[Term]:
    """The terms that together are the peers; `NOTHING` matches everything."""
    if isinstance(peers, AnyPeer):
        yield NOTHING
        return
    for family in FAMILIES:
        ranges = address_ranges(peers.blocks, family)
        if any(_is_whole_family(span) for span in ranges):
            yield terms.family(family)
            continue
        names = (SetName(family=family, endpoints=False, group=group) for group in peers.groups)
        yield from map(partial(fields.address, family), _choices(ranges))
        yield from (fields.address(family, terms.named_set(str(name))) for name in names)


def _is_whole_family(span: AddressRange) -> bool:
    return int(span.first) == 0 and int(span.last) == _LAST[span.first.version]


def _ports(ports: AnyPort | Ports, fields: Fields) -> Iterator[Term]:
    if isinstance(ports, AnyPort):
        yield NOTHING
        return
    for protocol, entries in groupby(ports.ranges, key=lambda entry: entry.protocol):
        ranges = list(entries)
        if ranges[0].is_every:
            yield terms.protocol(protocol)
            continue
        yield from map(partial(fields.port, protocol), _choices(ranges))


def _choices(spans: Sequence[AddressRange] | Sequence[PortRange]) -> Iterator[Choice]:
    """Sorted, disjoint spans as right-hand sides of a match: the single values together, each range by itself."""
    singles: list[Span] = [span for span in spans if span.first == span.last]
    ranges: list[Span] = [span for span in spans if span.first != span.last]
    if len(ranges) > _RANGES_IN_RULES:
        yield terms.spans(ranges, singles)
        return
    if singles:
        yield terms.single(singles[0]) if len(singles) == 1 else terms.values(singles)
    yield from map(terms.one_range, ranges)
