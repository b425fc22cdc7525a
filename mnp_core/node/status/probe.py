"""One real packet from a pod to another: a TCP SYN, a UDP datagram, an SCTP INIT or an ICMP echo request.

It leaves by the pod's own interface with its own address, from a socket in the pod's network namespace. Whether it is
judged as any other depends on nothing of ours: no mark, no forged header. A connection that comes about is reset.
"""

import errno
import os
import secrets
import select
import socket
import struct
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Final

import structlog

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.closing import Closing
from mnp_core.errors import SandboxError, UnsupportedError
from mnp_core.model import Address, Protocol
from mnp_core.node.status.fate import ProbeAnswer
from mnp_core.policy.ends import Flow
from mnp_core.sandbox.icmp import (
    HEADER,
    REPLY,
    ErrorKind,
    echo_request,
    queue_errors,
    queued_errors,
    receive_replies_only,
)
from mnp_core.sandbox.pool import SandboxPool

ANSWER_SECONDS: Final = 0.8  # less than the second after which TCP sends again (RFC 6298)
_OPEN_SECONDS: Final = 5.0  # rules may be written in this pod just now
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: no TIME-WAIT, and conntrack forgets the flow soon
_SIZE: Final = 2048  # bytes of an answer
_NONCE: Final = 16  # bytes in an echo request
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SOCKETS: Final = {
    Protocol.TCP: (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    Protocol.UDP: (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    Protocol.SCTP: (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_ECHO: Final = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_REMEDIES: Final = {
    errno.EADDRNOTAVAIL: "the interface does not have the address that the pod's network-status tells",
    errno.ENODEV: "there is no such interface in the pod's network namespace",
    errno.ENETUNREACH: "the pod has no route to it on this interface",
    errno.EACCES: "it is no address of one host",
    errno.EINVAL: "it is no address of one host",
}
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)
_BY_ERROR: Final = {
    ErrorKind.REFUSED: ProbeAnswer.REFUSED,
    ErrorKind.PROHIBITED: ProbeAnswer.REJECTED,
    ErrorKind.OTHER: ProbeAnswer.UNREACHABLE,
}


@frozen(kw_only=True)
class Probe:
    """The packet.

    Attributes:
        source: An address of the pod.
        interface: The pod's, which has it.
        destination: Any unicast address.
        flow: Protocol and destination port.
    """

    source: Address
    interface: str
    destination: Address
    flow: Flow


@frozen(kw_only=True)
class ProbeResult:
    """What came back."""

    probe: Probe
    answer: ProbeAnswer
    detail: str = ""

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {"source": str(self.probe.source), "answer": self.answer.value, "detail": self.detail}


class Sent(Closing):
    """A packet under way, with its socket."""

    def __init__(self, probe: Probe) -> None:
        """Send it from the network namespace of the calling thread.

        Raises:
            UnsupportedError: This process or kernel lacks something for that protocol.
            OSError: It could not be sent.
        """
        self._probe = probe
        self._nonce = secrets.token_bytes(_NONCE)
        self._identifier = secrets.randbelow(1 << 16)
        self._socket = _opened(probe)
        try:
            self._send()
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Let go of it; a connection is reset."""
        self._socket.close()

    def result(self, seconds: float = ANSWER_SECONDS) -> ProbeResult:
        """Wait for an answer."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT if self._connects else select.POLLIN)
        while (left := end - time.monotonic()) > 0 and poll.poll(left * 1000):
            try:
                found = self._look()
            except OSError as error:
                found = _failure(self._probe, error)
            if found is not None:
                return found
        return ProbeResult(probe=self._probe, answer=ProbeAnswer.SILENT)

    @property
    def _connects(self) -> bool:
        return self._probe.flow.protocol in {Protocol.TCP, Protocol.SCTP}

    def _send(self) -> None:
        probe, port = self._probe, self._probe.flow.port or 0
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(probe.interface))
        queue_errors(self._socket)
        self._socket.bind((str(probe.source), 0))
        target = str(probe.destination), port
        if self._connects:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            code = self._socket.connect_ex(target)
            if code not in {0, errno.EINPROGRESS}:
                raise OSError(code, os.strerror(code))
        elif probe.flow.protocol is Protocol.UDP:
            self._socket.connect(target)
            self._socket.send(b"")
        else:
            receive_replies_only(self._socket, probe.source.version)
            self._socket.sendto(echo_request(probe.source.version, self._identifier, self._nonce), target)

    def _look(self) -> ProbeResult | None:
        for error in queued_errors(self._socket):
            return self._result(_BY_ERROR[error.kind], f"ICMP type {error.type} code {error.code}")
        if self._connects:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return _failure(self._probe, OSError(code, os.strerror(code))) if code else self._result()
        packet = self._socket.recv(_SIZE, socket.MSG_DONTWAIT)
        return self._result() if self._probe.flow.protocol is Protocol.UDP or self._is_reply(packet) else None

    def _result(self, answer: ProbeAnswer = ProbeAnswer.ANSWERED, detail: str = "") -> ProbeResult:
        return ProbeResult(probe=self._probe, answer=answer, detail=detail)

    def _is_reply(self, packet: bytes) -> bool:
        """Whether it is the reply to our request: raw sockets see those of others, with the header of IPv4."""
        version = self._probe.source.version
        reply = packet[4 * (packet[0] & 0xF) :] if version == 4 and packet else packet
        if len(reply) < HEADER.size:
            return False
        kind, _, _, identifier, _ = HEADER.unpack_from(reply)
        return (kind, identifier, reply[HEADER.size :]) == (REPLY[version], self._identifier, self._nonce)


def _opened(probe: Probe) -> socket.socket:
    protocol = probe.flow.protocol
    kind, number = _SOCKETS.get(protocol, (socket.SOCK_RAW, _ECHO[probe.source.version]))
    try:
        return socket.socket(_FAMILIES[probe.source.version], kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, number)
    except PermissionError as error:
        raise UnsupportedError(
            "an ICMP echo request needs CAP_NET_RAW, which this agent lacks: probe a TCP or UDP port, or add the "
            "capability to the DaemonSet"
        ) from error
    except OSError as error:
        raise UnsupportedError(
            f"this kernel cannot send {protocol.name} ({error.strerror}): probe TCP or UDP"
        ) from error


def _failure(probe: Probe, error: OSError) -> ProbeResult:
    """An error about a packet that has left the socket."""
    match error.errno:
        case errno.ECONNREFUSED:
            return ProbeResult(probe=probe, answer=ProbeAnswer.REFUSED)
        case errno.EACCES:
            return ProbeResult(probe=probe, answer=ProbeAnswer.REJECTED)
        case _:
            return ProbeResult(probe=probe, answer=ProbeAnswer.UNREACHABLE, detail=error.strerror or str(error))


def _unsent(probe: Probe, error: OSError) -> ProbeResult:
    """An error of sending."""
    if error.errno == errno.EPERM:  # of netfilter's output hook for a dropped packet
        return ProbeResult(probe=probe, answer=ProbeAnswer.DROPPED)
    text, remedy = error.strerror or str(error), _REMEDIES.get(error.errno or 0, "")
    return ProbeResult(probe=probe, answer=ProbeAnswer.NOT_SENT, detail=f"{text}: {remedy}" if remedy else text)


def send_probe(pool: SandboxPool, sandbox: Sandbox, probe: Probe) -> ProbeResult:
    """Send one packet from a sandbox, wait for its answer, and log it.

    The sandbox's turn ends with the sending: its rules need not wait for the answer.

    Raises:
        MnpError: The packet cannot be made here, or the sandbox cannot be entered, or not in time.
    """
    future = pool.submit(sandbox, partial(Sent, probe))
    try:
        with future.result(_OPEN_SECONDS) as sent:
            result = sent.result()
    except FutureTimeoutError as error:
        future.cancel()
        future.add_done_callback(_let_go)
        raise SandboxError(f"no turn in the pod's network namespace within {_OPEN_SECONDS:g} s: try again") from error
    except OSError as error:
        result = _unsent(probe, error)
    _log.info(
        "probe packet sent",
        source=str(probe.source),
        interface=probe.interface,
        destination=str(probe.destination),
        flow=str(probe.flow),
        answer=result.answer.value,
    )
    return result


def _let_go(future: "Future[Sent]") -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
