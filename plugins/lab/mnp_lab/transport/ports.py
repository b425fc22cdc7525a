"""Source ports and ICMP identifiers without recent use.

Conntrack remembers a flow for minutes. A probe from the source port of an earlier one would be taken for a part of
that flow and pass as established (S40), against the present policy.
"""

import errno
import secrets
import socket

from mnp_core.offline.probe import Probe
from mnp_lab.transport.attempt import SENDING_TRIES

_FIRST, _LAST = 20000, 65535


class PortSequence:
    """Numbers in turn, from a random start that does not depend on the seed of `random`."""

    def __init__(self) -> None:
        self._next = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)

    def take(self) -> int:
        """The number that was used longest ago."""
        number = self._next
        self._next = number + 1 if number < _LAST else _FIRST
        return number


def bind_source(sock: socket.socket, probe: Probe, ports: PortSequence) -> None:
    """Let a socket's packets leave by the probe's interface, with its address and a fresh port.

    A probe of a pod to itself goes through ``lo`` (S44), where a socket bound to another interface receives nothing.
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
