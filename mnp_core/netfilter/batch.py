"""Transactions of nf_tables as bytes, message by message, made once for all sandboxes."""

import struct
from collections.abc import Iterable, Iterator

from mnp_core.classes import frozen
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attributes, text
from mnp_core.netfilter.messages import GENERIC, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE, NFPROTO_INET
from mnp_core.netfilter.netlink import ACKNOWLEDGE, HEADER, REQUEST

_FLAGS_OFFSET = 6
_FIRST = 2  # sequence number; 1 is the beginning of the batch
_OBJECTS = {NEW_TABLE: "table", NEW_CHAIN: "chain", NEW_RULE: "rule", NEW_SET: "set", NEW_ELEMENTS: "elements of set"}
_OBJECTS |= {kind + 2: f"removal of {name}" for kind, name in _OBJECTS.items()}
_NAME = {  # attribute with the name; a rule has that of its chain
    "table": uapi.NFTA_TABLE_NAME,
    "chain": uapi.NFTA_CHAIN_NAME,
    "rule": uapi.NFTA_RULE_CHAIN,
    "set": uapi.NFTA_SET_NAME,
}


@frozen
class Batch:
    """Messages, one after the other, with sequence numbers from 2 on.

    Attributes:
        data: The messages.
        last: Offset of the last one.
        next: The first free sequence number.
    """

    data: bytes = b""
    last: int = 0
    next: int = _FIRST

    def acknowledged(self) -> bytearray:
        """The messages to send: the kernel answers the last one, and any that it refuses."""
        data = bytearray(self.data)
        (flags,) = struct.unpack_from("=H", data, self.last + _FLAGS_OFFSET)
        struct.pack_into("=H", data, self.last + _FLAGS_OFFSET, flags | ACKNOWLEDGE)
        return data

    def in_family(self, family: int) -> "Batch":
        """The same messages about objects of another family (NFPROTO_…)."""
        data, offset = bytearray(self.data), 0
        while offset < len(data):
            (size,) = struct.unpack_from("=I", data, offset)
            data[offset + HEADER.size] = family  # nfgen_family of struct nfgenmsg
            offset += size
        return Batch(bytes(data), self.last, self.next)

    @property
    def families(self) -> tuple[int, ...]:
        """The families of its objects, in the order of their first messages."""
        return tuple(dict.fromkeys(body[0] for _, _, _, body in self.messages()))

    def about(self, sequence: int) -> str:
        """The object of a message, in words."""
        found = (_object(kind, body) for kind, _, number, body in self.messages() if number == sequence)
        return next(found, "the transaction")

    def messages(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Type, flags, sequence number and body of each message."""
        offset = 0
        while offset < len(self.data):
            size, kind, flags, number, _ = HEADER.unpack_from(self.data, offset)
            yield kind, flags, number, self.data[offset + HEADER.size : offset + size]
            offset += size


class BatchWriter:
    """Collects messages."""

    def __init__(self, before: Batch | None = None) -> None:
        """Begin, perhaps after other messages."""
        begin = before or Batch()
        self._data = bytearray(begin.data)
        self._last, self._next = begin.last, begin.next

    def add(self, kind: int, flags: int, *parts: bytes, family: int = NFPROTO_INET) -> None:
        """Add a message made of these attributes."""
        self._add(kind, flags, GENERIC.pack(family, 0, 0) + b"".join(parts))

    def batch(self) -> Batch:
        """All messages so far."""
        return Batch(bytes(self._data), self._last, self._next)

    @property
    def size(self) -> int:
        """The length of all messages so far, in bytes."""
        return len(self._data)

    def extend(self, batch: Batch, part: slice = slice(None), *, flags: int = 0) -> None:
        """Add the messages of a batch, or of a part of its bytes, renumbered and with more flags."""
        for kind, own, _, body in Batch(batch.data[part]).messages():
            self._add(kind, own | flags, body)

    def _add(self, kind: int, flags: int, body: bytes) -> None:
        self._last = len(self._data)
        self._data += HEADER.pack(HEADER.size + len(body), kind, flags | REQUEST, self._next, 0)
        self._data += body
        self._next += 1


def joined(batches: Iterable[Batch]) -> Batch:
    """Several batches as one transaction."""
    writer = BatchWriter()
    for batch in batches:
        writer.extend(batch)
    return writer.batch()


def _object(kind: int, body: bytes) -> str:
    words = _OBJECTS.get(kind, "the transaction")
    name = text(dict(attributes(body, GENERIC.size)).get(_name_attribute(words), b""))
    return f"{words} in chain {name}" if words.endswith("rule") else f"{words} {name}".strip()


def _name_attribute(words: str) -> int:
    return next((kind for name, kind in _NAME.items() if words.endswith(name)), 0)
