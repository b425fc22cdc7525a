"""Tables of the legacy kernel interface as bytes: taken apart into chains, and put together again.

A table is one piece of memory in which entries follow each other and jumps are offsets (<linux/netfilter/x_tables.h>,
<linux/netfilter_ipv4/ip_tables.h>, ip6_tables.h). Foreign rules stay as they are, but for the offsets of their jumps.
Nothing here touches the kernel.
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import accumulate

from attrs import define, field, frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family
from mnp_core.netfilter.attributes import text

HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
ACCEPT, DROP, RETURN = -2, -1, -5
"""Verdicts: NF_ACCEPT and NF_DROP as -n-1, and XT_RETURN."""

_EXTENSION = struct.Struct("=H29sB")  # struct xt_entry_match and xt_entry_target: size, name, revision
_VERDICT = struct.Struct("=i4x")
_ERROR_NAME = struct.Struct("=30s2x")
_OFFSETS = struct.Struct("=HH")  # target_offset, next_offset; comefrom and the counters follow
_STANDARD, _ERROR = "", "ERROR"
_NEXT = 2**31 - 1
"""Verdict of a rule without a target, in place of the offset of the next rule: larger than any table."""


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
        data: Its bytes, without counters and without the offset of a jump.
        jump: The chain that it jumps or goes to.
        place: Its number in the table that was read, for its counters; -1 for a new one.
    """

    data: bytes
    jump: str = ""
    place: int = -1


@define
class Chain:
    """A chain; `policy` is the last entry of a built-in one."""

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


def standard(layout: Layout, verdict: int = _NEXT) -> bytes:
    """The data of an entry for every packet, with a standard verdict."""
    return _plain(layout, _STANDARD, _VERDICT.pack(verdict))


def _plain(layout: Layout, target: str, data: bytes) -> bytes:
    size = layout.size + _EXTENSION.size + len(data)
    rest = bytes(layout.size - layout.offsets - _OFFSETS.size)  # comefrom and counters
    head = bytes(layout.offsets) + _OFFSETS.pack(layout.size, size) + rest
    return head + _EXTENSION.pack(_EXTENSION.size + len(data), target.encode(), 0) + data


def _header(layout: Layout, chain: str) -> bytes:
    return _plain(layout, _ERROR, _ERROR_NAME.pack(chain.encode()))


def matches(layout: Layout, entry: Entry) -> Iterator[tuple[str, int, bytes]]:
    """Name of each match of a rule, the offset of its data, and the data."""
    end, offset = _target(layout, entry.data), layout.size
    while offset + _EXTENSION.size <= end:
        size, name, _ = _EXTENSION.unpack_from(entry.data, offset)
        start = offset + _EXTENSION.size
        yield text(name), start, entry.data[start : min(offset + size, end)]
        offset += max(size, _EXTENSION.size)


def _target(layout: Layout, data: bytes) -> int:
    return int(_OFFSETS.unpack_from(data, layout.offsets)[0])


def _target_name(layout: Layout, data: bytes) -> str:
    return text(_EXTENSION.unpack_from(data, _target(layout, data))[1])


def _verdict(layout: Layout, data: bytes) -> int | None:
    """The standard verdict of a rule; None if it has another target."""
    if _target_name(layout, data) != _STANDARD:
        return None
    return int(_VERDICT.unpack_from(data, _target(layout, data) + _EXTENSION.size)[0])


def _with_verdict(layout: Layout, data: bytes, verdict: int) -> bytes:
    changed = bytearray(data)
    _VERDICT.pack_into(changed, _target(layout, data) + _EXTENSION.size, verdict)
    return bytes(changed)


# --- reading ------------------------------------------------------------------------------------------------------


def decode(layout: Layout, hooks: Hooks, data: bytes) -> Table:
    """Take a table apart.

    Raises:
        ApplyError: No program of iptables has made it.
        LookupError, ValueError, struct.error: Likewise.
    """
    chains: dict[str, Chain] = {}
    starts: dict[int, str] = {}
    policies = set(hooks.underflows.values())
    built_in = {offset: HOOKS[hook] for hook, offset in hooks.entries.items()}
    current = ""
    entries = list(_entries(layout, data))
    for offset, entry in entries[:-1]:  # the last one only marks the end of the table
        if _target_name(layout, entry.data) == _ERROR:
            current = _chain_name(layout, entry.data)
            starts[offset + len(entry.data)] = current
            chains[current] = Chain()
            continue
        if offset in built_in:
            current = built_in[offset]
            chains[current] = Chain()
        if offset in policies:
            chains[current].policy = entry
        else:
            chains[current].rules.append(entry)
    for chain in chains.values():
        if chain.policy is None:
            chain.rules.pop()  # each ends with a RETURN of its own
        chain.rules = [_named(layout, entry, starts) for entry in chain.rules]
    return Table(layout=layout, chains=chains)


def _entries(layout: Layout, data: bytes) -> Iterator[tuple[int, Entry]]:
    offset = place = 0
    while offset < len(data):
        _, size = _OFFSETS.unpack_from(data, offset + layout.offsets)
        if size < layout.size:
            raise ValueError(f"an entry of {size} bytes")
        counters, rest = offset + layout.offsets + _OFFSETS.size, offset + layout.size
        raw = data[offset:counters] + bytes(rest - counters) + data[rest : offset + size]
        if _verdict(layout, raw) == offset + size:
            raw = _with_verdict(layout, raw, _NEXT)
        yield offset, Entry(data=raw, place=place)
        offset, place = offset + size, place + 1


def _chain_name(layout: Layout, header: bytes) -> str:
    return text(header[_target(layout, header) + _EXTENSION.size :][: _ERROR_NAME.size])


def _named(layout: Layout, entry: Entry, starts: Mapping[int, str]) -> Entry:
    """Jumps by name, not by offset."""
    verdict = _verdict(layout, entry.data)
    if verdict is None or verdict < 0 or verdict == _NEXT:
        return entry
    if verdict not in starts:
        raise ApplyError("the kernel has a legacy table with a jump into the middle of a chain: iptables makes none")
    return Entry(data=_with_verdict(layout, entry.data, 0), jump=starts[verdict], place=entry.place)


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
        header = [] if chain.policy else [Entry(data=_header(layout, name))]
        content = [*header, *chain.rules, chain.policy or Entry(data=standard(layout, RETURN))]
        sizes = [len(entry.data) for entry in content]
        starts[name] = offset + sum(sizes[: len(header)])
        if chain.policy:
            first[HOOKS.index(name)], last[HOOKS.index(name)] = offset, offset + sum(sizes[:-1])
        entries += content
        offset += sum(sizes)
    entries.append(Entry(data=_header(layout, _ERROR)))
    ends = accumulate(len(entry.data) for entry in entries)
    return Blob(
        hooks=Hooks(entries=first, underflows=last),
        data=b"".join(_bound(layout, entry, end, starts) for entry, end in zip(entries, ends, strict=True)),
        places=tuple(entry.place for entry in entries),
    )


def _bound(layout: Layout, entry: Entry, end: int, starts: Mapping[str, int]) -> bytes:
    """The bytes of an entry that ends at an offset of the table."""
    if entry.jump:
        return _with_verdict(layout, entry.data, starts[entry.jump])
    return _with_verdict(layout, entry.data, end) if _verdict(layout, entry.data) == _NEXT else entry.data
