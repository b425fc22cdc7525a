"""The packets to send at a policy, with the expected verdicts.

Packet filters fail at borders: the address before a block, the last port of a range, a member
of a group in the other family, the right port under another protocol. The questions here are about those, for every
rule of one direction of one interface; the answers are those by which the core explains policy, the definition.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import chain, product
from typing import TypeVar

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    AddressGroup,
    Allow,
    AllowRule,
    Audited,
    Block,
    Cidr,
    Direction,
    EndpointGroup,
    Isolated,
    Packet,
    Peers,
    Ports,
    Protocol,
    SandboxPolicy,
    Verdict,
    parse_address,
)
from mnp_core.policy.evaluate import evaluate

T = TypeVar("T")

STRANGERS = tuple(map(parse_address, ("198.51.100.77", "2001:db8:77::77")))
"""Addresses that no policy of the corpus speaks of."""

GRE, ESP, IGMP = 47, 50, 2  # IANA protocol numbers
_ECHO, _ECHO6, _SOLICITATION, _MLD_REPORT = 8, 128, 135, 143  # ICMP and ICMPv6 types
_MOST_PEERS, _MOST_SERVICES, _ALL_PAIRS = 200, 60, 700
_MOST_PEERS_OF_OTHERS = 24
_NOT_HOSTS = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8")
_LAST = {4: 2**32 - 1, 6: 2**128 - 1}


@frozen(kw_only=True)
class Question:
    """A packet, its path and its expected verdict."""

    interface: str
    direction: Direction
    packet: Packet
    verdict: Verdict

    def __str__(self) -> str:
        expected = "allowed" if self.verdict.allowed else "denied"
        return f"{self.interface} {self.direction.value.lower()} {self.packet}: {expected}"


@frozen(kw_only=True)
class _Service:
    """A service: everything of a packet but the addresses."""

    protocol: int
    port: int | None = None
    icmp_type: int | None = None
    hop_limit: int = 64
    families: frozenset[int] = frozenset({4, 6})

    def packet(self, source: Address, destination: Address) -> Packet:
        return Packet(
            source=source,
            destination=destination,
            protocol=self.protocol,
            port=self.port,
            icmp_type=self.icmp_type,
            hop_limit=self.hop_limit,
        )


_WITHOUT_PORTS = (
    _Service(protocol=Protocol.ICMP, icmp_type=_ECHO, families=frozenset({4})),
    _Service(protocol=IGMP, families=frozenset({4})),
    _Service(protocol=Protocol.ICMPV6, icmp_type=_ECHO6, families=frozenset({6})),
    _Service(protocol=Protocol.ICMPV6, icmp_type=_SOLICITATION, hop_limit=255, families=frozenset({6})),
    _Service(protocol=Protocol.ICMPV6, icmp_type=_SOLICITATION, families=frozenset({6})),
    _Service(protocol=Protocol.ICMPV6, icmp_type=_MLD_REPORT, families=frozenset({6})),
    _Service(protocol=GRE),
    _Service(protocol=ESP),
)


def questions(
    policy: SandboxPolicy, interface: str, direction: Direction, own: Iterable[Address]
) -> tuple[Question, ...]:
    """The questions about one direction of an interface.

    Args:
        policy: The rules of the sandbox.
        interface: One that it speaks of, or another: that must be open.
        direction: As the pod sees it.
        own: The pod's addresses on the interface, at most one of each family; there are no questions about a family
            that it lacks.

    Returns:
        At most about 1,500, the same for the same arguments. Addresses are such as a host can have, so that each can
        be sent; egress has no questions about the pod's own address, as such packets never leave (S44).
    """
    return tuple(
        Question(
            interface=interface,
            direction=direction,
            packet=packet,
            verdict=evaluate(policy, interface, direction, packet),
        )
        for address in own
        for packet in _packets(policy, interface, direction, address)
    )


def _packets(policy: SandboxPolicy, interface: str, direction: Direction, own: Address) -> Iterator[Packet]:
    rules = list(_rules(policy, interface, direction))
    elsewhere = [
        rule for each in policy.interfaces for other in Direction for rule in _rules(policy, each.interface, other)
    ]
    most = _MOST_PEERS if rules else _MOST_PEERS_OF_OTHERS
    peers = _thinned(_peers(policy, [*rules, *elsewhere], direction, own), most)
    services = _thinned(_services(policy, [*rules, *elsewhere], own.version), _MOST_SERVICES)
    for peer, service in _pairs(peers, services, _keys(policy, rules, direction, own)):
        yield service.packet(peer, own) if direction is Direction.INGRESS else service.packet(own, peer)


def _rules(policy: SandboxPolicy, interface: str, direction: Direction) -> Iterator[AllowRule]:
    for each in policy.interfaces:
        rules = each.of(direction)
        if each.interface == interface and isinstance(rules, Isolated | Audited):
            yield from rules.allows


def _pairs(
    peers: Sequence[Address], services: Sequence[_Service], keys: Sequence[tuple[Address, _Service]]
) -> Iterable[tuple[Address, _Service]]:
    """All pairs if they are few; else each peer with the allowed services, and each service with the allowed peers."""
    if len(peers) * len(services) <= _ALL_PAIRS:
        return product(peers, services)
    open_to = _unique([service for _, service in keys[:3]] + [services[0], services[-1]])
    welcome = _unique([peer for peer, _ in keys[:3]] + [peers[0], peers[-1]])
    return _unique([*product(peers, open_to), *product(welcome, services)])


def _keys(
    policy: SandboxPolicy, rules: Iterable[AllowRule], direction: Direction, own: Address
) -> list[tuple[Address, _Service]]:
    """For each rule a peer and a service that match it, as far as there are any."""
    found = []
    for rule in rules:
        peers = _peers(policy, [rule], direction, own)
        services = _services(policy, [rule], own.version)
        alone = evolve(
            policy,
            interfaces=tuple(evolve(each, ingress=_only(rule), egress=_only(rule)) for each in policy.interfaces[:1]),
        )
        for peer, service in product(_thinned(peers, 20), services):
            packet = service.packet(peer, own) if direction is Direction.INGRESS else service.packet(own, peer)
            if evaluate(alone, alone.interfaces[0].interface, direction, packet).origin is not None:
                found.append((peer, service))
                break
    return found


def _only(rule: AllowRule) -> Isolated:
    return Isolated(allows=(rule,))


# --- peers ------------------------------------------------------------------------------------------------------


def _peers(policy: SandboxPolicy, rules: Iterable[AllowRule], direction: Direction, own: Address) -> list[Address]:
    """Strangers first, then the borders of everything that is spoken of; of one family, without duplicates."""
    cidrs: list[Cidr] = [*policy.common.allow_src_prefixes, *policy.common.allow_dst_prefixes]
    mentioned: list[Address] = []
    for rule in rules:
        for block in _blocks(rule):
            cidrs += [block.cidr, *block.excepts]
        for group in _group_ids(rule):
            mentioned += _members(policy, group)
    borders = [address for cidr in cidrs if cidr.version == own.version for address in _around(cidr[0], cidr[-1])]
    beside = [address for each in mentioned if each.version == own.version for address in _around(each, each)]
    stranger = [address for address in STRANGERS if address.version == own.version]
    self = [own] if direction is Direction.INGRESS else []
    candidates = _unique([*stranger, *self, *borders, *beside])
    return [each for each in candidates if _is_host(each) and (each != own or direction is Direction.INGRESS)]


def _blocks(rule: AllowRule) -> tuple[Block, ...]:
    return rule.peers.blocks if isinstance(rule, Allow) and isinstance(rule.peers, Peers) else ()


def _group_ids(rule: AllowRule) -> tuple[str, ...]:
    if isinstance(rule, Allow):
        return rule.peers.groups if isinstance(rule.peers, Peers) else ()
    return (rule.group,)


def _members(policy: SandboxPolicy, identity: str) -> list[Address]:
    """Some members, the same ones in every process."""
    match policy.groups[identity]:
        case AddressGroup(members=members):
            found = set(members)
        case EndpointGroup(members=endpoints):
            found = {endpoint.address for endpoint in endpoints}
    return _thinned(sorted(found, key=lambda address: (address.version, int(address))), 40)


def _around(first: Address, last: Address) -> Iterator[Address]:
    """First, last, and their neighbours outside."""
    make: Callable[[int], Address] = IPv4Address if first.version == 4 else IPv6Address
    numbers = (int(first), int(last), int(first) - 1, int(last) + 1)
    yield from (make(number) for number in numbers if 0 <= number <= _LAST[first.version])


def _is_host(address: Address) -> bool:
    """Whether an interface can have the address and the kernel takes packets from it."""
    return not any(address in cidr for cidr in _no_hosts(address.version))


def _no_hosts(version: int) -> list[Cidr]:
    return [cidr for cidr in map(ip_network, _NOT_HOSTS) if cidr.version == version]


# --- services ---------------------------------------------------------------------------------------------------


def _services(policy: SandboxPolicy, rules: Iterable[AllowRule], family: int) -> list[_Service]:
    """Borders of port ranges, the same numbers under other protocols, and protocols without ports."""
    numbers = {80}
    for rule in rules:
        numbers.update(chain.from_iterable(_around_ports(*span) for span in _spans(policy, rule)))
    ports = [number for number in sorted(numbers) if 1 <= number <= 65535]
    with_ports = [
        _Service(protocol=protocol, port=port)
        for port in _thinned(ports, _MOST_SERVICES // 4)
        for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
    ]
    return [*with_ports, *(service for service in _WITHOUT_PORTS if family in service.families)]


def _spans(policy: SandboxPolicy, rule: AllowRule) -> Iterator[tuple[int, int]]:
    if isinstance(rule, Allow):
        ranges = rule.ports.ranges if isinstance(rule.ports, Ports) else ()
        yield from ((entry.first, entry.last) for entry in ranges)
        return
    group = policy.groups[rule.group]
    if isinstance(group, EndpointGroup):
        yield from ((endpoint.port, endpoint.port) for endpoint in group.members)


def _around_ports(first: int, last: int) -> tuple[int, ...]:
    return first - 1, first, last, last + 1


# --- lists ------------------------------------------------------------------------------------------------------


def _unique(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))


def _thinned(items: Sequence[T], most: int) -> list[T]:
    """Spread evenly over the whole, first and last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]
