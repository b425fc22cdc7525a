"""Peers and ports as terms of nft rules.

One allow becomes one rule for each way in which a packet can match it: protocol, single ports or a range of them,
family, single addresses or a range of them or a group. Nothing to match gives no rule (S22). Ports come first: they
take a comparison, an address often takes a lookup.

Blocks of a list with an identity stand in named sets (`mnp_nftables.blocks`). Other ranges stand in rules of their own,
not in a set, as long as they are few; many in hash sets without names, one for each length of a prefix, too. An
interval set takes longer from a few thousand on, and is for blocks of too many lengths. The kernel fills it a few
microseconds after the new rules have taken over (measured on 6.18: 1.5 packets lost for each replacement under 250,000
packets a second, none with plain ranges and hash sets), and packets of an allowed flow that has had no answer yet must
not be lost because something else has changed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import summarize_address_range
from itertools import chain, groupby

from attrs import frozen

from mnp_core.model import (
    ANY_PORT,
    Address,
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
)
from mnp_nftables import terms
from mnp_nftables.blocks import PREFIX_LENGTHS, form_of
from mnp_nftables.sets import FAMILIES, SetName
from mnp_nftables.terms import NOTHING, Choice, Span, Term

_RANGES_IN_RULES = 16
"""From this number of ranges on, an interval set costs a packet less than the rules do."""

_PREFIXES_A_RANGE = 2
"""A range, as excepts leave them, may take up to twice the length of an address in prefixes; on average, no more than
this."""


@frozen(kw_only=True, eq=False)
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


@frozen(kw_only=True)
class Match:
    """One kind of peer of an allow, with its ports.

    Attributes:
        family: The only family with such peers; None where peers of both are meant.
        peer: Matches the peer.
        ports: The ports; any, too, if `peer` has looked at them.
        group: The group of addresses that `peer` looks up; empty for others.
    """

    family: Family | None
    peer: Term
    ports: AnyPort | Ports
    group: str = ""

    def terms(self, fields: Fields) -> Iterator[Term]:
        """The terms that together are peer and ports."""
        for port in port_matches(self.ports, fields):
            yield port + self.peer


def allow_matches(allow: AllowRule, fields: Fields) -> Iterator[Match]:
    """The matches that together are an allow."""
    match allow:
        case Allow(peers=peers, ports=ports):
            for family, peer, group in _peers(peers, fields):
                yield Match(family=family, peer=peer, ports=ports, group=group)
        case AllowEndpoints(group=group):
            for family in FAMILIES:
                name = SetName(family=family, endpoints=True, group=group)
                if fields.endpoint is not None:
                    peer = fields.endpoint(family, terms.named_set(str(name)))
                    yield Match(family=family, peer=peer, ports=ANY_PORT)


def peer_matches(peers: AnyPeer | Peers, fields: Fields) -> Iterator[Term]:
    """The terms that together are the peers; `NOTHING` matches everything."""
    return (peer for _, peer, _ in _peers(peers, fields))


def _peers(peers: AnyPeer | Peers, fields: Fields) -> Iterator[tuple[Family | None, Term, str]]:
    """Their family, their term, and their group, if they are one."""
    if isinstance(peers, AnyPeer):
        yield None, NOTHING, ""
        return
    for family in FAMILIES:
        form = form_of(peers.blocks, family, is_named=bool(peers.list_id))
        if form.is_whole:
            yield family, terms.family(family), ""
            continue
        for length in form.elements:
            of_length = SetName(family=family, endpoints=False, group=peers.list_id, length=length)
            yield family, fields.address(family, terms.named_prefixes(length, family, str(of_length))), ""
        for choice in _address_choices(form.ranges):
            yield family, fields.address(family, choice), ""
        for group in peers.groups:
            name = SetName(family=family, endpoints=False, group=group)
            yield family, fields.address(family, terms.named_set(str(name))), group


def port_matches(ports: AnyPort | Ports, fields: Fields) -> Iterator[Term]:
    """The terms that together are the ports; `NOTHING` matches everything."""
    if isinstance(ports, AnyPort):
        yield NOTHING
        return
    for protocol, entries in groupby(ports.ranges, key=lambda entry: entry.protocol):
        ranges = list(entries)
        if ranges[0].is_every:
            yield terms.protocol(protocol)
            continue
        yield from map(partial(fields.port, protocol), _choices(ranges))


def _address_choices(spans: Sequence[AddressRange]) -> Iterator[Choice]:
    """As `_choices`, but many blocks by the length of their prefix, the most frequent length first."""
    if sum(span.first != span.last for span in spans) <= _RANGES_IN_RULES:
        return _choices(spans)
    by_length: defaultdict[int, list[Address]] = defaultdict(list)
    for length, first in chain.from_iterable(map(_prefixes, spans)):
        by_length[length].append(first)
    number = sum(map(len, by_length.values()))
    if len(by_length) > PREFIX_LENGTHS or number > _PREFIXES_A_RANGE * len(spans):
        return _choices(spans)
    lengths = sorted(by_length, key=lambda length: (-len(by_length[length]), length))
    return (terms.prefixes(length, by_length[length]) for length in lengths)


def _prefixes(span: AddressRange) -> Iterator[tuple[int, Address]]:
    """The prefixes that make up a range: length and first address."""
    varying = int(span.first) ^ int(span.last)
    if not varying & (varying + 1) and not int(span.first) & varying:
        return iter([(span.first.max_prefixlen - varying.bit_length(), span.first)])  # a hundred times as fast
    return ((cidr.prefixlen, cidr.network_address) for cidr in summarize_address_range(span.first, span.last))


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
