"""ICMP errors about packets of a socket: the verdict that each stands for.

See IP_RECVERR in ip(7) and IPV6_RECVERR in ipv6(7). Without it an administrative prohibition looks like a missing
host.
"""

import socket
import struct
from collections.abc import Iterator

from attrs import frozen

from mnp_core.model import Address
from mnp_core.offline.probe import ProbeVerdict

IP_RECVERR = 11  # <linux/in.h>; Python has no name for it before 3.14
IPV6_RECVERR = 25  # <linux/in6.h>
_MSG_ERRQUEUE = 0x2000  # <linux/socket.h>
_EXTENDED_ERROR = struct.Struct("=IBBBxII")  # struct sock_extended_err in <linux/errqueue.h>
_ORIGIN_ICMP, _ORIGIN_ICMPV6 = 2, 3
_PORT_UNREACHABLE = {(_ORIGIN_ICMP, 3, 3), (_ORIGIN_ICMPV6, 1, 4), (_ORIGIN_ICMP, 3, 2)}  # 3/2: the host has no SCTP
_PROHIBITED = {(_ORIGIN_ICMP, 3, code) for code in (9, 10, 13)} | {(_ORIGIN_ICMPV6, 1, code) for code in (1, 5, 6)}


@frozen(kw_only=True)
class Refusal:
    """An ICMP error.

    Attributes:
        verdict: The result of the probe.
        detail: Description.
        payload: The returned part of the packet, from the transport header on.
    """

    verdict: ProbeVerdict
    detail: str
    payload: bytes


def enable(sock: socket.socket) -> None:
    """Have ICMP errors put into the socket's error queue."""
    level, option = (
        (socket.IPPROTO_IP, IP_RECVERR) if sock.family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_RECVERR)
    )
    sock.setsockopt(level, option, 1)


def drain(sock: socket.socket) -> Iterator[Refusal]:
    """Drain the error queue."""
    while True:
        try:
            payload, ancillary, _, _ = sock.recvmsg(128, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        for level, kind, data in ancillary:
            if (level, kind) in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
                yield from _refusals(data, payload)


def _refusals(data: bytes, payload: bytes) -> Iterator[Refusal]:
    _, origin, kind, code, _, _ = _EXTENDED_ERROR.unpack_from(data)
    message = origin, kind, code
    if message in _PORT_UNREACHABLE:
        yield Refusal(verdict=ProbeVerdict.REFUSED, detail="", payload=payload)
    elif message in _PROHIBITED:
        yield Refusal(verdict=ProbeVerdict.DENIED, detail="rejected: administratively prohibited", payload=payload)
    elif origin in {_ORIGIN_ICMP, _ORIGIN_ICMPV6}:
        yield Refusal(verdict=ProbeVerdict.DENIED, detail=f"ICMP type {kind} code {code}", payload=payload)


def sockaddr(address: Address, port: int) -> tuple[str, int]:
    """An address as Python's sockets take it."""
    return str(address), port
