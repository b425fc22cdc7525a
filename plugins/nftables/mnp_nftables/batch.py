"""Transactions of nf_tables as bytes: what is to be done, message by message, made once for all sandboxes."""

import struct
from collections.abc import Iterable

from attrs import frozen

from mnp_nftables.attributes import attributes

NFPROTO_INET = 1
SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
NEW_TABLE, GET_TABLE, DELETE_TABLE = SUBSYSTEM | 0, SUBSYSTEM | 1, SUBSYSTEM | 2
NEW_CHAIN, GET_CHAIN, DELETE_CHAIN = SUBSYSTEM | 3, SUBSYSTEM | 4, SUBSYSTEM | 5
NEW_RULE, GET_RULE, DELETE_RULE = SUBSYSTEM | 6, SUBSYSTEM | 7, SUBSYSTEM | 8
NEW_SET, GET_SET, DELETE_SET = SUBSYSTEM | 9, SUBSYSTEM | 10, SUBSYSTEM | 11
NEW_ELEMENTS, GET_ELEMENTS, DELETE_ELEMENTS = SUBSYSTEM | 12, SUBSYSTEM | 13, SUBSYSTEM | 14
NEW_GENERATION, GET_GENERATION = SUBSYSTEM | 15, SUBSYSTEM | 16

REQUEST = 0x1  # NLM_F_REQUEST
ACKNOWLEDGE = 0x4  # NLM_F_ACK
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800  # NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
FAMILY = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource
_FLAGS_OFFSET = 6
_FIRST = 2  # sequence number; 1 is where the batch begins
_WHAT = {NEW_TABLE: "table", NEW_CHAIN: "chain", NEW_RULE: "rule", NEW_SET: "set", NEW_ELEMENTS: "elements of set"}
_WHAT |= {kind + 2: f"removal of {what}" for kind, what in _WHAT.items()}
_NAME = {"table": 1, "chain": 3, "rule": 2, "set": 2}  # the attribute that names it; a rule is named by its chain


@frozen
class Batch:
    """Messages, one after the other, with sequence numbers from 2 on.

    Attributes:
        data: The messages.
        last: Where the last one begins.
        next: The sequence number of whatever comes after it.
    """

    data: bytes = b""
    last: int = 0
    next: int = _FIRST

    def acknowledged(self) -> bytearray:
        """The messages to be sent: the kernel answers the last one, and any that it refuses."""
        data = bytearray(self.data)
        (flags,) = struct.unpack_from("=H", data, self.last + _FLAGS_OFFSET)
        struct.pack_into("=H", data, self.last + _FLAGS_OFFSET, flags | ACKNOWLEDGE)
        return data

    def about(self, sequence: int) -> str:
        """What a message is about, for people."""
        offset = 0
        while offset < len(self.data):
            size, kind, _, number, _ = HEADER.unpack_from(self.data, offset)
            if number == sequence:
                return _about(kind, self.data[offset + HEADER.size + FAMILY.size : offset + size])
            offset += size
        return "the transaction"


class BatchWriter:
    """Collects messages."""

    def __init__(self, before: Batch | None = None) -> None:
        """Begin, perhaps after others."""
        begin = before or Batch()
        self._data = bytearray(begin.data)
        self._last, self._next = begin.last, begin.next

    def add(self, kind: int, flags: int, *parts: bytes) -> None:
        """Add a message made of these attributes."""
        body = b"".join(parts)
        self._last = len(self._data)
        self._data += HEADER.pack(HEADER.size + FAMILY.size + len(body), kind, flags | REQUEST, self._next, 0)
        self._data += FAMILY.pack(NFPROTO_INET, 0, 0)
        self._data += body
        self._next += 1

    def batch(self) -> Batch:
        """What was collected."""
        return Batch(bytes(self._data), self._last, self._next)


def _about(kind: int, body: bytes) -> str:
    what = _WHAT.get(kind, "the transaction")
    name = dict(attributes(body)).get(_name_attribute(what), b"").rstrip(b"\0").decode(errors="backslashreplace")
    return f"{what} in chain {name}" if what.endswith("rule") else f"{what} {name}".strip()


def _name_attribute(what: str) -> int:
    return next((kind for name, kind in _NAME.items() if what.endswith(name)), 0)


def in_one(batches: Iterable[Batch]) -> Batch:
    """One transaction of several, renumbered."""
    writer = BatchWriter()
    for batch in batches:
        offset = 0
        while offset < len(batch.data):
            size, kind, flags, _, _ = HEADER.unpack_from(batch.data, offset)
            writer.add(kind, flags, batch.data[offset + HEADER.size + FAMILY.size : offset + size])
            offset += size
    return writer.batch()
