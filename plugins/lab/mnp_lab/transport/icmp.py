"""ICMP and ICMPv6: an echo reply is an answer. The kernel of the destination gives it."""

import secrets
import socket
import struct

from mnp_core.model import Address
from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.channel import RawChannel
from mnp_lab.transport.errorqueue import Refusal
from mnp_lab.transport.ports import PortSequence

_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number (RFC 792, RFC 4443)
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_FILTER = {  # let in echo replies alone: raw(7), RFC 3542 section 3.2
    4: (255, 1, struct.pack("=I", ~(1 << 0) & 0xFFFFFFFF)),  # SOL_RAW, ICMP_FILTER
    6: (
        socket.IPPROTO_ICMPV6,
        1,
        struct.pack("=8I", *(0xFFFFFFFF & ~(1 << 1) if word == 4 else 0xFFFFFFFF for word in range(8))),
    ),
}


def echo_request(version: int, identifier: int, payload: bytes) -> bytes:
    """An echo request; for ICMPv6 the kernel fills in the checksum."""
    kind = _REQUEST[version]
    packet = _HEADER.pack(kind, 0, 0, identifier, 1) + payload
    return packet if version == 6 else _HEADER.pack(kind, 0, checksum(packet), identifier, 1) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class IcmpChannel(RawChannel):
    """Echo requests and replies of one address."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        super().__init__(sock, loop)
        self._attempts: dict[int, IcmpAttempt] = {}

    def open(self, address: Address, interface_index: int) -> None:
        """Receive echo replies only."""
        self._sock.setsockopt(*_FILTER[address.version])
        super().open(address, interface_index)

    def ask(self, attempt: "IcmpAttempt") -> None:
        """Send a request; raises OSError."""
        self._attempts[attempt.identifier] = attempt
        version = attempt.probe.address.version
        self.send(echo_request(version, attempt.identifier, attempt.nonce), attempt.probe.address)

    def forget(self, attempt: "IcmpAttempt") -> None:
        """Stop waiting for a reply."""
        self._attempts.pop(attempt.identifier, None)

    def heard(self, packet: bytes, sender: str) -> None:
        """Match a reply to its request."""
        attempt = self._attempt(packet)
        if attempt and packet[0] == _REPLY[attempt.probe.address.version] and sender == str(attempt.probe.address):
            attempt.replied(packet[_HEADER.size :])

    def refused(self, refusal: Refusal) -> None:
        """Deliver an ICMP error to the attempt of the returned request."""
        attempt = self._attempt(refusal.payload)
        if attempt:
            attempt.resolve(refusal.verdict, refusal.detail)

    def _attempt(self, packet: bytes) -> "IcmpAttempt | None":
        if len(packet) < _HEADER.size:
            return None
        _, _, _, identifier, _ = _HEADER.unpack_from(packet)
        return self._attempts.get(identifier)


class IcmpAttempt(ProbeAttempt):
    """One echo request, sent a few times."""

    def __init__(self, probe: Probe, loop: Loop, channel: IcmpChannel, identifiers: PortSequence) -> None:
        super().__init__(probe, loop)
        self.identifier = identifiers.take()
        self.nonce = secrets.token_bytes(16)
        self._channel = channel

    def ask(self) -> None:
        """Send the request."""
        self._channel.ask(self)

    def replied(self, payload: bytes) -> None:
        """Handle a reply; it counts if it carries the payload of the request."""
        if payload == self.nonce:
            self.resolve(ProbeVerdict.ALLOWED)

    def close(self) -> None:
        """Stop waiting."""
        self._channel.forget(self)
