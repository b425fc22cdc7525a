"""What of ours is in the tables of a namespace, whichever applier put it there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen

from mnp_core.model import Family, RuleCounter
from mnp_iptables.hook_points import FILTER
from mnp_iptables.names import CHAIN_PREFIX, ChainName, comment_text, parse_digest
from mnp_iptables.sets import FAMILIES


@frozen(kw_only=True)
class InstalledRule:
    """A rule in a chain of ours, or one that leads into one.

    Attributes:
        content: All that makes it what it is but the sets that it looks into; not its counters.
        sets: The kernel's numbers of these sets, in order.
        target: The chain that it jumps or goes to, if any.
        handle: The kernel's number of the rule, where rules have one.
        first: Whether no rule of somebody else is in front of it in its chain.
    """

    chain: str
    content: bytes
    sets: tuple[int, ...] = ()
    target: str = ""
    handle: int = 0
    first: bool = False
    comment: str = ""
    packets: int = 0
    bytes: int = 0


@frozen(kw_only=True)
class InstalledTable:
    """A table in which something of ours is.

    Attributes:
        frame: What else decides how it works: its flags, and where its built-in chains are hooked in.
        chains: Ours.
        rules: Those in our chains, in order.
        jumps: Those in other chains that lead into ours, in order.
    """

    family: Family
    name: str
    frame: Mapping[str, bytes] = field(factory=dict)
    chains: tuple[str, ...]
    rules: tuple[InstalledRule, ...]
    jumps: tuple[InstalledRule, ...]


class WantedRule(Protocol):
    """A rule as its way writes it: `content` as in `InstalledRule`, and the names of its sets in the ruleset."""

    @property
    def content(self) -> bytes:
        """As in `InstalledRule`."""

    @property
    def sets(self) -> tuple[str, ...]:
        """In the order of `InstalledRule.sets`."""


R_co = TypeVar("R_co", bound=WantedRule, covariant=True)


@frozen(kw_only=True)
class WantedTable(Generic[R_co]):
    """What is to be of ours in one table.

    Attributes:
        frame: As in `InstalledTable`, of the chains that ours are reached from.
        chains: Our chains with their rules.
        jumps: By built-in chain, the rules that lead into ours; they come first there.
    """

    name: str
    frame: Mapping[str, bytes] = field(factory=dict)
    chains: Mapping[str, tuple[R_co, ...]]
    jumps: Mapping[str, tuple[R_co, ...]]


def has_jumps(found: InstalledTable, wanted: WantedTable[WantedRule]) -> bool:
    """Whether the jumps that are wanted are the first rules where they have to be, and there are no others."""
    expected = {chain: [rule.content for rule in rules] for chain, rules in wanted.jumps.items()}
    there: dict[str, list[bytes]] = {}
    for jump in found.jumps:
        there.setdefault(jump.chain, []).append(jump.content)
    return there == expected and all(jump.first for jump in found.jumps)


def is_as_wanted(found: InstalledTable, wanted: WantedTable[WantedRule], indices: Mapping[str, int]) -> bool:
    """Whether a table has exactly what is wanted.

    Args:
        found: What is in the table.
        wanted: What is to be there.
        indices: The kernel's number of each set, by its name in the ruleset.
    """
    there: dict[str, list[tuple[bytes, tuple[int, ...]]]] = {chain: [] for chain in found.chains}
    for rule in found.rules:
        there.setdefault(rule.chain, []).append((rule.content, rule.sets))
    expected = {
        chain: [(rule.content, tuple(indices.get(name, -1) for name in rule.sets)) for rule in rules]
        for chain, rules in wanted.chains.items()
    }
    framed = all(found.frame.get(part) == value for part, value in wanted.frame.items())
    return framed and there == expected and has_jumps(found, wanted)


def is_ours(chain: str) -> bool:
    """Whether a chain of that name is one of ours."""
    return chain.startswith(CHAIN_PREFIX)


def digest(tables: Sequence[InstalledTable], *, vrf: bool) -> str:
    """The digest that stands in the tables; empty if they cannot be what some ruleset asks for.

    It says what they claim to be; whether they are, only a comparison with the ruleset tells.

    Args:
        tables: All of ours.
        vrf: Whether there is a VRF, whose interfaces the filter table does not see.
    """
    places = {table.name for table in tables}
    digests = {found for table in tables for chain in table.chains if (found := parse_digest(chain))}
    complete = sorted(table.family for table in tables) == list(FAMILIES)
    if not complete or len(places) != 1 or len(digests) != 1 or (vrf and places == {FILTER.table}):
        return ""
    return digests.pop()


def counters(tables: Iterable[InstalledTable]) -> list[RuleCounter]:
    """What the rules of interfaces have counted, in the order in which packets meet them.

    Rules that come from the same rule of a policy, in both families, are counted together.
    """
    found: dict[tuple[str, str, str], list[InstalledRule]] = {}
    for rule in (rule for table in tables for rule in table.rules if rule.comment):
        if chain := ChainName.parse(rule.chain):
            key = chain.interface, chain.direction.value, comment_text(rule.comment)
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
