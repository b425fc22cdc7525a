"""UDP: a datagram that is echoed is an answer."""

import secrets
import selectors
import socket

from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_core.sandbox.icmp import queue_errors
from mnp_lab.transport import errorqueue
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.ports import PortSequence, bind_source

_LARGEST = 2048  # more than any probe is long


class UdpAttempt(ProbeAttempt):
    """One datagram, sent a few times."""

    def __init__(self, probe: Probe, loop: Loop, sock: socket.socket, ports: PortSequence) -> None:
        super().__init__(probe, loop)
        self._sock = sock
        self._ports = ports
        self._nonce = secrets.token_bytes(16)

    def send_first(self) -> None:
        """Send the first datagram."""
        queue_errors(self._sock)
        bind_source(self._sock, self.probe, self._ports)
        self._sock.connect(errorqueue.sockaddr(self.probe.address, self.probe.port or 0))
        self.loop.watch(self._sock, selectors.EVENT_READ, self._answered)
        self.ask()

    def ask(self) -> None:
        """Send the datagram."""
        self._sock.send(self._nonce)

    def _answered(self) -> None:
        for refusal in errorqueue.drain(self._sock):
            self.resolve(refusal.verdict, refusal.detail)
        try:
            if self._sock.recv(_LARGEST) == self._nonce:
                self.resolve(ProbeVerdict.ALLOWED)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error)

    def close(self) -> None:
        """Stop waiting."""
        self.loop.forget(self._sock)
        self._sock.close()


class UdpListener:
    """Echoes."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        self._sock = sock
        self._loop = loop

    def open(self, address: tuple[str, int]) -> None:
        """Listen; raises OSError."""
        self._sock.bind(address)
        self._loop.watch(self._sock, selectors.EVENT_READ, self._echo)

    def _echo(self) -> None:
        try:
            while True:
                data, sender = self._sock.recvfrom(_LARGEST)
                self._sock.sendto(data, sender)
        except OSError:
            return  # nothing is left; or the echo was dropped on its way out, which the sender will notice

    def close(self) -> None:
        """Stop listening."""
        self._loop.forget(self._sock)
        self._sock.close()
