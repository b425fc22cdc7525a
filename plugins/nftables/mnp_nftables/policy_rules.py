"""The rules of the policies of one direction: in a row, or in chains of their own where a packet meets fewer then.

A packet is asked for every rule in a row until one decides. So of more than a few, only those stand in one chain that
packets of one family and of one class of ports can meet, in the order of the row: the rule that decides and counts is
the same. Chains are entered by rules that compare, not by a verdict map: its elements would go with the old generation
of rules (`mnp_nftables.renderer`).

A chain is filled as a whole, as its rules have no names, so long ones are cut into segments, each in a chain of its
own. A cut is where the hash of a policy's rule says so, whatever stands around it: one policy more, or less, is one
segment that changes (the cuts of content-defined chunking), and the names of chains depend on no other chain. If a
chain looks up very many groups, its segments stand behind lookups in the unions of their groups.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

from attrs import field, frozen

from mnp_core.model import ANY_PORT, AllowRule, AnyPort, Family, Ports
from mnp_core.netfilter.port_classes import PortClass, port_classes
from mnp_core.netfilter.unions import Union
from mnp_nftables import terms
from mnp_nftables.entries import Entry, entries_of, number_of
from mnp_nftables.matches import Fields, port_matches
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import FAMILIES
from mnp_nftables.terms import NOTHING
from mnp_nftables.unions import union_name

_IN_A_ROW = 16
"""More rules stand in chains in any case."""

_COPIES = 2
"""A rule is written up to so many times, on average; where it would be more, all stay in a row."""

LOOKUPS = 24
"""Beyond this number of groups in one chain, its segments stand behind lookups."""

_UNCUT = 4
"""Up to this number, rules stay together: a segment is as long."""

_POLICIES_A_SEGMENT, _POLICIES_BEHIND_ONE = 4, 8
"""The average, by the chance of a cut; behind a lookup more, so that a packet takes few of them."""

_LOOKUPS_BEHIND_ONE = 16
"""The most."""

_MOST_RANGES = 200
"""Ranges of ports in all lists together, for the time that it takes to find their classes."""

_REMEMBERED_RANGES = 32
"""Of lists of which the classes are remembered."""

_NUMBERS = 999_999

NameOf = Callable[[int], str]
"""The name of a chain by its number, from 1 on."""


@frozen(kw_only=True)
class PolicyRules:
    """The rules for the chain of a direction, the chains that they lead to, and the unions that these look up."""

    rules: tuple[Rule, ...]
    chains: tuple[Chain, ...] = ()
    unions: tuple[Union, ...] = ()


def in_a_row(allows: Iterable[AllowRule], fields: Fields) -> tuple[Rule, ...]:
    """All rules, sorted."""
    return tuple(_rules(entries_of(tuple(allows), fields)))


def in_chains(allows: Iterable[AllowRule], fields: Fields, name_of: NameOf) -> PolicyRules:
    """The rules, in chains if a packet meets fewer of them there."""
    entries = entries_of(tuple(allows), fields)
    by_ports = _by_ports(entries)
    row = sum(_width(ports, fields) * len(found) for ports, found in by_ports.items())
    classes = _classes(by_ports, _COPIES * row)
    parts = list(_parts(entries, by_ports, classes)) if classes is not None else []
    if not parts or row <= min(_IN_A_ROW, _met(parts, fields) - 1):
        return PolicyRules(rules=tuple(_rules(entries)))
    written = _Writer(fields, name_of)
    ways = [way for part in parts for way in written.part(part)]
    return PolicyRules(rules=tuple(ways), chains=tuple(written.chains), unions=tuple(written.unions))


def _by_ports(entries: Iterable[Entry]) -> dict[AnyPort | Ports, list[int]]:
    """Where the entries of each list of ports stand."""
    found = defaultdict[AnyPort | Ports, list[int]](list)
    for index, entry in enumerate(entries):
        found[entry.match.ports].append(index)
    return found


@lru_cache
def _width(ports: AnyPort | Ports, fields: Fields) -> int:
    """The number of rules for one peer."""
    return sum(1 for _ in port_matches(ports, fields))


def _classes(by_ports: Mapping[AnyPort | Ports, Sequence[int]], most: int) -> tuple[PortClass, ...] | None:
    """The classes of ports; None where their rules would be more than `most`, or the classes themselves too many."""
    lists = frozenset(each for each in by_ports if isinstance(each, Ports))
    ranges = sum(len(each.ranges) for each in lists)
    if ranges > _MOST_RANGES:
        return None
    classes = _remembered_classes(lists) if ranges <= _REMEMBERED_RANGES else port_classes(lists)
    always = len(by_ports.get(ANY_PORT, ()))
    copies = sum(always + sum(len(by_ports[each]) for each in ports.lists) for ports in classes) + always
    return classes if copies <= most else None


_remembered_classes = lru_cache(maxsize=32)(port_classes)


@frozen(kw_only=True)
class _Part:
    """The rules for packets of one family and one class of ports, without what the way in has compared.

    Attributes:
        family: Of the packets.
        ports: Of the packets.
        entries: The rules.
        looks_up_many: Whether its segments stand behind lookups.
    """

    family: Family
    ports: AnyPort | Ports
    entries: Sequence[Entry]
    looks_up_many: bool = field(init=False)

    @looks_up_many.default
    def _looks_up_many(self) -> bool:
        return len(self.entries) > LOOKUPS and sum(bool(entry.match.group) for entry in self.entries) > LOOKUPS

    def segments(self) -> Iterator[tuple[Entry, ...]]:
        """All entries, cut where the number of a policy's rule says so; a batch of lookups is not too large, either."""
        if len(self.entries) <= _UNCUT:
            yield tuple(self.entries)
            return
        policies = _POLICIES_BEHIND_ONE if self.looks_up_many else _POLICIES_A_SEGMENT
        segment, lookups = list[Entry](), 0
        for entry in self.entries:
            begins = bool(segment) and entry.number != segment[-1].number and not entry.number % policies
            if begins or (self.looks_up_many and lookups == _LOOKUPS_BEHIND_ONE):
                yield tuple(segment)
                segment, lookups = [], 0
            segment.append(entry)
            lookups += bool(entry.match.group)
        yield tuple(segment)


@frozen
class _Writer:
    """Writes chains."""

    fields: Fields
    name_of: NameOf
    chains: list[Chain] = field(factory=list)
    unions: dict[Union, None] = field(factory=dict)
    _numbers: set[int] = field(factory=set)

    def part(self, part: _Part) -> Iterator[Rule]:
        """Write the chains of a part; the ways into it."""
        number = _number(part.family, part.ports)
        name = self._name(number)
        first, *others = part.segments()
        if part.looks_up_many:
            ways = (way for each in (first, *others) for way in self._guarded(part.family, number, each))
            rules = tuple(ways)
        else:
            rules = (*_rules(first), *(_jump(self._segment(number, each)) for each in others))
        self.chains.append(Chain(name=name, rules=rules))
        yield from _ways(part.ports, self.fields, part.family, name)

    def _guarded(self, family: Family, number: int, segment: Sequence[Entry]) -> Iterator[Rule]:
        """Write a segment; the ways into it: any packet that a rule in it matches takes one."""
        name = self._segment(number, segment)
        union = Union(family=family, groups=tuple(sorted({entry.match.group for entry in segment} - {""})))
        guards = [entry.match.peer for entry in segment if not entry.match.group]
        if union.groups:
            self.unions[union] = None
            guards.insert(0, self.fields.address(family, terms.named_set(str(union_name(union)))))
        for guard in guards:
            yield Rule.of(guard + terms.jump(name))

    def _segment(self, number: int, segment: Sequence[Entry]) -> str:
        name = self._name(number + segment[0].number)
        self.chains.append(Chain(name=name, rules=tuple(_rules(segment))))
        return name

    def _name(self, number: int) -> str:
        """The name by a number that depends on the content alone; another one is rarely in its way."""
        while (number := number % _NUMBERS + 1) in self._numbers:
            pass
        self._numbers.add(number)
        return self.name_of(number)


@lru_cache
def _number(family: Family, ports: AnyPort | Ports) -> int:
    ranges = ports.ranges if isinstance(ports, Ports) else ()
    return number_of(" ".join([str(family), *map(str, ranges)]))


@lru_cache
def _ways(ports: AnyPort | Ports, fields: Fields, family: Family, chain: str) -> tuple[Rule, ...]:
    """The rules that lead into a chain; equal in many sandboxes."""
    matches = (port + terms.family(family) + terms.jump(chain) for port in port_matches(ports, fields))
    return tuple(Rule.of(match).prepare() for match in matches)


@lru_cache
def _jump(chain: str) -> Rule:
    return Rule.of(NOTHING + terms.jump(chain)).prepare()


def _rules(entries: Iterable[Entry]) -> Iterator[Rule]:
    return chain.from_iterable(entry.rules for entry in entries)


def _met(parts: Sequence[_Part], fields: Fields) -> int:
    """The most rules that a packet meets: all ways, the way back among them, and the rules of the longest part."""
    return sum(_width(part.ports, fields) for part in parts) + max(len(part.entries) for part in parts) + 1


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
