"""The table of a pod's rules, as programs read it: compiled from a policy, packed, and read back."""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, zip_longest
from typing import Any, Final

from attrs import evolve, field, frozen

from mnp_core.model import Direction, EarlyDrop, LinkPath

ENTRY_SIZE: Final = 48
BLOCK_SIZE: Final = 24
ESTABLISHED, DENIED, WOULD_DENY = "established", "denied", "would-deny"

_ETHERNET, _RECHECK = 1, 2  # flags of an interface
_BY_SOURCES, _OWNER = 4, 256  # likewise, for the reader alone: whether it has sources; whose source it is, from 1 on
_HEAD = struct.Struct("=III20x16x")  # struct head: interfaces, entry and length of the names
_INTERFACE = struct.Struct("=IIIIIIII16x")  # struct interface: index, flags, mode, first and number for both sides
_RULE = struct.Struct("=BBBBHHI20x16x")
_COUNTERS = struct.Struct("=32xQQ")
_LONGEST_NAMES: Final = 64 << 20  # bytes, more than any pod's rules have


class Mode(IntEnum):
    """What becomes of packets that nothing allows."""

    OPEN = 0
    ISOLATED = 1
    AUDITED = 2


class Peers(IntEnum):
    """Which peers a rule is about."""

    ANY = 0
    BLOCKS = 1
    GROUP = 2
    ENDPOINTS = 3


@frozen(kw_only=True)
class Rule:
    """Packets that pass, and the name that they are counted under.

    Attributes:
        label: The text of an `mnp_core.model.Origin`, or of a setting.
        peers: Which.
        number: Of the blocks, or of the group.
        protocol: IANA's number; 0: any.
        family: 4 or 6; 0: both.
        first: Port, or type of ICMP; with 0 to 65535 all, and packets without ports.
        last: Likewise.
        hops: The hop limit that the packet must have; 0: any.
    """

    label: str
    peers: Peers = Peers.ANY
    number: int = 0
    protocol: int = 0
    family: int = 0
    first: int = 0
    last: int = 65535
    hops: int = 0

    def packed(self) -> bytes:
        """The entry."""
        return _RULE.pack(self.peers, self.protocol, self.family, self.hops, self.first, self.last, self.number)


@frozen(kw_only=True)
class Side:
    """One direction of an interface."""

    mode: Mode = Mode.OPEN
    rules: tuple[Rule, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all entries: of established connections, of the rest, of the rules."""
        if self.mode is Mode.OPEN:
            return ()
        return ESTABLISHED, DENIED if self.mode is Mode.ISOLATED else WOULD_DENY, *(rule.label for rule in self.rules)

    def packed(self) -> Iterator[bytes]:
        """The entries."""
        if self.mode is not Mode.OPEN:
            yield from (bytes(ENTRY_SIZE), bytes(ENTRY_SIZE))
            yield from (rule.packed() for rule in self.rules)


@frozen(kw_only=True)
class Place:
    """Where an interface is found.

    Attributes:
        index: 0 if it is not there.
        ethernet: Whether its frames begin as Ethernet's.
        sources: The interfaces that traffic control redirects to it, where what it sends is judged when they receive
            it; None: where it sends it.
    """

    index: int = 0
    ethernet: bool = True
    sources: "tuple[Place, ...] | None" = None


@frozen(kw_only=True)
class Interface:
    """Both directions of one interface.

    Attributes:
        name: As network-status has it.
        ingress: What it receives.
        egress: What it sends.
        carrier: Name of the link that its packets pass, if that is another one.
        path: Of its packets.
        place: Where the link is.
    """

    name: str
    ingress: Side
    egress: Side
    carrier: str = ""
    path: LinkPath = LinkPath.IP
    place: Place = Place()

    @property
    def link(self) -> str:
        """The name of the link that its packets pass."""
        return self.carrier or self.name

    @property
    def sides(self) -> Mapping[Direction, Side]:
        """By direction."""
        return {Direction.INGRESS: self.ingress, Direction.EGRESS: self.egress}


@frozen(kw_only=True)
class Table:
    """The rules of one pod.

    Attributes:
        interfaces: In the order of names.
        sets: The names of the sets that rules with groups and endpoints number.
        blocks: Keys of the tries: length in bits, twice the number and 1 for IPv6, address.
        recheck: Whether packets of connections are judged like first ones.
        early_drop: Whether and where denied packets are dropped before all this.
        others: Interfaces that no rule is about: open, but their connections count, as replies may take another way.
    """

    interfaces: tuple[Interface, ...]
    sets: tuple[str, ...]
    blocks: frozenset[bytes] = field(default=frozenset(), repr=False)
    recheck: bool = False
    early_drop: EarlyDrop = EarlyDrop.OFF
    others: tuple[Place, ...] = ()

    def at(self, places: Mapping[str, Place]) -> "Table":
        """The same for a sandbox with these interfaces."""
        interfaces = tuple(evolve(each, place=places.get(each.link, Place())) for each in self.interfaces)
        known = {place.index for each in interfaces for place in (each.place, *(each.place.sources or ()))}
        others = (place for _, place in sorted(places.items()) if place.index not in known)
        return evolve(self, interfaces=interfaces, others=tuple(others))

    def early_at(self, index: int) -> EarlyDrop:
        """Where denied packets of an interface are dropped early: nowhere if none are denied."""
        isolated = {each.place.index for each in self.interfaces if each.ingress.mode is Mode.ISOLATED}
        return self.early_drop if index in isolated else EarlyDrop.OFF

    @property
    def uses_blocks(self) -> bool:
        """Whether any rule does."""
        sides = (side for interface in self.interfaces for side in interface.sides.values())
        return any(rule.peers is Peers.BLOCKS for side in sides for rule in side.rules)

    @property
    def digest(self) -> str:
        """Of the rules and their names, wherever the interfaces are."""
        entries = b"".join(self.at({}).entries())
        parts = (entries, json.dumps(self._names()).encode(), *sorted(self.blocks))
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]

    def packed(self) -> list[bytes]:
        """The entries, with those of the names behind them."""
        entries = list(self.entries())
        names = zlib.compress(json.dumps(self._names()).encode())
        entries[0] = _HEAD.pack(self._first - 1, len(entries), len(names))
        padded = names.ljust(-(-len(names) // ENTRY_SIZE) * ENTRY_SIZE, b"\0")
        return entries + [padded[start : start + ENTRY_SIZE] for start in range(0, len(padded), ENTRY_SIZE)]

    def _flags(self, place: Place, owner: int = 0) -> int:
        judged_elsewhere = (place.sources is not None) * _BY_SOURCES
        return place.ethernet * _ETHERNET | self.recheck * _RECHECK | judged_elsewhere | owner * _OWNER

    @property
    def _first(self) -> int:
        """The first entry behind the interfaces."""
        sources = sum(len(each.place.sources or ()) for each in self.interfaces)
        return 1 + len(self.interfaces) + len(self.others) + sources

    def entries(self) -> Iterator[bytes]:
        """The entries without the names: the head, interfaces, rules."""
        yield _HEAD.pack(self._first - 1, 0, 0)
        start = self._first
        sources = []
        for number, interface in enumerate(self.interfaces, start=1):
            sides = []
            for side in interface.sides.values():
                sides += [side.mode, start, len(side.labels)]
                start += len(side.labels)
            yield _INTERFACE.pack(interface.place.index, self._flags(interface.place), *sides)
            owned = interface.place.sources or ()
            sources += [_INTERFACE.pack(place.index, self._flags(place, number), *sides) for place in owned]
        for place in self.others:
            yield _INTERFACE.pack(place.index, self._flags(place), *[0] * 6)
        yield from sources
        for interface in self.interfaces:
            yield from chain.from_iterable(side.packed() for side in interface.sides.values())

    def _names(self) -> dict[str, object]:
        labels = [label for interface in self.interfaces for side in interface.sides.values() for label in side.labels]
        interfaces = [[each.name, each.carrier, each.path] for each in self.interfaces]
        return {"interfaces": interfaces, "sets": self.sets, "labels": labels, "early-drop": self.early_drop}


@frozen(kw_only=True)
class FoundTable:
    """A table that is in the kernel, with its counters: packets and bytes of the entries behind the interfaces."""

    table: Table
    counters: Sequence[tuple[int, int]]

    def having(self, blocks: frozenset[bytes]) -> "FoundTable":
        """The same with its blocks."""
        return evolve(self, table=evolve(self.table, blocks=blocks))

    def counted(self) -> Iterator[tuple[str, Direction, str, int, int]]:
        """Interface, direction, label, packets and bytes of each entry that counts."""
        counters = iter(self.counters)
        for interface in self.table.interfaces:
            for direction, side in interface.sides.items():
                for label in side.labels:
                    yield interface.name, direction, label, *next(counters)


def read_table(entries: Sequence[bytes]) -> FoundTable:
    """Understand what `Table.packed` wrote, blocks aside.

    Raises:
        ValueError: This plugin, or this version of it, did not write it.
    """
    try:
        return _read_table(entries)
    except (IndexError, KeyError, TypeError, StopIteration, RuntimeError, struct.error, zlib.error) as error:
        raise ValueError(f"a table of another form: {error}") from error


def _read_table(entries: Sequence[bytes]) -> FoundTable:
    number, names_at, length = _HEAD.unpack(entries[0])
    unpacker = zlib.decompressobj()
    names: dict[str, Any] = json.loads(unpacker.decompress(b"".join(entries[names_at:])[:length], _LONGEST_NAMES))
    labels = iter(names["labels"])
    interfaces: list[Interface] = []
    others, recheck = [], False
    for named, entry in zip_longest(names["interfaces"], entries[1 : 1 + number]):
        index, flags, *sides = _INTERFACE.unpack(entry)
        place = Place(index=index, ethernet=bool(flags & _ETHERNET), sources=() if flags & _BY_SOURCES else None)
        recheck = bool(flags & _RECHECK)
        if named is None and (owner := flags // _OWNER):
            interfaces[owner - 1] = _with_source(interfaces[owner - 1], place)
            continue
        if named is None:
            others.append(place)
            continue
        name, carrier, path = named
        ingress, egress = (_read_side(entries, labels, *sides[start : start + 3]) for start in (0, 3))
        interfaces.append(
            Interface(name=name, carrier=carrier, path=LinkPath(path), ingress=ingress, egress=egress, place=place)
        )
    early_drop = EarlyDrop(names["early-drop"])
    table = Table(
        interfaces=tuple(interfaces),
        sets=tuple(names["sets"]),
        recheck=recheck,
        early_drop=early_drop,
        others=tuple(others),
    )
    return FoundTable(table=table, counters=[_COUNTERS.unpack(entry) for entry in entries[1 + number : names_at]])


def _with_source(interface: Interface, source: Place) -> Interface:
    place = interface.place
    return evolve(interface, place=evolve(place, sources=(*(place.sources or ()), source)))


def _read_side(entries: Sequence[bytes], labels: Iterator[str], mode: int, first: int, number: int) -> Side:
    named = [next(labels) for _ in range(number)]
    rules = []
    for label, entry in zip(named[2:], entries[first + 2 : first + number], strict=True):
        peers, protocol, family, hops, low, high, which = _RULE.unpack(entry)
        rules.append(
            Rule(
                label=label,
                peers=Peers(peers),
                number=which,
                protocol=protocol,
                family=family,
                first=low,
                last=high,
                hops=hops,
            )
        )
    return Side(mode=Mode(mode), rules=tuple(rules))
