"""Our table as it is in the kernel, read in one piece.

Everything here is data that a process inside the pod may have written: names need not be text, and nothing that is
found raises anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_nftables.attributes import attribute, attributes, text_attribute
from mnp_nftables.batch import GET_CHAIN, GET_ELEMENTS, GET_RULE, GET_SET, GET_TABLE
from mnp_nftables.content import (
    COUNTER,
    Content,
    anonymous_content,
    chain_content,
    found_rule_content,
    joined,
    set_content,
)
from mnp_nftables.generation import generation
from mnp_nftables.netlink import Connection, InterruptedDumpError
from mnp_nftables.sets import element_text

T = TypeVar("T")

_ATTEMPTS = 10
_ANONYMOUS = 0x1  # NFT_SET_ANONYMOUS: part of a rule, cannot be changed after it

# Attributes, <linux/netfilter/nf_tables.h>: the name of the table, in every request, and then in each kind of object.
_TABLE = 1
_TABLE_FLAGS = 2
_CHAIN_HANDLE, _CHAIN_NAME = 2, 3
_RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 4, 7
_SET_NAME, _SET_FLAGS, _SET_HANDLE = 2, 3, 16
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS_LIST = 1, 2, 3
_ELEMENT_KEY = 1
_DATA_VALUE = 1
_EXPRESSION_DATA = 2
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, a convention of user space

Found = Mapping[int, bytes]


class UnsettledError(ApplyError):
    """It was changed again and again while it was read."""


@frozen(kw_only=True)
class Part:
    """A chain, or a set that has a name: what sweeping away needs to know."""

    name: str
    handle: int
    content: bytes


@frozen(kw_only=True)
class Outline:
    """What a table has besides rules and elements."""

    generation: int
    flags: bytes
    chains: tuple[Part, ...]
    sets: tuple[Part, ...]


@frozen(kw_only=True)
class Whole:
    """All of a table: content without the rules of custom chains, these by chain, and elements by set."""

    content: Content
    custom: Mapping[str, bytes]
    members: Mapping[str, frozenset[str]]


@frozen(kw_only=True)
class Counted:
    """A rule that counts."""

    chain: str
    comment: str
    packets: int
    bytes: int


@frozen(kw_only=True)
class Raw:
    """A table as the kernel dumps it.

    Attributes:
        chains: Their names.
        rules: By chain: expressions and user data.
        sets: By name: attributes and elements.
    """

    chains: tuple[str, ...]
    rules: Mapping[str, list[tuple[list[bytes], bytes]]]
    sets: Mapping[bytes, tuple[Found, list[bytes]]]


def read_outline(table: str) -> Outline | None:
    """Read what there is besides rules and elements; None if there is no such table (family inet).

    Raises:
        UnsettledError: It kept changing.
        OSError: The kernel does not answer; TooMuchError if there is too much.
    """
    return _settled(lambda kernel, number: _outline(kernel, table, number))


def read_whole(table: str, *, custom: str) -> Whole | None:
    """Read everything; None if there is no such table.

    Args:
        table: Its name; its family is inet.
        custom: How the names of chains begin whose rules are not ours to compare.

    Raises:
        UnsettledError: As above, like OSError and TooMuchError.
    """
    return _settled(lambda kernel, _: _whole(kernel, table, custom))


def read_counters(table: str) -> tuple[Counted, ...]:
    """Read all counters, in the order in which packets meet them; errors as above."""
    return _settled(lambda kernel, _: tuple(_counted(kernel, table)))


def read_raw(table: str) -> Raw:
    """Read a table as it is, to have it again elsewhere; errors as above."""
    return _settled(lambda kernel, _: _raw(kernel, table))


def _settled(read: Callable[[Connection, int], T]) -> T:
    for _ in range(_ATTEMPTS):
        try:
            with Connection() as kernel:
                before = generation()
                found = read(kernel, before)
                if generation() == before:
                    return found
        except (InterruptedDumpError, FileNotFoundError):  # FileNotFoundError: a set that was listed has gone by now
            continue
    raise UnsettledError("nf_tables cannot be read: a process in the pod changes it all the time")


def _outline(kernel: Connection, table: str, number: int) -> Outline | None:
    ours = text_attribute(_TABLE, table)
    found = kernel.get(GET_TABLE, ours)
    if found is None:
        return None
    chains = kernel.dump(GET_CHAIN, ours, beginning=ours)
    return Outline(
        generation=number,
        flags=found.get(_TABLE_FLAGS, b""),
        chains=tuple(_part(each, _CHAIN_NAME, _CHAIN_HANDLE, chain_content(each)) for each in chains),
        sets=tuple(_part(each, _SET_NAME, _SET_HANDLE, set_content(each)) for each in _named(_sets(kernel, ours))),
    )


def _whole(kernel: Connection, table: str, custom: str) -> Whole | None:
    ours = text_attribute(_TABLE, table)
    found = kernel.get(GET_TABLE, ours)
    if found is None:
        return None
    chains = [chain_content(each) for each in kernel.dump(GET_CHAIN, ours, beginning=ours)]
    rules = list(kernel.dump(GET_RULE, ours))
    sets = _sets(kernel, ours)
    anonymous = {
        each[_SET_NAME]: anonymous_content(each, _elements(kernel, table, each[_SET_NAME]))
        for each in sets
        if _is_anonymous(each) and _SET_NAME in each
    }
    contents = [(_text(rule.get(_RULE_CHAIN, b"")), _rule_content(rule, anonymous)) for rule in rules]
    by_chain: defaultdict[str, list[bytes]] = defaultdict(list)
    for chain, content in contents:
        by_chain[chain].append(content)
    named = list(_named(sets))
    return Whole(
        content=Content(
            flags=found.get(_TABLE_FLAGS, b""),
            chains=tuple(chains),
            sets=tuple(map(set_content, named)),
            rules=tuple((chain, content) for chain, content in contents if not chain.startswith(custom)),
        ),
        custom={chain: joined(*found) for chain, found in by_chain.items() if chain.startswith(custom)},
        members={_text(each[_SET_NAME]): _members(kernel, table, each[_SET_NAME]) for each in named},
    )


def _raw(kernel: Connection, table: str) -> Raw:
    ours = text_attribute(_TABLE, table)
    chains = tuple(_text(each.get(_CHAIN_NAME, b"")) for each in kernel.dump(GET_CHAIN, ours, beginning=ours))
    rules: defaultdict[str, list[tuple[list[bytes], bytes]]] = defaultdict(list)
    for rule in kernel.dump(GET_RULE, ours):
        rules[_text(rule.get(_RULE_CHAIN, b""))].append((_expressions(rule), rule.get(_RULE_USERDATA, b"")))
    sets = {each.get(_SET_NAME, b""): each for each in _sets(kernel, ours)}
    elements = {name: (each, list(_elements(kernel, table, name))) for name, each in sets.items()}
    return Raw(chains=chains, rules=rules, sets=elements)


def _sets(kernel: Connection, ours: bytes) -> list[dict[int, bytes]]:
    return list(kernel.dump(GET_SET, ours))


def _named(sets: Iterable[Found]) -> Iterator[Found]:
    return (each for each in sets if not _is_anonymous(each) and _SET_NAME in each)


def _is_anonymous(found: Found) -> bool:
    return bool(_number(found, _SET_FLAGS) & _ANONYMOUS)


def _members(kernel: Connection, table: str, name: bytes) -> frozenset[str]:
    return frozenset(map(_member, _elements(kernel, table, name)))


def _member(element: bytes) -> str:
    """An element as it is written; one that is more than a key, or no key, is written so that no member of ours is."""
    parts = dict(attributes(element))
    value = dict(attributes(parts.get(_ELEMENT_KEY, b""))).get(_DATA_VALUE, b"")
    return element_text(value) if set(parts) == {_ELEMENT_KEY} else f"0x{element.hex()}"


def _elements(kernel: Connection, table: str, name: bytes) -> Iterator[bytes]:
    request = text_attribute(_ELEMENTS_TABLE, table) + attribute(_ELEMENTS_SET, name)
    for answer in kernel.dump(GET_ELEMENTS, request):
        yield from (element for _, element in attributes(answer.get(_ELEMENTS_LIST, b"")))


def _rule_content(rule: Found, anonymous: Mapping[bytes, bytes]) -> bytes:
    return found_rule_content(_expressions(rule), rule.get(_RULE_USERDATA, b""), anonymous)


def _expressions(rule: Found) -> list[bytes]:
    return [element for _, element in attributes(rule.get(_RULE_EXPRESSIONS, b""))]


def _counted(kernel: Connection, table: str) -> Iterator[Counted]:
    for rule in kernel.dump(GET_RULE, text_attribute(_TABLE, table)):
        counter = next((each for each in _expressions(rule) if each.startswith(COUNTER)), None)
        if counter is not None:
            data = dict(attributes(dict(attributes(counter)).get(_EXPRESSION_DATA, b"")))
            yield Counted(
                chain=_text(rule.get(_RULE_CHAIN, b"")),
                comment=_text(dict(_user_data(rule.get(_RULE_USERDATA, b""))).get(_COMMENT, b"")),
                packets=_number(data, _COUNTER_PACKETS),
                bytes=_number(data, _COUNTER_BYTES),
            )


def _part(found: Found, name: int, handle: int, content: bytes) -> Part:
    return Part(name=_text(found.get(name, b"")), handle=_number(found, handle), content=content)


def _user_data(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value, a byte for the type and one for the length (libnftnl's udata)."""
    offset = 0
    while offset + 2 <= len(data):
        kind, size = data[offset], data[offset + 1]
        yield kind, data[offset + 2 : offset + 2 + size]
        offset += 2 + size


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def _number(found: Found, number: int) -> int:
    return int.from_bytes(found.get(number, b""), "big")
