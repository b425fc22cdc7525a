"""Packets that rules have logged to NFLOG: reads one group in one network namespace (nfnetlink_log).

Messages come from the kernel, which copies bytes from the pod: prefix and packet are hostile until parsed.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from mnp_core.classes import frozen
from mnp_core.errors import ApplyError
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes, number
from mnp_core.netfilter.messages import GENERIC
from mnp_core.netfilter.netlink import ACKNOWLEDGE, ERROR, NETLINK_NETFILTER, REQUEST, error_code, messages, packed

_SUBSYSTEM: Final = 4 << 8  # NFNL_SUBSYS_ULOG
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1  # NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG
_BIND, _COPY_PACKET = 1, 2  # NFULNL_CFG_CMD_BIND, NFULNL_COPY_PACKET
_BIND_FAMILY, _UNBIND_FAMILY = 3, 4  # NFULNL_CFG_CMD_PF_BIND, PF_UNBIND
_AT_ONCE = 1  # packets and hundredths of a second that the kernel keeps to send together
_KIND = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_MODE = struct.Struct(">IBx")  # struct nfulnl_msg_config_mode: copy_range, copy_mode
_BUFFER: Final = 1 << 17
_TAKEN: Final = frozenset({errno.EPERM, errno.EBUSY})


class GroupTakenError(ApplyError):
    """Another socket reads this group in this network namespace."""


@frozen(kw_only=True)
class Logged:
    """One logged packet.

    Attributes:
        prefix: As the rule has it, with its NUL; any bytes if the pod has a rule of its own.
        payload: The first bytes of the packet, from its network header on.
    """

    prefix: bytes
    payload: bytes


def open_group(group: int, size: int) -> socket.socket:
    """Open a non-blocking socket that reads a group in the network namespace of the calling thread.

    Args:
        group: A number from 0 to 65535.
        size: The most bytes of a packet.

    Raises:
        GroupTakenError: Another socket reads it already.
        OSError: This kernel has no NFLOG.
    """
    reader = socket.socket(socket.AF_NETLINK, _KIND, NETLINK_NETFILTER)
    try:
        _configure(reader, group, attribute(uapi.NFULA_CFG_CMD, bytes([_BIND])))
        _configure(
            reader,
            group,
            attribute(uapi.NFULA_CFG_MODE, _MODE.pack(size, _COPY_PACKET)),
            number(uapi.NFULA_CFG_QTHRESH, _AT_ONCE),
            number(uapi.NFULA_CFG_TIMEOUT, _AT_ONCE),
        )
    except OSError as error:
        reader.close()
        if error.errno in _TAKEN:
            raise GroupTakenError(
                f"NFLOG group {group} cannot be read ({os.strerror(error.errno)}): a process in the pod reads it "
                "already, or this one lacks CAP_NET_ADMIN. Choose another number as denied-log-group, or stop that one"
            ) from error
        raise
    except BaseException:
        reader.close()
        raise
    return reader


def bind_family(reader: socket.socket, family: int) -> None:
    """Have NFLOG group 0 get everything of a family that names no group: the kernel's own traces. Raises OSError."""
    _configure(reader, 0, attribute(uapi.NFULA_CFG_CMD, bytes([_BIND_FAMILY])), family=family)


def unbind_family(reader: socket.socket, family: int) -> None:
    """Leave a family without. Raises OSError."""
    _configure(reader, 0, attribute(uapi.NFULA_CFG_CMD, bytes([_UNBIND_FAMILY])), family=family)


def read_packets(reader: socket.socket) -> Iterator[Logged] | None:
    """Receive one message of a socket: its packets, none if it is not the kernel's; None if there is no message.

    Raises:
        OSError: ENOBUFS: packets were lost because they were not read soon enough. Others: the socket is broken.
    """
    try:
        data, (port, _) = reader.recvfrom(_BUFFER)
    except BlockingIOError:
        return None
    return parse_packets(data) if port == 0 else iter(())


def parse_packets(data: bytes) -> Iterator[Logged]:
    """The packets in received bytes, up to the first malformed one."""
    for kind, _, _, body in messages(data):
        if kind == _PACKET:
            found = dict(attributes(body, GENERIC.size))
            yield Logged(prefix=found.get(uapi.NFULA_PREFIX, b""), payload=found.get(uapi.NFULA_PAYLOAD, b""))


def _configure(reader: socket.socket, group: int, *settings: bytes, family: int = socket.AF_UNSPEC) -> None:
    """Send a configuration; raises OSError as the kernel does."""
    body = GENERIC.pack(family, 0, socket.htons(group)) + b"".join(settings)
    reader.send(packed(_CONFIG, REQUEST | ACKNOWLEDGE, body, 1))
    while True:
        for kind, _, _, answer in messages(reader.recv(_BUFFER, socket.MSG_DONTWAIT)):  # the kernel has answered
            if kind == ERROR:  # a packet may come first
                if code := error_code(answer):
                    raise OSError(code, "refused")
                return
