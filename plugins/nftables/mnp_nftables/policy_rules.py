"""The rules of the policies of one direction: in a row, or in chains of their own if they are many.

A packet is asked for every rule in a row until one decides. So of many, only those stand in one chain that packets of
one family and of one class of ports can meet, in the order of the row: the rule that decides and counts is the same.
If they look up very many groups, some at a time stand in a chain behind one lookup, in their union. Chains are entered
by rules that compare, not by a verdict map: its elements would go with the old generation of rules
(`mnp_nftables.renderer`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain

from attrs import evolve, frozen

from mnp_core.model import ANY_PORT, Allow, AllowRule, AnyPort, Family, Origin, Peers, PortRange, Ports
from mnp_core.netfilter.comments import encode
from mnp_core.netfilter.port_classes import PortClass, port_classes
from mnp_core.netfilter.unions import Union
from mnp_nftables import terms
from mnp_nftables.matches import Fields, Match, allow_matches, port_matches
from mnp_nftables.names import COMMENT_LIMIT
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import FAMILIES
from mnp_nftables.terms import ACCEPT, COUNTER
from mnp_nftables.unions import union_name

_IN_A_ROW = 16
"""Up to this number, rules in a row cost a packet as much as the ways into chains do, and less to write."""

_COPIES = 2
"""A rule is written up to so many times, on average; where it would be more, all stay in a row."""

LOOKUPS, _LOOKUPS_BEHIND_ONE = 24, 10
"""Beyond the first number of groups in one chain, so many at a time stand behind a lookup in their union."""

_REMEMBERED, _REMEMBERED_BLOCKS = 500, 16
"""Allows of which rules are remembered, and the most blocks of one: a megabyte or two; a pod with more has others."""

_MOST_RANGES = 200
"""Ranges of ports in all lists together, for the time that it takes to find their classes."""

_Order = tuple[str, str, str, int, str, tuple[PortRange, ...]]
NameOf = Callable[[int], str]
"""The name of a chain by its number, from 1 on."""


@frozen(eq=False, slots=False)
class Entry:
    """One kind of peer that one rule of a policy allows.

    Attributes:
        origin: The rule of the policy.
        match: The peer and its ports.
        fields: Where packets show them.
        prepares: Whether its rules are prepared for many rulesets.
    """

    origin: Origin
    match: Match
    fields: Fields
    prepares: bool = False

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Its rules."""
        comment = encode(str(self.origin), COMMENT_LIMIT)
        rules = (Rule.of(term + COUNTER + ACCEPT, comment) for term in self.match.terms(self.fields))
        return tuple(rule.prepare() for rule in rules) if self.prepares else tuple(rules)

    @cached_property
    def without_ports(self) -> "Entry":
        """The entry for packets whose port is known to be right."""
        return evolve(self, match=evolve(self.match, ports=ANY_PORT))

    @cached_property
    def order(self) -> _Order:
        """As origin, peer and ports order, within one direction, but in a third of the time."""
        policy, ports = self.origin.policy, self.match.ports
        ranges = ports.ranges if isinstance(ports, Ports) else ()
        return policy.kind, policy.name.namespace, policy.name.name, self.origin.rule, self.match.peer.words, ranges


@frozen(kw_only=True)
class PolicyRules:
    """The rules for the chain of a direction, the chains that they lead to, and the unions that these look up."""

    rules: tuple[Rule, ...]
    chains: tuple[Chain, ...] = ()
    unions: tuple[Union, ...] = ()


def in_a_row(allows: Iterable[AllowRule], fields: Fields) -> tuple[Rule, ...]:
    """All rules, sorted: equal policies in any order give equal rules (S11)."""
    return tuple(_rules(_entries(tuple(allows), fields)))


def in_chains(allows: Iterable[AllowRule], fields: Fields, name_of: NameOf) -> PolicyRules:
    """The rules, in chains if they are many."""
    entries = _entries(tuple(allows), fields)
    by_ports = _by_ports(entries)
    width = {ports: sum(1 for _ in port_matches(ports, fields)) for ports in by_ports}
    row = sum(width[ports] * len(found) for ports, found in by_ports.items())
    classes = _classes(by_ports, _COPIES * row) if row > _IN_A_ROW else None
    if classes is None:
        return PolicyRules(rules=tuple(_rules(entries)))
    written = _Writer(fields, name_of)
    ways = [way for part in _parts(entries, by_ports, classes) for way in written.part(part)]
    return PolicyRules(rules=tuple(ways), chains=tuple(written.chains), unions=tuple(written.unions))


def _by_ports(entries: Iterable[Entry]) -> dict[AnyPort | Ports, list[int]]:
    """Where the entries of each list of ports stand."""
    found = defaultdict[AnyPort | Ports, list[int]](list)
    for index, entry in enumerate(entries):
        found[entry.match.ports].append(index)
    return found


def _classes(by_ports: Mapping[AnyPort | Ports, Sequence[int]], most: int) -> tuple[PortClass, ...] | None:
    """The classes of ports; None where their rules would be more than `most`, or the classes themselves too many."""
    lists = [each for each in by_ports if isinstance(each, Ports)]
    if sum(len(each.ranges) for each in lists) > _MOST_RANGES:
        return None
    classes, always = port_classes(lists), len(by_ports.get(ANY_PORT, ()))
    copies = sum(always + sum(len(by_ports[each]) for each in ports.lists) for ports in classes) + always
    return classes if copies <= most else None


@frozen(kw_only=True)
class _Part:
    """The rules for packets of one family and one class of ports, without what the way in has compared."""

    family: Family
    ports: AnyPort | Ports
    entries: Sequence[Entry]

    def batches(self) -> Iterator[tuple[Entry, ...]]:
        """All entries, or, if they look up very many groups, some at a time, in their order."""
        if sum(bool(entry.match.group) for entry in self.entries) <= LOOKUPS:
            yield tuple(self.entries)
            return
        batch, lookups = list[Entry](), 0
        for entry in self.entries:
            batch.append(entry)
            lookups += bool(entry.match.group)
            if lookups == _LOOKUPS_BEHIND_ONE:
                yield tuple(batch)
                batch, lookups = [], 0
        if batch:
            yield tuple(batch)


class _Writer:
    """Writes chains, and counts them."""

    def __init__(self, fields: Fields, name_of: NameOf) -> None:
        self.chains: list[Chain] = []
        self.unions: dict[Union, None] = {}
        self._fields = fields
        self._name_of = name_of

    def part(self, part: _Part) -> Iterator[Rule]:
        """Write the chains of a part; the ways into it."""
        batches = tuple(part.batches())
        if len(batches) == 1:
            rules = _rules(part.entries)
        else:
            rules = (rule for batch in batches for rule in self._batch(part.family, batch))
        name = self._chain(tuple(rules))
        yield from _ways(part.ports, self._fields, part.family, name)

    def _batch(self, family: Family, batch: Sequence[Entry]) -> Iterator[Rule]:
        """Ways into a batch: any packet that a rule in it matches takes one."""
        name = self._chain(tuple(_rules(batch)))
        union = Union(family=family, groups=tuple(sorted({entry.match.group for entry in batch} - {""})))
        guards = [entry.match.peer for entry in batch if not entry.match.group]
        if union.groups:
            self.unions[union] = None
            guards.insert(0, self._fields.address(family, terms.named_set(str(union_name(union)))))
        for guard in guards:
            yield Rule.of(guard + terms.jump(name))

    def _chain(self, rules: tuple[Rule, ...]) -> str:
        name = self._name_of(len(self.chains) + 1)
        self.chains.append(Chain(name=name, rules=rules))
        return name


@lru_cache
def _ways(ports: AnyPort | Ports, fields: Fields, family: Family, chain: str) -> tuple[Rule, ...]:
    """The rules that lead into a chain; equal in many sandboxes."""
    matches = (port + terms.family(family) + terms.jump(chain) for port in port_matches(ports, fields))
    return tuple(Rule.of(match).prepare() for match in matches)


def _entries(allows: tuple[AllowRule, ...], fields: Fields) -> list[Entry]:
    """The entries of all allows, sorted, each once."""
    entries_of = _remembered_entries if len(allows) <= _REMEMBERED else _entries_of
    every = (entry for allow in allows for entry in entries_of(allow, fields))
    found = {(entry.order, isinstance(entry.match.ports, AnyPort)): entry for entry in every}
    return sorted(found.values(), key=_order)


def _order(entry: Entry) -> _Order:
    return entry.order


def _entries_of(allow: AllowRule, fields: Fields, *, prepares: bool = False) -> tuple[Entry, ...]:
    return tuple(Entry(allow.origin, match, fields, prepares) for match in allow_matches(allow, fields))


_remembered: dict[tuple[int, int], tuple[AllowRule, tuple[Entry, ...]]] = {}
"""By an allow, which is the same object in all pods, and fields; two threads may write the same."""


def _remembered_entries(allow: AllowRule, fields: Fields) -> tuple[Entry, ...]:
    """The entries of an allow, worked out once; one of many blocks is not remembered, as they take memory."""
    if isinstance(allow, Allow) and isinstance(allow.peers, Peers) and len(allow.peers.blocks) > _REMEMBERED_BLOCKS:
        return _entries_of(allow, fields)
    key = id(allow), id(fields)
    found = _remembered.get(key)
    if found is None:
        found = allow, _entries_of(allow, fields, prepares=True)
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        _remembered[key] = found
    return found[1]


def _rules(entries: Iterable[Entry]) -> Iterator[Rule]:
    return chain.from_iterable(entry.rules for entry in entries)


def _parts(
    entries: Sequence[Entry], by_ports: Mapping[AnyPort | Ports, Sequence[int]], classes: Iterable[PortClass]
) -> Iterator[_Part]:
    """By class of ports, then the rules that are about any; each packet meets its own rules in one of them."""
    always = by_ports.get(ANY_PORT, ())
    for each in classes:
        met = sorted(chain(always, *(by_ports[ports] for ports in each.lists)))
        yield from _of_families(each.ports, [entries[index] for index in met])
    yield from _of_families(ANY_PORT, [entries[index] for index in always])


def _of_families(ports: AnyPort | Ports, entries: Iterable[Entry]) -> Iterator[_Part]:
    for family in FAMILIES:
        met = [entry.without_ports for entry in entries if entry.match.family in {None, family}]
        if met:
            yield _Part(family=family, ports=ports, entries=tuple(_first_ones(met)))


def _first_ones(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Without those that are never reached, as all of their packets are let in before."""
    seen = set[str]()
    for entry in entries:
        if entry.match.peer.words not in seen:
            yield entry
        seen.add(entry.match.peer.words)
        if entry.match.family is None:
            return
