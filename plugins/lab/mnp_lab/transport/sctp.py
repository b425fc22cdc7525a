"""SCTP: an INIT ACK is an answer. Spoken through raw sockets, so that it works on kernels that lack SCTP.

The packets are those of RFC 9260, with checksum and verification tags, which conntrack checks: a packet that is
invalid for it would not show the policy's verdict.
"""

import contextlib
import secrets
import socket
import struct
from enum import IntEnum

from attrs import frozen

from mnp_core.model import Address, parse_address
from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.channel import RawChannel
from mnp_lab.transport.errorqueue import Refusal
from mnp_lab.transport.ports import PortSequence

IPPROTO_SCTP = 132
_COMMON = struct.Struct("!HHII")  # source port, destination port, verification tag, checksum
_CHUNK = struct.Struct("!BBH")  # type, flags, length
_INIT = struct.Struct("!IIHHI")  # initiate tag, window, outbound streams, inbound streams, initial TSN
_COOKIE = struct.pack("!HH4s", 7, 8, b"mnp!")  # the State Cookie parameter, which an INIT ACK must carry


class Chunk(IntEnum):
    """The chunk types of section 3.2 that a probe needs."""

    INIT = 1
    INIT_ACK = 2
    ABORT = 6


@frozen(kw_only=True)
class Message:
    """An SCTP packet with one chunk.

    Attributes:
        source: Source port.
        destination: Destination port.
        tag: Verification tag: 0 in an INIT, else the receiver's initiate tag.
        chunk: Type of the chunk.
        initiate: Initiate tag of an INIT or INIT ACK; 0 in others.
    """

    source: int
    destination: int
    tag: int
    chunk: int
    initiate: int = 0

    def pack(self) -> bytes:
        """As it is on the wire."""
        body = b"" if self.chunk == Chunk.ABORT else _INIT.pack(self.initiate, 65536, 1, 1, self.initiate)
        body += _COOKIE if self.chunk == Chunk.INIT_ACK else b""
        chunk = _CHUNK.pack(self.chunk, 0, _CHUNK.size + len(body)) + body
        return _summed(_COMMON.pack(self.source, self.destination, self.tag, 0) + chunk)

    @classmethod
    def unpack(cls, packet: bytes) -> "Message | None":
        """Read a packet; None if it is damaged or cut short."""
        if len(packet) < _COMMON.size + _CHUNK.size or _summed(packet) != packet:
            return None
        source, destination, tag, _ = _COMMON.unpack_from(packet)
        chunk, body = packet[_COMMON.size], packet[_COMMON.size + _CHUNK.size :]
        has_tag = chunk in (Chunk.INIT, Chunk.INIT_ACK) and len(body) >= _INIT.size
        initiate = _INIT.unpack_from(body)[0] if has_tag else 0
        return cls(source=source, destination=destination, tag=tag, chunk=chunk, initiate=initiate)


def _summed(packet: bytes) -> bytes:
    """The packet with the right checksum, which goes least significant octet first, unlike everything else."""
    return packet[:8] + struct.pack("<I", crc32c(packet[:8] + bytes(4) + packet[12:])) + packet[12:]


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260, appendix A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


class SctpChannel(RawChannel):
    """All SCTP of one address: requests and answers of its pod."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        super().__init__(sock, loop)
        self._attempts: dict[int, SctpAttempt] = {}
        self.served: set[int] = set()

    def ask(self, attempt: "SctpAttempt") -> None:
        """Send an INIT; raises OSError."""
        self._attempts[attempt.source_port] = attempt
        self.send(attempt.question.pack(), attempt.probe.address)

    def forget(self, attempt: "SctpAttempt") -> None:
        """Stop waiting for an answer."""
        self._attempts.pop(attempt.source_port, None)

    def heard(self, packet: bytes, sender: str) -> None:
        """Answer an INIT; deliver an answer to its attempt."""
        message = Message.unpack(packet)
        if message is None:
            return
        if message.chunk == Chunk.INIT:
            self._serve(message, parse_address(sender))
        elif message.destination in self._attempts:
            self._attempts[message.destination].answered(message, sender)

    def refused(self, refusal: Refusal) -> None:
        """Deliver an ICMP error to the attempt of the returned INIT."""
        if len(refusal.payload) < 4:
            return
        source, destination = struct.unpack_from("!HH", refusal.payload)
        attempt = self._attempts.get(source)
        if attempt and attempt.probe.port == destination:
            attempt.resolve(refusal.verdict, refusal.detail)

    def _serve(self, asked: Message, sender: Address) -> None:
        served = asked.destination in self.served
        answer = Message(
            source=asked.destination,
            destination=asked.source,
            tag=asked.initiate,
            chunk=Chunk.INIT_ACK if served else Chunk.ABORT,
            initiate=_tag() if served else 0,
        )
        with contextlib.suppress(OSError):  # dropped on its way out: the client notices
            self.send(answer.pack(), sender)


class SctpAttempt(ProbeAttempt):
    """One INIT, sent a few times."""

    def __init__(self, probe: Probe, loop: Loop, channel: SctpChannel, ports: PortSequence) -> None:
        super().__init__(probe, loop)
        self.source_port = ports.take()
        self.question = Message(
            source=self.source_port, destination=probe.port or 0, tag=0, chunk=Chunk.INIT, initiate=_tag()
        )
        self._channel = channel

    def ask(self) -> None:
        """Send the INIT."""
        self._channel.ask(self)

    def answered(self, message: Message, sender: str) -> None:
        """Handle an answer; it counts if source and verification tag match."""
        if (sender, message.source, message.tag) != (str(self.probe.address), self.probe.port, self.question.initiate):
            return
        if message.chunk == Chunk.INIT_ACK:
            self.resolve(ProbeVerdict.ALLOWED)
            self._hang_up(message.initiate)
        elif message.chunk == Chunk.ABORT:
            self.resolve(ProbeVerdict.REFUSED)

    def _hang_up(self, tag: int) -> None:
        """Let both ends and conntrack forget the association."""
        abort = Message(source=self.source_port, destination=self.probe.port or 0, tag=tag, chunk=Chunk.ABORT)
        with contextlib.suppress(OSError):  # it is only good manners
            self._channel.send(abort.pack(), self.probe.address)

    def close(self) -> None:
        """Stop waiting."""
        self._channel.forget(self)


def _tag() -> int:
    return secrets.randbelow(0xFFFFFFFF) + 1  # never 0
