"""Rules of ours in a namespace, by either variant, and their comparison with a compiled ruleset (S62, S63)."""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from mnp_core.model import Family, RuleCounter, RulePlace
from mnp_core.netfilter.comments import decode
from mnp_iptables.names import CHAIN_PREFIX, DISPATCH, ESTABLISHED, parse_digest, scope
from mnp_iptables.render.hook_points import FILTER
from mnp_iptables.sets.set_types import FAMILIES

FLAGS = ""
"""The key of a table's flags in `InstalledTable.frame`, beside the names of its built-in chains."""

_SET_NUMBER = struct.Struct("=H")  # struct xt_set_info: the first member of match ``set`` in all its revisions
SET_NUMBER_SIZE = _SET_NUMBER.size


@frozen(kw_only=True)
class Rule:
    """A rule as the kernel has it.

    Attributes:
        data: Its bytes, without counters. With nf_tables these are its expressions.
        userdata: The bytes that nf_tables keeps for user space.
        places: Offsets in `data` of the numbers of ipsets.
        target: The chain that it jumps or goes to, if any.
    """

    data: bytes
    userdata: bytes = b""
    places: tuple[int, ...] = ()
    target: str = ""

    @property
    def content(self) -> bytes:
        """Everything but the numbers of ipsets, which differ from namespace to namespace."""
        data = bytearray(self.data)
        for place in self.places:
            data[place : place + SET_NUMBER_SIZE] = bytes(SET_NUMBER_SIZE)
        parts = bytes(data), self.userdata, self.target.encode(errors="replace")
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@frozen(kw_only=True)
class InstalledRule(Rule):
    """A rule in a chain of ours, or one that leads into one.

    Attributes:
        handle: The kernel's number of the rule, with nf_tables.
        first: Whether no foreign rule precedes it in its chain.
    """

    chain: str
    handle: int = 0
    first: bool = False
    comment: str = ""
    packets: int = 0
    bytes: int = 0

    @property
    def label(self) -> str:
        """What it is counted as; empty for rules that lead elsewhere."""
        passes = self.chain in DISPATCH.values() and not self.target
        return ESTABLISHED if passes else decode(self.comment)

    @property
    def sets(self) -> tuple[int, ...]:
        """The kernel's numbers of its ipsets, in order."""
        return tuple(_SET_NUMBER.unpack_from(self.data, place)[0] for place in self.places)


@frozen(kw_only=True)
class WantedRule(Rule):
    """A rule to write; `sets` are the names of its ipsets in the ruleset, in the order of `places`."""

    sets: tuple[str, ...]

    def bound(self, numbers: Mapping[str, int]) -> bytes:
        """The data, with the numbers that the ipsets have in one namespace."""
        data = bytearray(self.data)
        for place, name in zip(self.places, self.sets, strict=True):
            _SET_NUMBER.pack_into(data, place, numbers[name])
        return bytes(data)


@frozen(kw_only=True)
class InstalledTable:
    """A table with chains or rules of ours.

    Attributes:
        frame: Its flags, and type and hook of its built-in chains, with nf_tables.
        chains: Ours.
        rules: The rules of our chains, in order.
        jumps: The rules of other chains that lead into ours, in order.
    """

    family: Family
    name: str
    frame: Mapping[str, bytes] = field(factory=dict)
    chains: tuple[str, ...]
    rules: tuple[InstalledRule, ...]
    jumps: tuple[InstalledRule, ...]


@frozen(kw_only=True)
class WantedTable:
    """Our part of one table.

    Attributes:
        frame: As in `InstalledTable`, of the chains with jumps.
        chains: Our chains with their rules.
        jumps: By built-in chain, the rules that lead into ours; they come first there.
    """

    name: str
    frame: Mapping[str, bytes] = field(factory=dict)
    chains: Mapping[str, tuple[WantedRule, ...]]
    jumps: Mapping[str, tuple[WantedRule, ...]]


Wanted = Mapping[Family, WantedTable]
"""Our part of one table for each family."""


def has_jumps(found: InstalledTable, wanted: WantedTable) -> bool:
    """Whether the wanted jumps are there, and none else, before all foreign rules of their chains."""
    expected = {chain: [rule.content for rule in rules] for chain, rules in wanted.jumps.items()}
    there: dict[str, list[bytes]] = {}
    for jump in found.jumps:
        there.setdefault(jump.chain, []).append(jump.content)
    return there == expected and all(jump.first for jump in found.jumps)


def is_as_wanted(found: InstalledTable, wanted: WantedTable, numbers: Mapping[str, int]) -> bool:
    """Whether our part of a table is exactly the wanted one.

    Args:
        found: The table.
        wanted: Our part of it.
        numbers: The kernel's number of each ipset, by its name in the ruleset.
    """
    there: dict[str, list[tuple[bytes, tuple[int, ...]]]] = {chain: [] for chain in found.chains}
    for rule in found.rules:
        there.setdefault(rule.chain, []).append((rule.content, rule.sets))
    expected = {
        chain: [(rule.content, tuple(numbers.get(name, -1) for name in rule.sets)) for rule in rules]
        for chain, rules in wanted.chains.items()
    }
    framed = all(found.frame.get(part) == value for part, value in wanted.frame.items())
    return framed and there == expected and has_jumps(found, wanted)


def is_ours(chain: str) -> bool:
    """Whether a chain of that name is one of ours."""
    return chain.startswith(CHAIN_PREFIX)


def digest(tables: Sequence[InstalledTable], *, vrf: bool) -> str:
    """The digest that a chain's name states; empty if these tables are no complete ruleset.

    Any process in the pod can write the name: only a comparison with the ruleset proves it.

    Args:
        tables: All of ours.
        vrf: Whether there is a VRF: the filter table does not see its interfaces.
    """
    names = {table.name for table in tables}
    digests = {found for table in tables for chain in table.chains if (found := parse_digest(chain))}
    complete = sorted(table.family for table in tables) == list(FAMILIES)
    if not complete or len(names) != 1 or len(digests) != 1 or (vrf and names == {FILTER.table}):
        return ""
    return digests.pop()


def counters(tables: Iterable[InstalledTable]) -> list[RuleCounter]:
    """The counters of rules, in the order in which packets meet them; no interface stands for every one.

    The rules of one policy rule, in both families, count together.
    """
    found: dict[tuple[str, str, str], list[InstalledRule]] = {}
    for rule in (rule for table in tables for rule in table.rules if rule.label):
        if about := scope(rule.chain):
            interface, direction = about
            key = interface, direction.value, rule.label
            found.setdefault(key, []).append(rule)
    return [
        RuleCounter(
            interface=interface,
            direction=direction,
            label=label,
            packets=sum(rule.packets for rule in rules),
            bytes=sum(rule.bytes for rule in rules),
        )
        for (interface, direction, label), rules in found.items()
    ]


def places(tables: Iterable[InstalledTable]) -> list[RulePlace]:
    """The rules of our chains by their places, in the order in which packets meet them."""
    found = []
    for table in tables:
        counts = Counter[str]()
        for rule in table.rules:
            counts[rule.chain] += 1
            interface, direction = scope(rule.chain) or ("", None)
            found.append(
                RulePlace(
                    family=table.family,
                    table=table.name,
                    chain=rule.chain,
                    handle=rule.handle,
                    position=counts[rule.chain],
                    interface=interface,
                    direction=direction.value if direction is not None else "",
                    label=rule.label,
                )
            )
    return found
