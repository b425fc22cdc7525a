"""Ask nf_tables questions over a plain netlink socket.

Reading is not left to libnftables: a process in a pod with CAP_NET_ADMIN can put objects into our table whose names are
not text, on which libnftables' JSON output aborts the whole process (an assertion, 1.0.6), and its text is made for
people. What is needed here is small: a few dumps, walked attribute by attribute (<linux/netfilter/nf_tables.h>). A
socket belongs to the network namespace of the thread that opened it.
"""

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_NETLINK_NETFILTER = 12
_NFPROTO_INET = 1
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES

GET_TABLE = _SUBSYSTEM | 1
GET_CHAIN = _SUBSYSTEM | 4
GET_RULE = _SUBSYSTEM | 7
GET_SET = _SUBSYSTEM | 10
GET_ELEMENTS = _SUBSYSTEM | 13
_NEW_GENERATION = _SUBSYSTEM | 15
_GET_GENERATION = _SUBSYSTEM | 16

_REQUEST = 0x1  # NLM_F_REQUEST
_DUMP = 0x300  # NLM_F_ROOT | NLM_F_MATCH
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the rules changed while they were dumped
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE

_GROUP_NFTABLES = 7  # NFNLGRP_NFTABLES in <linux/netfilter/nfnetlink.h>
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1  # <linux/netlink.h>
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER in <asm-generic/socket.h>
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_BUFFER = 1 << 17  # the kernel fills at most 32 KiB of a dump, and cuts a message that does not fit


class InterruptedDumpError(Exception):
    """The rules changed while they were read: start again."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded as it is sent."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def text_attribute(kind: int, value: str) -> bytes:
    """A name as the kernel takes it."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += size + -size % 4


class Connection:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no netfilter netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def generation(self) -> int:
        """The number that grows with every commit in this namespace (NFTA_GEN_ID), 32 bits.

        Raises:
            OSError: EPERM without CAP_NET_ADMIN, EINVAL or EOPNOTSUPP without nf_tables.
        """
        self._send(_GET_GENERATION, b"", flags=_REQUEST)
        found = dict(attributes(next(self._answers())))
        return int.from_bytes(found[1], "big")

    def get(self, kind: int, request: bytes) -> dict[int, bytes] | None:
        """One object by name; None if it is not there."""
        self._send(kind, request, flags=_REQUEST)
        try:
            return dict(attributes(next(self._answers())))
        except FileNotFoundError:
            return None

    def dump(self, kind: int, request: bytes) -> Iterator[dict[int, bytes]]:
        """All objects that the request names.

        Raises:
            InterruptedDumpError: They changed meanwhile.
        """
        self._send(kind, request, flags=_REQUEST | _DUMP)
        for answer in self._answers():
            yield dict(attributes(answer))

    def _send(self, kind: int, request: bytes, *, flags: int) -> None:
        self._sequence += 1
        body = _FAMILY.pack(_NFPROTO_INET, 0, 0) + request
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)

    def _answers(self) -> Iterator[bytes]:
        """The attributes of each answer to the last request, until the kernel says that it is done."""
        while True:
            data = self._socket.recv(_BUFFER)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + size]
                offset += size + -size % 4
                if sequence != self._sequence:
                    continue  # the rest of a dump that was given up
                if flags & _INTERRUPTED:
                    raise InterruptedDumpError
                if kind in {_ERROR, _DONE}:
                    _raise_error(body)
                    return
                yield body[_FAMILY.size :]


def listen_to_commits() -> socket.socket:
    """Open a non-blocking socket that hears of each commit in the network namespace of the calling thread.

    A commit is told object by object, and last by its new generation number (NFT_MSG_NEWGEN). That one alone is let
    through, by a filter of the socket (socket(7), SO_ATTACH_FILTER): a set with 5,000 elements is nobody's business.

    Raises:
        OSError: This kernel has no netfilter netlink.
    """
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    listener = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        code = _only(_NEW_GENERATION)
        program = ctypes.create_string_buffer(code, len(code))
        count = len(code) // _INSTRUCTION.size
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(program)))
        listener.bind((0, 0))  # without an address of its own it is taken for whom notifications are not meant for
        listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_NFTABLES)
    except BaseException:
        listener.close()
        raise
    return listener


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


def _raise_error(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if code == errno.EINTR:
        raise InterruptedDumpError
    if code:
        raise OSError(code, os.strerror(code))
