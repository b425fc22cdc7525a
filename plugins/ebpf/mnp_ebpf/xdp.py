"""The early stage: a program that a driver runs on each frame that comes in (XDP), attached by rtnetlink."""

import errno
import struct
from contextlib import suppress
from typing import Final

from mnp_core.model import EarlyDrop
from mnp_core.netfilter.attributes import attribute, attributes, nested
from mnp_core.netfilter.netlink import ACKNOWLEDGE, NETLINK_ROUTE, Netlink
from mnp_ebpf.program_info import find_program

NAME: Final = "mnp_xdp"

_GET_LINK, _SET_LINK = 18, 19  # RTM_GETLINK, RTM_SETLINK
_XDP, _XDP_FD, _XDP_ATTACHED, _XDP_FLAGS, _XDP_PROGRAM = 43, 1, 2, 3, 4  # IFLA_XDP and what is in it
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_MODES: Final = {EarlyDrop.GENERIC: 1 << 1, EarlyDrop.NATIVE: 1 << 2}  # XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
_ATTACHED: Final = {1: EarlyDrop.NATIVE, 2: EarlyDrop.GENERIC}  # XDP_ATTACHED_DRV, XDP_ATTACHED_SKB
_UNLESS_THERE: Final = 1 << 0  # XDP_FLAGS_UPDATE_IF_NOEXIST
_CANNOT: Final = frozenset({errno.EOPNOTSUPP, errno.EBUSY, errno.EEXIST, errno.EINVAL, errno.ERANGE, errno.ENODEV})
"""The driver has no place for it, or not at this MTU; somebody else's program is there; the interface has gone."""


def attached(index: int) -> tuple[int, EarlyDrop]:
    """The number of our program at an interface, and where it runs; 0 and `EarlyDrop.OFF` if it is not there."""
    with Netlink(NETLINK_ROUTE) as kernel:
        try:
            answer = kernel.request(_GET_LINK, _LINK.pack(0, 0, index, 0, 0))
        except OSError:
            return 0, EarlyDrop.OFF
    found = dict(attributes(dict(attributes(answer, _LINK.size)).get(_XDP, b"")))
    number, where = (int.from_bytes(found.get(kind, b""), "little") for kind in (_XDP_PROGRAM, _XDP_ATTACHED))
    return (number, _ATTACHED.get(where, EarlyDrop.OFF)) if number and _is_ours(number) else (0, EarlyDrop.OFF)


def attach(index: int, program: int, mode: EarlyDrop) -> bool:
    """Put the program at an interface; whether it could be: it is an addition, without which nothing passes more."""
    return _set(index, program, _MODES[mode] | _UNLESS_THERE)


def detach(index: int) -> None:
    """Take our program away; one of others stays."""
    program, where = attached(index)
    if program:
        _set(index, -1, _MODES[where])


def _set(index: int, program: int, flags: int) -> bool:
    inner = attribute(_XDP_FD, struct.pack("=i", program)) + attribute(_XDP_FLAGS, struct.pack("=I", flags))
    with Netlink(NETLINK_ROUTE) as kernel:
        try:
            kernel.request(_SET_LINK, _LINK.pack(0, 0, index, 0, 0) + nested(_XDP, inner), flags=ACKNOWLEDGE)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return False
    return True


def _is_ours(program: int) -> bool:
    with suppress(OSError):
        info = find_program(program)
        return info is not None and info.name == NAME
    return False
