"""BPF maps: made, filled, frozen and read."""

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from enum import IntEnum
from typing import Final, Self

from mnp_ebpf.bpf import (
    LOOKUP_BATCH,
    MAP_CREATE,
    MAP_DELETE,
    MAP_FD_BY_ID,
    MAP_FREEZE,
    MAP_LOOKUP,
    MAP_UPDATE,
    UPDATE_BATCH,
    Buffer,
    call,
    name_bytes,
    object_info,
)

NO_PREALLOCATION: Final = 1  # BPF_F_NO_PREALLOC
INNER: Final = 0x1000  # BPF_F_INNER_MAP: arrays of different lengths in one array of maps
_BATCH: Final = 4096  # elements
_FULL_OR_LAST: Final = frozenset({errno.ENOSPC, errno.ENOENT})
_ELEMENT = struct.Struct("=I4xQQQ")
_BATCHED = struct.Struct("=QQQQIIQQ")


class Kind(IntEnum):
    """``enum bpf_map_type``."""

    HASH = 1
    ARRAY = 2
    LRU_HASH = 9
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12


class Map(AbstractContextManager["Map"]):
    """A descriptor of a map, open until `close`."""

    def __init__(self, fd: int) -> None:
        """Take over a descriptor."""
        self.fd = fd
        info = object_info(fd, 40)
        kind, self.identity, self.key_size, self.value_size, self.entries, _, name = struct.unpack("=IIIIII16s", info)
        self.kind = kind
        self.name = name.partition(b"\0")[0].decode("ascii", errors="replace")

    @classmethod
    def make(
        cls,
        name: str,
        kind: Kind,
        key_size: int,
        value_size: int,
        entries: int,
        *,
        flags: int = 0,
        inner: "Map | None" = None,
    ) -> Self:
        """Make a map, in the memory budget of this process.

        Args:
            name: At most 15 characters.
            kind: Its type.
            key_size: Bytes.
            value_size: Bytes.
            entries: Elements at most; more than zero.
            flags: As `NO_PREALLOCATION` and `INNER`.
            inner: For arrays of maps, one like those that it will hold.

        Raises:
            OSError: The kernel refuses.
        """
        head = struct.pack("=IIIIIII", kind, key_size, value_size, entries, flags, inner.fd if inner else 0, 0)
        return cls(call(MAP_CREATE, head + name_bytes(name))[0])

    @classmethod
    def of(cls, identity: int) -> Self:
        """Open a map by its number. It may have gone: `OSError`."""
        return cls(call(MAP_FD_BY_ID, struct.pack("=III", identity, 0, 0))[0])

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of it; the kernel keeps it as long as a program or another map uses it."""
        os.close(self.fd)

    # --- elements -------------------------------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes) -> None:
        """Set one element."""
        self._element(MAP_UPDATE, key, Buffer(value))

    def get(self, key: bytes) -> bytes | None:
        """Read one element; None if it is not there."""
        value = Buffer(self.value_size)
        try:
            self._element(MAP_LOOKUP, key, value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.data

    def delete(self, key: bytes) -> None:
        """Remove one element; `OSError` if it is not there."""
        self._element(MAP_DELETE, key)

    def _element(self, command: int, key: bytes, value: Buffer | None = None) -> None:
        asked = Buffer(key)
        call(command, _ELEMENT.pack(self.fd, asked.address, value.address if value else 0, 0))

    def fill(self, elements: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many elements, with few calls."""
        pairs = list(elements)
        for start in range(0, len(pairs), _BATCH):
            some = pairs[start : start + _BATCH]
            keys, values = (Buffer(b"".join(part)) for part in zip(*some, strict=True))
            call(UPDATE_BATCH, _BATCHED.pack(0, 0, keys.address, values.address, len(some), self.fd, 0, 0))

    def read(self) -> Mapping[bytes, bytes]:
        """Read all elements."""
        return dict(self._batches())

    def count(self) -> int:
        """The number of elements."""
        return sum(1 for _ in self._batches())

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        token, following = Buffer(64), Buffer(64)
        first, room = True, max(8, min(self.entries, _BATCH))
        while True:
            keys, values = Buffer(room * self.key_size), Buffer(room * self.value_size)
            start = 0 if first else token.address
            attributes = _BATCHED.pack(start, following.address, keys.address, values.address, room, self.fd, 0, 0)
            result, attributes = call(LOOKUP_BATCH, attributes, expected=_FULL_OR_LAST)
            if result == -errno.ENOSPC:  # a bucket of a hash table has more elements than there is room
                room *= 2
                continue
            found = _BATCHED.unpack(attributes)[4]
            yield from zip(
                _cut(keys.data, self.key_size, found), _cut(values.data, self.value_size, found), strict=True
            )
            if result == -errno.ENOENT:
                return
            token, following, first = following, token, False

    def freeze(self) -> None:
        """Refuse every later change by bpf(2)."""
        call(MAP_FREEZE, struct.pack("=I", self.fd))

    def clear(self) -> None:
        """Remove all elements of a hash table; those that come meanwhile may stay."""
        for key in self.read():
            with suppress(FileNotFoundError):
                self.delete(key)


def _cut(data: bytes, size: int, number: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, size * number, size)]
