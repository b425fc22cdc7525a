"""TCP: a connection that comes about is an answer."""

import errno
import os
import selectors
import socket
import struct

from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_core.sandbox.icmp import queue_errors
from mnp_lab.transport import errorqueue
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.ports import PortSequence, bind_source

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: no TIME-WAIT, and conntrack forgets the flow soon
_BACKLOG = 1024


class TcpAttempt(ProbeAttempt):
    """One connection attempt."""

    def __init__(self, probe: Probe, loop: Loop, sock: socket.socket, ports: PortSequence) -> None:
        super().__init__(probe, loop)
        self._sock = sock
        self._ports = ports

    def send_first(self) -> None:
        """Send the SYN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        queue_errors(self._sock)
        bind_source(self._sock, self.probe, self._ports)
        error = self._sock.connect_ex(errorqueue.sockaddr(self.probe.address, self.probe.port or 0))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        self.loop.watch(self._sock, selectors.EVENT_WRITE, self._answered)

    def _answered(self) -> None:
        for refusal in errorqueue.drain(self._sock):
            self.resolve(refusal.verdict, refusal.detail)
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.fail(OSError(error, os.strerror(error)))
        else:
            self.resolve(ProbeVerdict.ALLOWED)

    def close(self) -> None:
        """Reset the connection."""
        self.loop.forget(self._sock)
        self._sock.close()


class TcpListener:
    """Accepts, and hangs up."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        self._sock = sock
        self._loop = loop

    def open(self, address: tuple[str, int]) -> None:
        """Listen; raises OSError."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections in TIME-WAIT are no reason
        self._sock.bind(address)
        self._sock.listen(_BACKLOG)
        self._loop.watch(self._sock, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            while True:
                self._sock.accept()[0].close()
        except OSError:
            return  # the queue is empty, or the client has gone

    def close(self) -> None:
        """Stop listening."""
        self._loop.forget(self._sock)
        self._sock.close()
