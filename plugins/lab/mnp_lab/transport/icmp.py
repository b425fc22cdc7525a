"""ICMP and ICMPv6: an echo reply is an answer. The kernel of the destination gives it."""

import secrets
import socket

from mnp_core.model import Address
from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_core.sandbox.icmp import HEADER, REPLY, echo_request, receive_replies_only
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.channel import RawChannel
from mnp_lab.transport.errorqueue import Refusal
from mnp_lab.transport.ports import PortSequence


class IcmpChannel(RawChannel):
    """Echo requests and replies of one address."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        super().__init__(sock, loop)
        self._attempts: dict[int, IcmpAttempt] = {}

    def open(self, address: Address, interface_index: int) -> None:
        """Receive echo replies only."""
        receive_replies_only(self._sock, address.version)
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
        if attempt and packet[0] == REPLY[attempt.probe.address.version] and sender == str(attempt.probe.address):
            attempt.replied(packet[HEADER.size :])

    def refused(self, refusal: Refusal) -> None:
        """Deliver an ICMP error to the attempt of the returned request."""
        attempt = self._attempt(refusal.payload)
        if attempt:
            attempt.resolve(refusal.verdict, refusal.detail)

    def _attempt(self, packet: bytes) -> "IcmpAttempt | None":
        if len(packet) < HEADER.size:
            return None
        _, _, _, identifier, _ = HEADER.unpack_from(packet)
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
