"""Netlink attributes: encode, walk and decode them (<linux/netlink.h>)."""

import struct
from collections.abc import Iterator

NESTED, NET_BYTE_ORDER = 0x8000, 0x4000  # NLA_F_NESTED, NLA_F_NET_BYTEORDER
_TYPE_MASK = 0x3FFF
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type


def attribute(kind: int, *values: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    value = b"".join(values)
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, attributes)


def text_attribute(kind: int, value: str) -> bytes:
    """A name, with the NUL that ends it."""
    return attribute(kind, value.encode(), b"\0")


def number(kind: int, value: int) -> bytes:
    """A number of 32 bits in network byte order, as nf_tables has all of its own."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each, up to the first malformed one."""
    return ((kind, value) for kind, _, value in located(data, offset))


def located(data: bytes, offset: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Walk a sequence of attributes: type, offset of the value, and value."""
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        start = offset + _ATTRIBUTE.size
        yield kind & _TYPE_MASK, start, data[start : offset + size]
        offset += size + -size % 4


def text(value: bytes) -> str:
    """A name up to its NUL. The kernel takes nearly any byte in one: bytes outside UTF-8 become escapes."""
    return value.partition(b"\0")[0].decode(errors="backslashreplace")
