"""ICMP errors about packets of a socket: the verdict that each stands for."""

import socket
from collections.abc import Iterator

from attrs import frozen

from mnp_core.model import Address
from mnp_core.offline.probe import ProbeVerdict
from mnp_core.sandbox.icmp import ErrorKind, IcmpError, queued_errors


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


def drain(sock: socket.socket) -> Iterator[Refusal]:
    """Drain the error queue."""
    return map(_refusal, queued_errors(sock))


def _refusal(error: IcmpError) -> Refusal:
    match error.kind:
        case ErrorKind.REFUSED:
            return Refusal(verdict=ProbeVerdict.REFUSED, detail="", payload=error.payload)
        case ErrorKind.PROHIBITED:
            detail = "rejected: administratively prohibited"
        case _:
            detail = f"ICMP type {error.type} code {error.code}"
    return Refusal(verdict=ProbeVerdict.DENIED, detail=detail, payload=error.payload)


def sockaddr(address: Address, port: int) -> tuple[str, int]:
    """An address as Python's sockets take it."""
    return str(address), port
