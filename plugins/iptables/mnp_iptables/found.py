"""What of ours is in the tables of a namespace, whichever applier put it there."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from mnp_core.model import Family, RuleCounter
from mnp_iptables.names import CHAIN_PREFIX, DISPATCH, ChainName, comment_text, parse_digest
from mnp_iptables.places import FILTER, MANGLE, Place
from mnp_iptables.sets import FAMILIES

_PLACES = {place.table: place for place in (MANGLE, FILTER)}


@frozen(kw_only=True)
class FoundRule:
    """A rule in a chain of ours, or in a built-in chain.

    Attributes:
        content: All that makes it what it is; not its counters.
        target: The chain that it jumps or goes to, if any.
    """

    chain: str
    content: bytes
    target: str = ""
    comment: str = ""
    packets: int = 0
    bytes: int = 0


@frozen(kw_only=True)
class FoundTable:
    """A table in which something of ours is.

    Attributes:
        chains: Ours.
        rules: Those in our chains, in order.
        built_in: Those in built-in chains, in order, whosever they are.
    """

    family: Family
    name: str
    chains: tuple[str, ...]
    rules: tuple[FoundRule, ...]
    built_in: tuple[FoundRule, ...]

    @property
    def jumps(self) -> tuple[FoundRule, ...]:
        """The jumps to chains of ours."""
        return tuple(rule for rule in self.built_in if is_ours(rule.target))

    def jump_numbers(self) -> list[tuple[str, int]]:
        """Where they are: built-in chain and number of the rule, so ordered that they can be deleted one by one."""
        hooks = {rule.chain for rule in self.built_in}
        lists = {hook: [rule for rule in self.built_in if rule.chain == hook] for hook in hooks}
        numbers = [
            (hook, number)
            for hook, rules in lists.items()
            for number, rule in enumerate(rules, start=1)
            if is_ours(rule.target)
        ]
        return sorted(numbers, reverse=True)

    def has_jumps(self, wanted: Mapping[str, Sequence[str]]) -> bool:
        """Whether these jumps, by built-in chain, are the first rules there, and there are no others."""
        first = all(_targets(self.built_in, hook)[: len(chains)] == list(chains) for hook, chains in wanted.items())
        return first and len(self.jumps) == sum(map(len, wanted.values()))


def is_ours(chain: str) -> bool:
    """Whether a chain of that name is one of ours."""
    return chain.startswith(CHAIN_PREFIX)


def find_table(
    family: Family, name: str, *, chains: Iterable[str], rules: Iterable[FoundRule], built_in: Iterable[FoundRule]
) -> FoundTable | None:
    """Pick ours out of all that is in a table; None if nothing is."""
    table = FoundTable(
        family=family,
        name=name,
        chains=tuple(chain for chain in chains if is_ours(chain)),
        rules=tuple(rule for rule in rules if is_ours(rule.chain)),
        built_in=tuple(built_in),
    )
    return table if table.chains or table.jumps else None


def place_jumps(place: Place) -> dict[str, list[str]]:
    """By built-in chain, the chains of ours that it jumps to, in order."""
    hooks: dict[str, list[str]] = {}
    for direction, chain in DISPATCH.items():
        for hook in place.hooks[direction]:
            hooks.setdefault(hook, []).append(chain)
    return hooks


def digest(tables: Sequence[FoundTable], *, vrf: bool) -> str:
    """The digest that stands in the tables; empty if they are not what some ruleset asks for.

    Args:
        tables: All of ours.
        vrf: Whether some interface is in a VRF, which the filter table does not see.
    """
    places = {table.name for table in tables}
    digests = {found for table in tables for chain in table.chains if (found := parse_digest(chain))}
    complete = sorted(table.family for table in tables) == list(FAMILIES)
    if not complete or len(places) != 1 or len(digests) != 1 or (vrf and places == {FILTER.table}):
        return ""
    wanted = place_jumps(_PLACES[places.pop()])
    return digests.pop() if all(table.has_jumps(wanted) for table in tables) else ""


def fingerprint(tables: Sequence[FoundTable]) -> str:
    """Of all that is ours, membership and counters left out: it tells whether anybody has changed something."""
    parts = [part for table in sorted(tables, key=lambda each: (each.family, each.name)) for part in _parts(table)]
    sized = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(sized).hexdigest()


def counters(tables: Iterable[FoundTable]) -> list[RuleCounter]:
    """What the rules of interfaces have counted, in the order in which packets meet them.

    Rules that come from the same rule of a policy, in both families, are counted together.
    """
    found: dict[tuple[str, str, str], list[FoundRule]] = {}
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


def _targets(rules: Iterable[FoundRule], chain: str) -> list[str]:
    return [rule.target for rule in rules if rule.chain == chain]


def _parts(table: FoundTable) -> Iterable[bytes]:
    yield from (str(table.family).encode(), table.name.encode())
    yield from (chain.encode(errors="replace") for chain in sorted(table.chains))
    for rule in sorted((*table.rules, *table.jumps), key=lambda rule: rule.chain):  # programs put chains in order
        yield from (rule.chain.encode(errors="replace"), rule.content)
