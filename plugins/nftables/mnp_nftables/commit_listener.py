"""Notifications of commits to nf_tables, by any process."""

import ctypes
import socket
import struct
import sys

from mnp_core.netfilter.messages import NEW_GENERATION
from mnp_core.netfilter.netlink import NETLINK_NETFILTER

_GROUP_NFTABLES = 7  # NFNLGRP_NFTABLES in <linux/netfilter/nfnetlink.h>
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1  # <linux/netlink.h>
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER in <asm-generic/socket.h>
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
_ANNOUNCEMENT = struct.Struct("=4xH14xHH4s")  # nlmsg_type; length, type and value of the first attribute
_GENERATION = 8, 1  # length and type of NFTA_GEN_ID, which the kernel writes first


def listen_to_commits() -> socket.socket:
    """Open a non-blocking socket for notifications of commits in the network namespace of the calling thread.

    The kernel notifies of each object, and last of the new generation number (NFT_MSG_NEWGEN). A filter of the socket
    (socket(7), SO_ATTACH_FILTER) lets that one alone through: a set of 5,000 elements would be 5,000 notifications.

    Raises:
        OSError: This kernel has no netfilter netlink.
    """
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    listener = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
    try:
        code = _only(NEW_GENERATION)
        program = ctypes.create_string_buffer(code, len(code))
        count = len(code) // _INSTRUCTION.size
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(program)))
        listener.bind((0, 0))  # unbound, its port is 0, which broadcasts exclude
        listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_NFTABLES)
    except BaseException:
        listener.close()
        raise
    return listener


def announced_generation(message: bytes) -> int | None:
    """The generation that a message on such a socket announces; None if it is none of the kernel's."""
    if len(message) < _ANNOUNCEMENT.size:
        return None
    kind, *attribute, value = _ANNOUNCEMENT.unpack_from(message)
    return int.from_bytes(value, "big") if (kind, *attribute) == (NEW_GENERATION, *_GENERATION) else None


def _only(kind: int) -> bytes:
    """A classic BPF program (<linux/filter.h>) that drops all messages but those of one type."""
    as_loaded = int.from_bytes(
        kind.to_bytes(2, sys.byteorder), "big"
    )  # nlmsg_type is in host order, a load in network order
    return b"".join(
        (
            _INSTRUCTION.pack(0x28, 0, 0, 4),  # ldh [4]: nlmsg_type
            _INSTRUCTION.pack(0x15, 0, 1, as_loaded),  # jeq: the next one, else the one after it
            _INSTRUCTION.pack(0x06, 0, 0, 0xFFFF),  # ret: all of it
            _INSTRUCTION.pack(0x06, 0, 0, 0),  # ret: nothing
        )
    )
