"""Entries: what the policies of one direction allow, kind of peer by kind of peer, in the order of their rules."""

from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise

from attrs import evolve, frozen

from mnp_core.model import ANY_PORT, Allow, AllowRule, AnyPort, Origin, Peers, PortRange, Ports
from mnp_core.netfilter.comments import encode
from mnp_nftables.matches import Fields, Match, allow_matches
from mnp_nftables.names import COMMENT_LIMIT
from mnp_nftables.rule import Rule
from mnp_nftables.terms import ACCEPT, COUNTER

_REMEMBERED, _REMEMBERED_BLOCKS = 500, 16
"""Allows of which rules are remembered, and the most blocks of one: a megabyte or two; a pod with more has others."""

_Order = tuple[str, str, str, int, str, tuple[PortRange, ...], bool]


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
        place = policy.kind, policy.name.namespace, policy.name.name, self.origin.rule
        return *place, self.match.peer.words, ranges, isinstance(ports, AnyPort)

    @cached_property
    def number(self) -> int:
        """A number that depends on the rule of the policy alone, as good as random."""
        return number_of(str(self.origin))


def number_of(text: str) -> int:
    """A number of 32 bits that depends on a text alone, the same in every process."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=4).digest(), "big")


def entries_of(allows: tuple[AllowRule, ...], fields: Fields) -> list[Entry]:
    """The entries of all allows, sorted, each once: equal policies in any order give equal rules (S11)."""
    entries = _remembered_entries if len(allows) <= _REMEMBERED else _entries
    found = sorted([entry for allow in allows for entry in entries(allow, fields)], key=_order)
    return found[:1] + [entry for before, entry in pairwise(found) if before.order != entry.order]


def _order(entry: Entry) -> _Order:
    return entry.order


def _entries(allow: AllowRule, fields: Fields, *, prepares: bool = False) -> tuple[Entry, ...]:
    return tuple(Entry(allow.origin, match, fields, prepares) for match in allow_matches(allow, fields))


_remembered: dict[tuple[int, int], tuple[AllowRule, tuple[Entry, ...]]] = {}
"""By an allow, which is the same object in all pods, and fields; two threads may write the same."""


def _remembered_entries(allow: AllowRule, fields: Fields) -> Iterable[Entry]:
    """The entries of an allow, worked out once; one of many blocks is not remembered, as they take memory."""
    if isinstance(allow, Allow) and isinstance(allow.peers, Peers) and len(allow.peers.blocks) > _REMEMBERED_BLOCKS:
        return _entries(allow, fields)
    key = id(allow), id(fields)
    found = _remembered.get(key)
    if found is None:
        found = allow, _entries(allow, fields, prepares=True)
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        _remembered[key] = found
    return found[1]
