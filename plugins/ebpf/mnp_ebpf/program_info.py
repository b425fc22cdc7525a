"""Programs that are in the kernel, by their numbers."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from attrs import frozen

from mnp_ebpf.bpf import PROG_FD_BY_ID, Buffer, call, object_info

_MOST_MAPS: Final = 64


@frozen(kw_only=True)
class ProgramInfo:
    """A program that is in the kernel."""

    name: str
    maps: tuple[int, ...]


def open_program(identity: int) -> int:
    """A descriptor of a program, by its number. It may have gone: `OSError`."""
    return call(PROG_FD_BY_ID, struct.pack("=III", identity, 0, 0))[0]


def program_info(fd: int) -> ProgramInfo:
    """What the kernel tells of a program."""
    maps = Buffer(4 * _MOST_MAPS)
    given = bytes(52) + struct.pack("=IQ", _MOST_MAPS, maps.address)
    info = object_info(fd, 80, given)
    (number,) = struct.unpack_from("=I", info, 52)
    name = info[64:80].partition(b"\0")[0].decode("ascii", errors="replace")
    return ProgramInfo(name=name, maps=struct.unpack_from(f"={min(number, _MOST_MAPS)}I", maps.data))


def find_program(identity: int) -> ProgramInfo | None:
    """What the kernel tells of a program; None if it has gone."""
    with suppress(FileNotFoundError), closing(open_program(identity)) as fd:
        return program_info(fd)
    return None


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close a descriptor in the end."""
    try:
        yield fd
    finally:
        os.close(fd)
