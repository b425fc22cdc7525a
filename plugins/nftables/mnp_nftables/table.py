"""Our table as it is in the kernel, read in one piece.

Everything here is data that somebody inside the pod may have written: names need not be text, and nothing that is found
raises anything.
"""

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_nftables.generation import generation
from mnp_nftables.netlink import (
    GET_CHAIN,
    GET_ELEMENTS,
    GET_RULE,
    GET_SET,
    GET_TABLE,
    Connection,
    InterruptedDumpError,
    attribute,
    attributes,
    text_attribute,
)
from mnp_nftables.sets import element_text


def _head(kind: int) -> bytes:
    """The head of an attribute of any size, to be found in bytes."""
    return rb".." + re.escape(struct.pack("=H", kind))


_ATTEMPTS = 10
_ANONYMOUS = 0x1  # NFT_SET_ANONYMOUS: part of a rule, cannot be changed after it

# Attributes, <linux/netfilter/nf_tables.h>: the name of the table, in every request, and then in each kind of object.
_TABLE = 1
_TABLE_FLAGS = 2
_CHAIN_HANDLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE, _CHAIN_FLAGS = 2, 3, 4, 5, 7, 10
_RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 3, 4, 7
_SET_NAME, _SET_FLAGS, _SET_KEY_TYPE, _SET_KEY_LENGTH, _SET_DATA_TYPE, _SET_HANDLE = 2, 3, 4, 5, 6, 16
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS_LIST = 1, 2, 3
_ELEMENT_KEY = 1
_DATA_VALUE = 1
_COUNTER = re.compile(
    _head(1) + rb"counter\0"  # NFTA_EXPR_NAME
    rb"(?:" + _head(2) + rb"|" + _head(2 | 0x8000) + rb")"  # NFTA_EXPR_DATA, which may say that it is nested
    rb"(?:"
    + _head(3)
    + rb")?"
    + _head(1)
    + rb"(?P<bytes>.{8})"  # NFTA_COUNTER_BYTES; NFTA_COUNTER_PAD on some machines
    rb"(?:" + _head(3) + rb")?" + _head(2) + rb"(?P<packets>.{8})",  # NFTA_COUNTER_PACKETS
    re.DOTALL,
)
"""A counter among the expressions of a rule, as the kernel writes it. Rules are many, and are read after each commit:
to take all their expressions apart costs several times as much as everything else about them. What looks like a counter
in something that a user wrote is one to this, too; then those sixteen bytes do not count for the fingerprint.
"""
_UNCOUNTED = b"counter"
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, a convention of user space


@frozen(kw_only=True)
class Chain:
    """A chain. `content` is all that makes it what it is."""

    name: str
    handle: int
    content: bytes


@frozen(kw_only=True)
class Rule:
    """A rule. `content` leaves out what packets change."""

    chain: str
    comment: str
    content: bytes
    packets: int | None
    bytes: int | None


@frozen(kw_only=True)
class NamedSet:
    """A set of ours or of whoever put it there; members are read only on request."""

    name: str
    handle: int
    content: bytes
    elements: frozenset[str]


@frozen(kw_only=True)
class Table:
    """Everything in our table at one generation."""

    generation: int
    flags: bytes
    chains: tuple[Chain, ...]
    rules: tuple[Rule, ...]
    sets: tuple[NamedSet, ...]

    def fingerprint(self, *, without: Iterable[Chain | NamedSet | Rule] = ()) -> str:
        """A digest of everything but membership and counters; handles are in it, so rules made anew show too."""
        left_out = set(without)
        parts: list[Chain | NamedSet | Rule] = [*self.chains, *self.sets, *self.rules]
        contents = (part.content for part in parts if part not in left_out)
        return hashlib.sha256(_joined(self.flags, *contents)).hexdigest()


def read_table(name: str, *, members: bool) -> Table | None:
    """Read a table of family inet; None if there is none.

    Args:
        name: The table.
        members: Whether to read the elements of sets, which may be many.

    Raises:
        ApplyError: Somebody kept changing it, or the kernel does not answer.
    """
    for _ in range(_ATTEMPTS):
        try:
            with Connection() as kernel:
                before = generation()
                found = _read(kernel, name, before, members=members)
                if generation() == before:
                    return found
        except (InterruptedDumpError, FileNotFoundError):  # FileNotFoundError: a set that was listed has gone by now
            continue
        except OSError as error:
            raise ApplyError(f"nf_tables cannot be read: {error.strerror}") from error
    raise ApplyError("nf_tables cannot be read: somebody changes it all the time")


def _read(kernel: Connection, name: str, generation: int, *, members: bool) -> Table | None:
    ours = text_attribute(_TABLE, name)
    table = kernel.get(GET_TABLE, ours)
    if table is None:
        return None
    chains = [chain for chain in kernel.dump(GET_CHAIN, ours) if _text(chain.get(_TABLE, b"")) == name]
    rules = list(kernel.dump(GET_RULE, ours))
    sets = [found for found in kernel.dump(GET_SET, ours) if not _number(found, _SET_FLAGS) & _ANONYMOUS]
    return Table(
        generation=generation,
        flags=table.get(_TABLE_FLAGS, b""),
        chains=tuple(map(_chain, chains)),
        rules=tuple(map(_rule, rules)),
        sets=tuple(_set(found, _elements(kernel, name, found) if members else ()) for found in sets),
    )


def _chain(found: Mapping[int, bytes]) -> Chain:
    kept = (_CHAIN_HANDLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE, _CHAIN_FLAGS)
    return Chain(
        name=_text(found.get(_CHAIN_NAME, b"")),
        handle=_number(found, _CHAIN_HANDLE),
        content=_joined(*(found.get(attribute, b"") for attribute in kept)),
    )


def _rule(found: Mapping[int, bytes]) -> Rule:
    expressions = found.get(_RULE_EXPRESSIONS, b"")
    counter = _COUNTER.search(expressions)
    return Rule(
        chain=_text(found.get(_RULE_CHAIN, b"")),
        comment=_text(dict(_user_data(found.get(_RULE_USERDATA, b""))).get(_COMMENT, b"")),
        content=_joined(
            found.get(_RULE_CHAIN, b""),
            found.get(_RULE_HANDLE, b""),
            found.get(_RULE_USERDATA, b""),
            _COUNTER.sub(_UNCOUNTED, expressions),
        ),
        packets=None if counter is None else int.from_bytes(counter["packets"], "big"),
        bytes=None if counter is None else int.from_bytes(counter["bytes"], "big"),
    )


def _set(found: Mapping[int, bytes], members: Iterable[str]) -> NamedSet:
    kept = (_SET_NAME, _SET_HANDLE, _SET_FLAGS, _SET_KEY_TYPE, _SET_KEY_LENGTH, _SET_DATA_TYPE)
    return NamedSet(
        name=_text(found.get(_SET_NAME, b"")),
        handle=_number(found, _SET_HANDLE),
        content=_joined(*(found.get(attribute, b"") for attribute in kept)),
        elements=frozenset(members),
    )


def _elements(kernel: Connection, table: str, found: Mapping[int, bytes]) -> Iterator[str]:
    name = found.get(_SET_NAME, b"")
    request = text_attribute(_ELEMENTS_TABLE, table) + attribute(_ELEMENTS_SET, name)
    for answer in kernel.dump(GET_ELEMENTS, request):
        for _, element in attributes(answer.get(_ELEMENTS_LIST, b"")):
            key = dict(attributes(dict(attributes(element)).get(_ELEMENT_KEY, b"")))
            yield element_text(key.get(_DATA_VALUE, b""))


def _user_data(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value, a byte for the type and one for the length (libnftnl's udata)."""
    offset = 0
    while offset + 2 <= len(data):
        kind, size = data[offset], data[offset + 1]
        yield kind, data[offset + 2 : offset + 2 + size]
        offset += 2 + size


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def _number(found: Mapping[int, bytes], attribute: int) -> int:
    return int.from_bytes(found.get(attribute, b""), "big")


def _joined(*parts: bytes) -> bytes:
    """Parts, so put together that different parts give different bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
