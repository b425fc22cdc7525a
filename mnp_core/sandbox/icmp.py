"""ICMP in sockets: echo requests, and the errors that come back about a socket's packets.

See IP_RECVERR in ip(7) and IPV6_RECVERR in ipv6(7). Without it an administrative prohibition looks like a missing
host.
"""

import socket
import struct
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from mnp_core.classes import frozen
from mnp_core.model import Family

HEADER: Final = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443)."""

REPLY: Final = {4: 0, 6: 129}
"""The type of an echo reply."""

_REQUEST = {4: 8, 6: 128}
_FILTER = {  # let in echo replies alone: raw(7), RFC 3542 section 3.2
    4: (255, 1, struct.pack("=I", ~(1 << 0) & 0xFFFFFFFF)),  # SOL_RAW, ICMP_FILTER
    6: (
        socket.IPPROTO_ICMPV6,
        1,
        struct.pack("=8I", *(0xFFFFFFFF & ~(1 << 1) if word == 4 else 0xFFFFFFFF for word in range(8))),
    ),
}
IP_RECVERR = 11  # <linux/in.h>; Python has no name for it before 3.14
IPV6_RECVERR = 25  # <linux/in6.h>
_MSG_ERRQUEUE = 0x2000  # <linux/socket.h>
_EXTENDED_ERROR = struct.Struct("=IBBBxII")  # struct sock_extended_err in <linux/errqueue.h>
_ORIGIN_ICMP, _ORIGIN_ICMPV6 = 2, 3
_PORT_UNREACHABLE = {(_ORIGIN_ICMP, 3, 3), (_ORIGIN_ICMPV6, 1, 4), (_ORIGIN_ICMP, 3, 2)}  # 3/2: the host has no SCTP
_PROHIBITED = {(_ORIGIN_ICMP, 3, code) for code in (9, 10, 13)} | {(_ORIGIN_ICMPV6, 1, code) for code in (1, 5, 6)}


def echo_request(version: int, identifier: int, payload: bytes) -> bytes:
    """An echo request; for ICMPv6 the kernel fills in the checksum."""
    kind = _REQUEST[version]
    packet = HEADER.pack(kind, 0, 0, identifier, 1) + payload
    return packet if version == 6 else HEADER.pack(kind, 0, checksum(packet), identifier, 1) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def receive_replies_only(sock: socket.socket, family: Family) -> None:
    """Let a raw socket receive echo replies alone."""
    sock.setsockopt(*_FILTER[family])


class ErrorKind(Enum):
    """The meaning of an ICMP error."""

    REFUSED = auto()  # the packet arrived at a closed port
    PROHIBITED = auto()  # a packet filter rejected it
    OTHER = auto()


@frozen(kw_only=True)
class IcmpError:
    """An ICMP error about a packet of a socket.

    Attributes:
        kind: Its meaning.
        type: ICMP type.
        code: ICMP code.
        payload: The returned part of the packet, from the transport header on.
    """

    kind: ErrorKind
    type: int
    code: int
    payload: bytes


def queue_errors(sock: socket.socket) -> None:
    """Have ICMP errors put into the socket's error queue."""
    level, option = (
        (socket.IPPROTO_IP, IP_RECVERR) if sock.family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_RECVERR)
    )
    sock.setsockopt(level, option, 1)


def queued_errors(sock: socket.socket) -> Iterator[IcmpError]:
    """Drain the error queue."""
    while True:
        try:
            payload, ancillary, _, _ = sock.recvmsg(128, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        for level, kind, data in ancillary:
            if (level, kind) in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
                yield from _errors(data, payload)


def _errors(data: bytes, payload: bytes) -> Iterator[IcmpError]:
    _, origin, kind, code, _, _ = _EXTENDED_ERROR.unpack_from(data)
    message = origin, kind, code
    if message in _PORT_UNREACHABLE:
        meaning = ErrorKind.REFUSED
    elif message in _PROHIBITED:
        meaning = ErrorKind.PROHIBITED
    elif origin in {_ORIGIN_ICMP, _ORIGIN_ICMPV6}:
        meaning = ErrorKind.OTHER
    else:
        return
    yield IcmpError(kind=meaning, type=kind, code=code, payload=payload)
