"""Attributes of netlink messages: how they are written, and how they are walked."""

import struct
from collections.abc import Iterator

_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_NESTED = 0x8000  # NLA_F_NESTED


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded as it is sent."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, attributes: bytes) -> bytes:
    """An attribute that is made of attributes."""
    return attribute(kind | _NESTED, attributes)


def text_attribute(kind: int, value: str) -> bytes:
    """A name as the kernel takes it."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """A number of 32 bits, in network byte order as nf_tables has all of its own."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += size + -size % 4
