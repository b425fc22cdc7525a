"""The two extensions of xtables that are looked into, in whichever kernel interface they stand."""

import struct
from collections.abc import Iterator

_MATCH = struct.Struct("=H29sB")  # struct xt_entry_match, before its data
_INDEX = struct.Struct("=H")
INDEX_SIZE = _INDEX.size

SET, COMMENT = "set", "comment"


def set_index(info: bytes) -> int:
    """The kernel's number of the set that a match looks into: the first member in all its revisions (xt_set.h)."""
    return int(_INDEX.unpack_from(info)[0])


def pack_index(index: int) -> bytes:
    """The same as bytes."""
    return _INDEX.pack(index)


def comment_of(info: bytes) -> str:
    """The text in a match ``comment``."""
    return info.partition(b"\0")[0].decode(errors="backslashreplace")


def legacy_matches(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name of each match of a legacy rule, the place where its data begin, and they."""
    offset = 0
    while offset + _MATCH.size <= len(data):
        size, name, _ = _MATCH.unpack_from(data, offset)
        place = offset + _MATCH.size
        yield name.partition(b"\0")[0].decode(errors="replace"), place, data[place : offset + size]
        offset += max(size, _MATCH.size)
