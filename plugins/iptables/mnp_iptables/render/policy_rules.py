"""The rules of the policies of one direction, for one family: in a row, or in chains of their own if they are many.

A packet is asked for every rule in a row until one decides. So of many, only those stand in one chain that packets of
one class of ports can meet, in the order of the row: the rule that decides and counts is the same. Where such a chain
looks up many groups, some at a time stand in a chain behind one lookup, in their union, and many of these chains behind
a lookup in a larger union.

A packet that passes leaves our chains by RETURN, so all ways are gotos: a jump would lead back to rules after it. What
passes through a chain without a match goes to the end of the direction. Behind a union it may be that members come or
go while a packet is on its way: ipset has no transactions. What is in the union and in none of its groups is asked
again, for each rule of its class in a row, so that it meets the groups that it is still in.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from attrs import evolve, frozen

from mnp_core.model import ANY_PORT, AllowRule, AnyPort, Family, Origin, PortRange, Ports
from mnp_core.netfilter.comments import encode
from mnp_core.netfilter.port_classes import PortClass, port_classes
from mnp_core.netfilter.unions import Union
from mnp_iptables.names import COMMENT_LIMIT
from mnp_iptables.render.matches import Fields, Peer, allow_matches, port_matches, set_match
from mnp_iptables.sets.set_types import union_set

_IN_A_ROW = 16
"""Up to this number, rules in a row cost a packet as much as the ways into chains do, and less to write."""

_COPIES = 2
"""A rule is written up to so many times, on average; where it would be more, all stay in a row."""

LOOKUPS, _FAN_OUT = 10, 5
"""Beyond the first number of groups in one chain they stand behind lookups in unions, up to the second number at a
time, and so do these unions."""

_MOST_RANGES = 200
"""Ranges of ports in all lists together, for the time that it takes to find their classes."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOST_CHAINS = len(_DIGITS) ** 2 - 1
"""What two digits can number: a name of a chain has no room for more."""

NameOf = Callable[[str], str]
"""The name of a chain by its part."""


@frozen(kw_only=True)
class Chain:
    """A chain: its name and its rules, without ``-A NAME``."""

    name: str
    rules: tuple[str, ...]


@frozen(kw_only=True)
class Entry:
    """One kind of peer that one rule of a policy allows, with its ports."""

    origin: Origin
    peer: Peer
    ports: AnyPort | Ports

    def rules(self, fields: Fields) -> Iterator[str]:
        """Its rules."""
        for port in port_matches(self.ports, fields):
            yield counted(f"{port} {self.peer.match}".strip(), str(self.origin))

    @property
    def order(self) -> tuple[Origin, Peer, tuple[PortRange, ...]]:
        """Equal policies in any order give equal rules (S11)."""
        return self.origin, self.peer, self.ports.ranges if isinstance(self.ports, Ports) else ()


@frozen(kw_only=True)
class PolicyRules:
    """The rules for the chain of a direction, the chains that they lead to, and the unions that these look up.

    With chains, whatever the rules do not decide goes to the chain ``D``.
    """

    rules: tuple[str, ...]
    chains: tuple[Chain, ...] = ()
    unions: tuple[Union, ...] = ()


def counted(match: str, label: str, *, target: str = "RETURN") -> str:
    """A rule with a label, under which it is counted."""
    return f'{match} -m comment --comment "{encode(label, COMMENT_LIMIT)}" -j {target}'.lstrip()


def in_a_row(allows: Iterable[AllowRule], family: Family, fields: Fields) -> tuple[str, ...]:
    """All rules, sorted."""
    return tuple(chain.from_iterable(entry.rules(fields) for entry in _entries(allows, family, fields)))


def in_chains(allows: Iterable[AllowRule], family: Family, fields: Fields, name_of: NameOf) -> PolicyRules:
    """The rules, in chains if they are many."""
    entries = _entries(allows, family, fields)
    row = tuple(chain.from_iterable(entry.rules(fields) for entry in entries))
    by_ports = _by_ports(entries)
    classes = _classes(by_ports, _COPIES * len(row)) if len(row) > _IN_A_ROW else None
    if classes is None:
        return PolicyRules(rules=row)
    written = _Writer(family, fields, name_of)
    rules = tuple(rule for part in _parts(entries, by_ports, classes) for rule in written.part(*part))
    if not 0 < len(written.chains) <= _MOST_CHAINS:
        return PolicyRules(rules=row)
    return PolicyRules(rules=rules, chains=tuple(written.chains), unions=tuple(written.unions))


def _entries(allows: Iterable[AllowRule], family: Family, fields: Fields) -> list[Entry]:
    """The entries of all allows, sorted, each once."""
    found = {
        Entry(origin=allow.origin, peer=peer, ports=ports)
        for allow in allows
        for ports, peer in allow_matches(allow, family, fields)
    }
    return sorted(found, key=lambda entry: (entry.order, isinstance(entry.ports, AnyPort)))


def _by_ports(entries: Iterable[Entry]) -> dict[AnyPort | Ports, list[int]]:
    """Where the entries of each list of ports stand."""
    found = defaultdict[AnyPort | Ports, list[int]](list)
    for index, entry in enumerate(entries):
        found[entry.ports].append(index)
    return found


def _classes(by_ports: Mapping[AnyPort | Ports, Sequence[int]], most: int) -> tuple[PortClass, ...] | None:
    """The classes of ports; None where their rules would be more than `most`, or the classes themselves too many."""
    lists = [each for each in by_ports if isinstance(each, Ports)]
    if sum(len(each.ranges) for each in lists) > _MOST_RANGES:
        return None
    classes, always = port_classes(lists), len(by_ports.get(ANY_PORT, ()))
    copies = sum(always + sum(len(by_ports[each]) for each in ports.lists) for ports in classes) + always
    return classes if copies <= most else None


def _parts(
    entries: Sequence[Entry], by_ports: Mapping[AnyPort | Ports, Sequence[int]], classes: Iterable[PortClass]
) -> Iterator[tuple[AnyPort | Ports, tuple[Entry, ...]]]:
    """By class of ports, then the rules that are about any; each packet meets its own rules in one of them."""
    always = by_ports.get(ANY_PORT, ())
    for each in classes:
        met = sorted(chain(always, *(by_ports[ports] for ports in each.lists)))
        yield each.ports, _first_ones(entries[index] for index in met)
    yield ANY_PORT, _first_ones(entries[index] for index in always)


def _first_ones(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Without ports, which the way in compares, and without those whose packets are all let in before."""
    found = dict[Peer, Entry]()
    for entry in entries:
        found.setdefault(entry.peer, evolve(entry, ports=ANY_PORT))
        if not entry.peer.match:
            break
    return tuple(found.values())


class _Writer:
    """Writes chains, and counts them."""

    def __init__(self, family: Family, fields: Fields, name_of: NameOf) -> None:
        self.chains: list[Chain] = []
        self.unions: dict[Union, None] = {}
        self._family, self._fields, self._name_of = family, fields, name_of
        self._end = f"-g {name_of('D')}"

    def part(self, ports: AnyPort | Ports, entries: Sequence[Entry]) -> Iterator[str]:
        """Write the chains of a class of ports; the ways into it. The rules about any port need none."""
        rules = (*self._looked_up(entries), self._end)
        if isinstance(ports, AnyPort):
            yield from rules
            return
        way = self._chain(rules)
        yield from (f"{match} {way}" for match in port_matches(ports, self._fields))

    def _looked_up(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """The rules in a row, or ways into chains with some of them each."""
        row = self._row(entries)
        if _lookups(entries) <= LOOKUPS:
            return row
        again = self._chain((*row, self._end))
        return tuple(way for some in _split(entries) for way in self._ways(some, again))

    def _ways(self, entries: Sequence[Entry], again: str) -> Iterator[str]:
        """Any packet that a rule of these matches takes a way that leads to them."""
        goto = self._chain((*self._behind_union(entries, again), again))
        union = Union(family=self._family, groups=tuple(sorted({each.peer.group for each in entries} - {""})))
        if union.groups:
            self.unions[union] = None
            yield f"{set_match(union_set(union), self._fields)} {goto}"
        yield from (f"{entry.peer.match} {goto}".lstrip() for entry in entries if not entry.peer.group)

    def _behind_union(self, entries: Sequence[Entry], again: str) -> Iterator[str]:
        """What is in the union is in the last part if it is in none before: that needs no way."""
        if _lookups(entries) <= _FAN_OUT:
            yield from self._row(entries)
            return
        *some, last = _split(entries)
        for each in some:
            yield from self._ways(each, again)
        yield from self._behind_union(last, again)

    def _row(self, entries: Iterable[Entry]) -> tuple[str, ...]:
        return tuple(chain.from_iterable(entry.rules(self._fields) for entry in entries))

    def _chain(self, rules: tuple[str, ...]) -> str:
        """Write a chain; the way there."""
        name = self._name_of(_number(len(self.chains) + 1))
        self.chains.append(Chain(name=name, rules=rules))
        return f"-g {name}"


def _lookups(entries: Iterable[Entry]) -> int:
    return sum(bool(entry.peer.group) for entry in entries)


def _split(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Into `_FAN_OUT` parts at most, in order, each with as many lookups as some levels of full parts have."""
    size, lookups, start = _FAN_OUT, 0, 0
    while size * _FAN_OUT < _lookups(entries):
        size *= _FAN_OUT
    parts = list[Sequence[Entry]]()
    for index, entry in enumerate(entries):
        lookups += bool(entry.peer.group)
        if lookups > size:
            parts.append(entries[start:index])
            start, lookups = index, 1
    return [*parts, entries[start:]]


def _number(value: int) -> str:
    high, low = divmod(value, len(_DIGITS))
    return (_number(high) if high else "") + _DIGITS[low]
