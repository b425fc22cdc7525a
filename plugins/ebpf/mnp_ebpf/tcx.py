"""Programs at the interfaces of this thread's network namespace (TCX, Linux 6.6).

An interface holds its programs: they need no pin and no process, and end with it.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from mnp_core.model import Direction
from mnp_ebpf.bpf import PROG_ATTACH, PROG_DETACH, PROG_FD_BY_ID, PROG_QUERY, Buffer, call, object_info
from mnp_ebpf.table import Place

LOOPBACK: Final = 1
"""The index of ``lo``, in every namespace."""

_POINTS: Final = {Direction.INGRESS: 46, Direction.EGRESS: 47}  # BPF_TCX_INGRESS, BPF_TCX_EGRESS
_FIRST: Final = 1 << 3  # BPF_F_BEFORE, before all
_MOST: Final = 64  # programs at one point: BPF_MPROG_MAX
_ATTACH = struct.Struct("=IIIIIIQ")
_QUERY = struct.Struct("=IIIIQI4xQQQQ")
_SIOCGIFHWADDR: Final = 0x8927
_ETHERNET: Final = 1  # ARPHRD_ETHER
_BARE: Final = frozenset({0xFFFE, 519, 512})  # ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP: packets without a header


@frozen(kw_only=True)
class ProgramInfo:
    """A program that is in the kernel."""

    name: str
    maps: tuple[int, ...]


def links() -> Mapping[str, int]:
    """The interfaces by name, without ``lo``."""
    return {name: index for index, name in socket.if_nameindex() if index != LOOPBACK}


def place(name: str, index: int) -> Place:
    """Where an interface is.

    Raises:
        OSError: Its frames have another form than this plugin reads.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFHWADDR, os.fsencode(name).ljust(40, b"\0"))
    (kind,) = struct.unpack_from("=H", answer, 16)
    if kind != _ETHERNET and kind not in _BARE:
        raise OSError(errno.EOPNOTSUPP, f"interface {name!r} has frames of type {kind}, which this backend cannot read")
    return Place(index=index, ethernet=kind == _ETHERNET)


def attached(index: int, direction: Direction) -> Sequence[int]:
    """The numbers of the programs at an interface, in the order in which packets meet them; none if it has gone."""
    found = Buffer(4 * _MOST)
    asked = _QUERY.pack(index, _POINTS[direction], 0, 0, found.address, _MOST, 0, 0, 0, 0)
    result, answer = call(PROG_QUERY, asked, expected=frozenset({errno.ENOENT, errno.ENODEV}))
    return struct.unpack_from(f"={_QUERY.unpack(answer)[5]}I", found.data) if result == 0 else ()


def attach(index: int, direction: Direction, program: int) -> None:
    """Put a program, by its descriptor, before all others."""
    call(PROG_ATTACH, _ATTACH.pack(index, program, _POINTS[direction], _FIRST, 0, 0, 0))


def detach(index: int, direction: Direction, program: int) -> None:
    """Take a program away, by its descriptor; nothing there is no error."""
    with suppress(FileNotFoundError):
        call(
            PROG_DETACH,
            _ATTACH.pack(index, program, _POINTS[direction], 0, 0, 0, 0),
            expected=frozenset({errno.ENOENT, errno.ENODEV}),
        )


def open_program(identity: int) -> int:
    """A descriptor of a program, by its number. It may have gone: `OSError`."""
    return call(PROG_FD_BY_ID, struct.pack("=III", identity, 0, 0))[0]


def program_info(fd: int) -> ProgramInfo:
    """What the kernel tells of a program."""
    maps = Buffer(4 * _MOST)
    given = bytes(52) + struct.pack("=IQ", _MOST, maps.address)
    info = object_info(fd, 80, given)
    (number,) = struct.unpack_from("=I", info, 52)
    name = info[64:80].partition(b"\0")[0].decode("ascii", errors="replace")
    return ProgramInfo(name=name, maps=struct.unpack_from(f"={min(number, _MOST)}I", maps.data))
