"""Writes policy as a table of rules for the BPF program: the dialect ``ebpf``.

The text is for people; the applier takes the table that comes with it. What the program does with each packet is in
c/policy.c: first connections that are known, then the rules in their order, then the end.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Final

from attrs import field, frozen

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.model import (
    Allow,
    AnyPeer,
    AnyPort,
    Audited,
    Block,
    CommonRules,
    Delta,
    Direction,
    DirectionPolicy,
    EstablishedFlows,
    Group,
    GroupDelta,
    InterfacePolicy,
    Isolated,
    Protocol,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.model import Peers as PeerSet
from mnp_core.model.address import address_ranges, block_order
from mnp_ebpf.features import DIALECT, REFUSES
from mnp_ebpf.members import elements, set_name
from mnp_ebpf.names import interface_name, label
from mnp_ebpf.table import Interface, Mode, Peers, Rule, Side, Table

MOST_SETS: Final = 2048
"""GROUPS_NUMBER of c/policy.c."""

_IGMP: Final = 2
_MLD: Final = ((130, 132), (143, 143))  # RFC 2710, RFC 3810
_DISCOVERY: Final = (133, 137)  # RFC 4861
_DISCOVERY_HOPS: Final = 255
_BLOCK = struct.Struct("=II16s")
_PREFIX_SETTING: Final = {Direction.INGRESS: "allow-src-prefix", Direction.EGRESS: "allow-dst-prefix"}


@frozen(kw_only=True)
class EbpfRuleset(Ruleset):
    """A ruleset with the table for its applier.

    Attributes:
        says: The text of `table`; a ruleset with another `text` is refused.
        table: The rules.
        connections: Size of the table of connections, for a pod that has none yet.
    """

    says: str = field(repr=False)
    table: Table = field(repr=False)
    connections: int = CommonRules().connection_table_size


class EbpfRenderer:
    """Writes policy for the BPF program; see `mnp_core.api.PolicyRenderer`."""

    def render(self, policy: SandboxPolicy) -> EbpfRuleset:
        """Write the complete ruleset of one sandbox.

        Raises:
            InputError: The name of an interface, or a group, is none.
            UnsupportedError: A setting that this backend refuses.
        """
        if refused := sorted(policy.common.features & REFUSES):
            raise UnsupportedError(f"the backend ebpf has no {', '.join(refused)}")
        writer = _Writer(policy)
        table, members = writer.table(), {set_name(group): elements(group) for group in policy.groups.values()}
        text = "".join(f"{line}\n" for line in _text(table, writer.blocks, members))
        return EbpfRuleset(
            dialect=DIALECT,
            text=text,
            sets=members,
            digest=table.digest,
            says=text,
            table=table,
            connections=policy.common.connection_table_size,
        )

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership."""
        added, removed = _changed(delta.added), _changed(delta.removed)
        lines = [("add", added), ("remove", removed)]
        text = "".join(
            f"{word} {name} {element}\n" for word, sets in lines for name in sets for element in sorted(sets[name])
        )
        return Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _changed(group: Group) -> dict[str, frozenset[str]]:
    return {set_name(group): found} if (found := elements(group)) else {}


class _Writer:
    """Numbers blocks and groups while it compiles the rules of one sandbox."""

    def __init__(self, policy: SandboxPolicy) -> None:
        self._policy = policy
        self._sets = {identity: number for number, identity in enumerate(policy.groups)}
        used = sorted(_blocks_of(policy), key=lambda blocks: [block_order(block) for block in blocks])
        self.blocks: Mapping[int, tuple[Block, ...]] = dict(enumerate(used))
        self._numbers = {blocks: number for number, blocks in self.blocks.items()}

    def table(self) -> Table:
        if len(self._sets) > MOST_SETS:
            raise InputError(
                f"{len(self._sets)} groups of peers, at most {MOST_SETS}: let fewer policies select this pod",
                where=f"Pod {self._policy.pod}",
            )
        interfaces = tuple(map(self._interface, self._policy.interfaces))
        used = _used_blocks(interfaces)  # those of rules that match nothing, and of settings where all is open, are not
        self.blocks = {number: blocks for number, blocks in self.blocks.items() if number in used}
        keys = frozenset(key for number, blocks in self.blocks.items() for key in _block_keys(number, blocks))
        return Table(
            interfaces=interfaces,
            sets=tuple(map(set_name, self._policy.groups.values())),
            blocks=keys,
            recheck=self._policy.common.established_flows is EstablishedFlows.RECHECK,
            early_drop=self._policy.common.early_drop,
        )

    def _interface(self, policy: InterfacePolicy) -> Interface:
        return Interface(
            name=interface_name(policy.interface, pod=self._policy.pod),
            carrier=interface_name(policy.carrier, pod=self._policy.pod) if policy.carrier else "",
            path=policy.path,
            ingress=self._side(policy.ingress, Direction.INGRESS),
            egress=self._side(policy.egress, Direction.EGRESS),
        )

    def _side(self, policy: DirectionPolicy, direction: Direction) -> Side:
        if not isinstance(policy, Isolated | Audited):
            return Side()
        rules = [*_settings(self._policy.common), *self._prefixes(direction)]
        found = (rule for allow in policy.allows for rule in self._allowed(allow))
        rules += sorted(dict.fromkeys(found), key=lambda rule: (rule.label, rule.packed()))
        return Side(mode=Mode.AUDITED if isinstance(policy, Audited) else Mode.ISOLATED, rules=tuple(rules))

    def _prefixes(self, direction: Direction) -> Iterator[Rule]:
        if blocks := _prefixes(self._policy.common, direction):
            yield Rule(label=_PREFIX_SETTING[direction], peers=Peers.BLOCKS, number=self._numbers[blocks])

    def _allowed(self, allow: object) -> Iterator[Rule]:
        if isinstance(allow, Allow):
            for peers, number in self._peers(allow):
                for protocol, first, last in _ports(allow):
                    yield Rule(
                        label=label(str(allow.origin)),
                        peers=peers,
                        number=number,
                        protocol=protocol,
                        first=first,
                        last=last,
                    )
        else:
            yield Rule(label=label(str(allow.origin)), peers=Peers.ENDPOINTS, number=self._sets[allow.group])  # type: ignore[attr-defined] # AllowEndpoints

    def _peers(self, allow: Allow) -> Iterator[tuple[Peers, int]]:
        if isinstance(allow.peers, AnyPeer):
            yield Peers.ANY, 0
            return
        if allow.peers.blocks:
            yield Peers.BLOCKS, self._numbers[allow.peers.blocks]
        for identity in allow.peers.groups:
            yield Peers.GROUP, self._sets[identity]


def _used_blocks(interfaces: Iterable[Interface]) -> frozenset[int]:
    """The numbers of the blocks that rules name."""
    sides = (side for interface in interfaces for side in interface.sides.values())
    return frozenset(rule.number for side in sides for rule in side.rules if rule.peers is Peers.BLOCKS)


def _blocks_of(policy: SandboxPolicy) -> set[tuple[Block, ...]]:
    """The blocks of each rule and setting, together."""
    sides = [side for each in policy.interfaces for side in (each.ingress, each.egress)]
    allows = [allow for side in sides if isinstance(side, Isolated | Audited) for allow in side.allows]
    found = {allow.peers.blocks for allow in allows if isinstance(allow, Allow) and isinstance(allow.peers, PeerSet)}
    return (found | {_prefixes(policy.common, direction) for direction in Direction}) - {()}


def _prefixes(common: CommonRules, direction: Direction) -> tuple[Block, ...]:
    prefixes = common.allow_src_prefixes if direction is Direction.INGRESS else common.allow_dst_prefixes
    return tuple(Block(cidr=prefix) for prefix in prefixes)


def _settings(common: CommonRules) -> Iterator[Rule]:
    yield _icmpv6("neighbour-discovery", *_DISCOVERY, hops=_DISCOVERY_HOPS)
    if common.accept_icmp:
        yield Rule(label="accept-icmp", protocol=Protocol.ICMP, family=4)
    if common.accept_icmpv6:
        yield _icmpv6("accept-icmpv6", 0, 65535)
    if common.accept_multicast_management:
        yield Rule(label="accept-multicast-management", protocol=_IGMP, family=4)
        yield from (_icmpv6("accept-multicast-management", *types) for types in _MLD)


def _icmpv6(name: str, first: int, last: int, *, hops: int = 0) -> Rule:
    return Rule(label=name, protocol=Protocol.ICMPV6, family=6, first=first, last=last, hops=hops)


def _ports(allow: Allow) -> Iterable[tuple[int, int, int]]:
    if isinstance(allow.ports, AnyPort):
        return [(0, 0, 65535)]
    return [(each.protocol, each.first, each.last) for each in allow.ports.ranges]


def _block_keys(number: int, blocks: tuple[Block, ...]) -> Iterator[bytes]:
    for family in (4, 6):
        for addresses in address_ranges(blocks, family):
            for cidr in _cidrs(addresses.first, addresses.last):
                packed = cidr.network_address.packed.ljust(16, b"\0")
                yield _BLOCK.pack(32 + cidr.prefixlen, number << 1 | (family == 6), packed)


def _cidrs(first: IPv4Address | IPv6Address, last: IPv4Address | IPv6Address) -> Iterable:  # type: ignore[type-arg] # networks of either family
    return summarize_address_range(first, last)


# --- text -------------------------------------------------------------------------------------------------------------


def _text(
    table: Table, blocks: Mapping[int, tuple[Block, ...]], members: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    yield f"digest {table.digest}"
    yield f"established flows {'recheck' if table.recheck else 'keep'}"
    yield f"early drop {table.early_drop.value}"
    for interface in table.interfaces:
        link = f", its packets by {label(interface.carrier)}" if interface.carrier else ""
        yield f"interface {label(interface.name)}{link} ({interface.path.value})"
        for direction, side in interface.sides.items():
            yield f" {direction.value.lower()} {side.mode.name.lower()}"
            yield from (f"  allow {_rule_text(rule, table)} # {rule.label}" for rule in side.rules)
    for number, found in sorted(blocks.items()):
        yield f"blocks {number}"
        yield from (f" {block}" for block in found)
    for name in table.sets:
        yield name
        yield from (f" {element}" for element in sorted(members[name]))


def _rule_text(rule: Rule, table: Table) -> str:
    words = [f"IPv{rule.family}"] if rule.family else []
    if rule.protocol:
        names = {each.value: each.name for each in Protocol}
        words.append(names.get(rule.protocol, f"protocol {rule.protocol}"))
    if (rule.first, rule.last) != (0, 65535):
        words.append(str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}")
    if rule.hops:
        words.append(f"hop limit {rule.hops}")
    match rule.peers:
        case Peers.BLOCKS:
            words.append(f"blocks {rule.number}")
        case Peers.GROUP | Peers.ENDPOINTS:
            words.append(table.sets[rule.number])
    return " ".join(words) or "everything"
