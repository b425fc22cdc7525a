"""Tables of the legacy kernel interface as bytes: taken apart into chains, and put together again.

A table is one piece of memory in which entries follow each other and jumps are offsets (<linux/netfilter/x_tables.h>,
<linux/netfilter_ipv4/ip_tables.h>, ip6_tables.h). The rules of others are kept as the bytes that they are; only offsets
are written anew. Nothing here touches the kernel.
"""

import struct
from collections.abc import Iterator, Mapping

from attrs import define, evolve, field, frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family

HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
ACCEPT, DROP, RETURN = -2, -1, -5
"""Verdicts: NF_ACCEPT and NF_DROP as -n-1, and XT_RETURN."""

_TARGET = struct.Struct("=H29sB")  # struct xt_entry_target, before its data
_VERDICT = struct.Struct("=i4x")
_ERROR_NAME = struct.Struct("=30s2x")
_OFFSETS = struct.Struct("=HH")  # target_offset, next_offset; then comefrom, then the counters
_COUNTERS = struct.Struct("=QQ")
_STANDARD, _ERROR = b"", b"ERROR"
ALIGNMENT = 8  # XT_ALIGN on 64-bit machines


@frozen(kw_only=True)
class Layout:
    """Where things are in an entry of one family: struct ipt_entry and struct ip6t_entry.

    Attributes:
        size: Of an entry before its matches.
        offsets: Where the offsets of target and next entry are.
        counters: Where the counters are, in bytes.
    """

    family: Family
    size: int
    offsets: int
    counters: int


LAYOUTS: Mapping[Family, Layout] = {
    4: Layout(family=4, size=112, offsets=88, counters=96),
    6: Layout(family=6, size=168, offsets=140, counters=152),
}


@frozen(kw_only=True)
class Entry:
    """A rule.

    Attributes:
        head: The entry's own fields (addresses, interfaces, protocol), without offsets and counters.
        matches: Its matches, as they are.
        target: Its target, as it is; empty if `jump` or `verdict` say it.
        jump: The chain that it jumps or goes to.
        verdict: A standard verdict; None for the next rule.
        place: Where it was in the table that was read, -1 for a new one; there its counters are.
    """

    head: bytes
    matches: bytes = b""
    target: bytes = b""
    jump: str = ""
    verdict: int | None = None
    place: int = -1


@define
class Chain:
    """A chain; `policy` is what a built-in one ends with."""

    rules: list[Entry] = field(factory=list)
    policy: Entry | None = None


@frozen(kw_only=True)
class Hooks:
    """For each hook that a table has, by its number: offsets of its first entry and of its policy."""

    entries: Mapping[int, int]
    underflows: Mapping[int, int]

    @property
    def valid(self) -> int:
        """As a bit mask."""
        return sum(1 << hook for hook in self.entries)


@frozen(kw_only=True)
class Table:
    """All chains of a table by name, built-in ones first in the order of their hooks, then the others as they come."""

    layout: Layout
    chains: dict[str, Chain]


@frozen(kw_only=True)
class Blob:
    """A table as the kernel takes it. `places` are those of its entries."""

    hooks: Hooks
    data: bytes
    places: tuple[int, ...]


def target_bytes(name: bytes, data: bytes, *, revision: int = 0) -> bytes:
    """A target with its data, padded."""
    padded = data + bytes(-len(data) % ALIGNMENT)
    return _TARGET.pack(_TARGET.size + len(padded), name, revision) + padded


# --- reading ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Raw:
    offset: int
    entry: Entry
    name: bytes  # of the target

    @property
    def chain_name(self) -> str:
        """Of the chain that begins here."""
        size = _TARGET.size
        return self.entry.target[size : size + _ERROR_NAME.size].partition(b"\0")[0].decode(errors="backslashreplace")


def decode(layout: Layout, hooks: Hooks, data: bytes) -> Table:
    """Take a table apart.

    Raises:
        ApplyError: No program of iptables has made it.
    """
    chains: dict[str, Chain] = {}
    starts: dict[int, str] = {}
    policies = set(hooks.underflows.values())
    built_in = {offset: HOOKS[hook] for hook, offset in hooks.entries.items()}
    current = ""
    entries = list(_entries(layout, data))
    for raw in entries[:-1]:  # the last one only says where the table ends
        if raw.name == _ERROR:
            current = raw.chain_name
            starts[raw.offset + _size(layout, raw.entry)] = current
            chains[current] = Chain()
            continue
        if raw.offset in built_in:
            current = built_in[raw.offset]
            chains[current] = Chain()
        if raw.offset in policies:
            chains[current].policy = raw.entry
        else:
            chains[current].rules.append(raw.entry)
    for chain in chains.values():
        if chain.policy is None:
            chain.rules.pop()  # each ends with a RETURN that nobody wrote
        chain.rules = [_named(entry, starts) for entry in chain.rules]
    return Table(layout=layout, chains=chains)


def _entries(layout: Layout, data: bytes) -> Iterator[_Raw]:
    offset = place = 0
    while offset < len(data):
        target, size = _OFFSETS.unpack_from(data, offset + layout.offsets)
        if size < layout.size:
            raise ValueError(f"an entry of {size} bytes")
        raw = data[offset : offset + size]
        _, name, _ = _TARGET.unpack_from(raw, target)
        entry = Entry(head=raw[: layout.offsets], matches=raw[layout.size : target], target=raw[target:], place=place)
        name = name.partition(b"\0")[0]
        if name == _STANDARD:
            (verdict,) = _VERDICT.unpack_from(raw, target + _TARGET.size)
            entry = evolve(entry, target=b"", verdict=None if verdict == offset + size else verdict)
        yield _Raw(offset=offset, entry=entry, name=name)
        offset, place = offset + size, place + 1


def _named(entry: Entry, starts: Mapping[int, str]) -> Entry:
    """Jumps by name, not by offset."""
    if entry.verdict is None or entry.verdict < 0:
        return entry
    if entry.verdict not in starts:
        raise ApplyError("the kernel has a legacy table with a jump into the middle of a chain: iptables makes none")
    return evolve(entry, verdict=None, jump=starts[entry.verdict])


# --- writing ------------------------------------------------------------------------------------------------------


def encode(table: Table) -> Blob:
    """Put a table together."""
    layout = table.layout
    entries: list[Entry] = []
    starts: dict[str, int] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    offset = 0
    for name, chain in table.chains.items():
        header = [] if chain.policy else [_header(layout, name)]
        content = [*header, *chain.rules, chain.policy or Entry(head=bytes(layout.offsets), verdict=RETURN)]
        sizes = [_size(layout, entry) for entry in content]
        starts[name] = offset + sum(sizes[: len(header)])
        if chain.policy:
            first[HOOKS.index(name)], last[HOOKS.index(name)] = offset, offset + sum(sizes[:-1])
        entries += content
        offset += sum(sizes)
    entries.append(_header(layout, "ERROR"))
    return Blob(
        hooks=Hooks(entries=first, underflows=last),
        data=b"".join(_bytes(layout, entries, starts)),
        places=tuple(entry.place for entry in entries),
    )


def _header(layout: Layout, name: str) -> Entry:
    target = target_bytes(_ERROR, _ERROR_NAME.pack(name.encode()))
    return Entry(head=bytes(layout.offsets), target=target)


def _size(layout: Layout, entry: Entry) -> int:
    return layout.size + len(entry.matches) + (len(entry.target) or _TARGET.size + _VERDICT.size)


def _bytes(layout: Layout, entries: list[Entry], starts: Mapping[str, int]) -> Iterator[bytes]:
    offset = 0
    for entry in entries:
        size = _size(layout, entry)
        offset += size
        target = entry.target
        if not target:
            verdict = starts[entry.jump] if entry.jump else offset if entry.verdict is None else entry.verdict
            target = target_bytes(_STANDARD, _VERDICT.pack(verdict))
        offsets = _OFFSETS.pack(layout.size + len(entry.matches), size)
        unset = bytes(layout.size - layout.offsets - _OFFSETS.size)  # comefrom and counters
        yield entry.head + offsets + unset + entry.matches + target
