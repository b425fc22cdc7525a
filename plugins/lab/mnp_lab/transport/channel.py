"""Raw sockets, one for each address of a pod, shared by all its probes of one protocol.

Unlike a TCP or UDP socket it receives every packet of its protocol, so it demultiplexes the attempts itself. It is not
bound to an interface, because it must receive packets through ``lo`` too; it only sends by one interface.
"""

import contextlib
import selectors
import socket
import struct

from mnp_core.model import Address
from mnp_core.sandbox.icmp import queue_errors
from mnp_lab.transport import errorqueue
from mnp_lab.transport.attempt import Loop

_IP_UNICAST_IF = 50  # <linux/in.h>
_IPV6_UNICAST_IF = 76  # <linux/in6.h>
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
_BUFFER = 4 << 20  # octets: hundreds of small packets that arrive at once, each with the kernel's overhead
_LARGEST = 2048


class RawChannel:
    """Sends and receives packets of one protocol. Subclasses interpret them."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        self._sock = sock
        self._loop = loop

    def open(self, address: Address, interface_index: int) -> None:
        """Take an address and the interface to send by; raises OSError."""
        roomy(self._sock)
        queue_errors(self._sock)
        level, option = (
            (socket.IPPROTO_IP, _IP_UNICAST_IF) if address.version == 4 else (socket.IPPROTO_IPV6, _IPV6_UNICAST_IF)
        )
        self._sock.setsockopt(level, option, struct.pack("!I", interface_index))  # in network byte order: ip(7)
        self._sock.bind((str(address), 0))
        self._loop.watch(self._sock, selectors.EVENT_READ, self._ready)

    def send(self, packet: bytes, address: Address) -> None:
        """Send a packet; raises OSError.

        A pending error of the socket may be about an earlier packet to another address: then it is sent again.
        """
        target = (str(address), 0)
        try:
            self._sock.sendto(packet, target)
        except OSError:
            self._drain()
            self._sock.sendto(packet, target)

    def heard(self, packet: bytes, sender: str) -> None:
        """A packet came in: its protocol's header and payload, and the address that it came from."""
        raise NotImplementedError

    def refused(self, refusal: errorqueue.Refusal) -> None:
        """An ICMP error came in."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket."""
        self._loop.forget(self._sock)
        self._sock.close()

    def _ready(self) -> None:
        self._drain()
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, sender = self._sock.recvfrom(_LARGEST)
                header = (
                    (packet[0] & 15) * 4 if self._sock.family == socket.AF_INET else 0
                )  # IPv4 comes with it, raw(7)
                self.heard(packet[header:], sender[0])

    def _drain(self) -> None:
        for refusal in errorqueue.drain(self._sock):
            self.refused(refusal)
        self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # reading it clears it


def roomy(sock: socket.socket) -> None:
    """Let a socket hold all the packets of a burst."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
