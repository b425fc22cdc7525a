"""Source ports and ICMP identifiers that were not used lately.

Connection tracking remembers a flow for minutes. A probe that came from a port which a probe before it has used would
be taken for a part of that flow and pass as established (S40), whatever the policy says by now.
"""

import errno
import secrets
import socket

from mnp_core.offline.probe import Probe
from mnp_lab.transport.attempt import SENDING_TRIES

_FIRST, _LAST = 20000, 65535


class PortSequence:
    """Numbers in turn, from a random start, so that the next sequence begins elsewhere, whoever seeds `random`."""

    def __init__(self) -> None:
        self._next = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)

    def take(self) -> int:
        """The number that was used longest ago."""
        number = self._next
        self._next = number + 1 if number < _LAST else _FIRST
        return number


def bind_source(sock: socket.socket, probe: Probe, ports: PortSequence) -> None:
    """Let a socket's packets leave by the probe's interface, with its address and a fresh port.

    A pod that asks itself does so through ``lo`` (S44), where a socket bound to another interface would hear nothing.
    """
    if probe.source != probe.destination:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, probe.source_interface.encode())
    for _ in range(SENDING_TRIES):
        try:
            sock.bind((str(probe.source_address), ports.take()))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, "no source port is free")
