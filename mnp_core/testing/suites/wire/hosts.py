"""Sends first packets between network namespaces and sees which arrive: the kernel's answer, hundreds at a time.

Raw sockets receive a packet right after the input hook, so they see exactly the packets that the filter accepts, and
their own packets pass the output hook. Delivery between namespaces of one machine takes microseconds; a burst waits
until the expected packets have arrived, then a moment more for unexpected ones, and even later ones are found at the
next burst.
"""

import select
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.sending import drops_expected
from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.packets import NUMBERS, identify, segment

SETTLE = 0.02  # seconds for packets that should not arrive to do so nevertheless
PATIENCE = 0.15  # seconds for packets that should arrive
LAST_CHANCE = 1.5  # the same, for those that did not: a slow machine is not a wrong answer
BUFFER = 8 << 20  # bytes, so that a burst is not lost before it is read
SOURCE_PORTS = range(2000, 20000)  # the lab's prober takes the others, for flows that stay established for a while


class Probe(NamedTuple):
    """One question: whether the first packet of a connection gets there."""

    source: End
    destination: End
    protocol: str
    port: int

    def __str__(self) -> str:
        start, end = (f"{end.pod or 'outside'} {end.interface} {end.address}" for end in self[:2])
        return f"{start} -> {end} {self.protocol}/{self.port}"


class RawHost:
    """Raw sockets of one namespace, for both families and all protocols."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sockets, self._indices = run_inside(sandbox, _open)

    @property
    def sockets(self) -> Mapping[tuple[int, str], socket.socket]:
        return self._sockets

    def send(self, probe: Probe, ports: tuple[int, int], ident: int) -> None:
        """Send one packet out of the probe's interface; a filter that refuses it at once has answered, too."""
        source, destination = probe.source.address, probe.destination.address
        data = segment(probe.protocol, source, destination, ports, ident)
        to_itself = probe.source.pod is not None and probe.source.pod == probe.destination.pod
        index = 0 if to_itself else self._indices[probe.source.interface]  # S44: through lo, as the routes say
        raw = self._sockets[6 if ":" in source else 4, probe.protocol]
        with drops_expected():
            raw.sendmsg([data], [_from(source, index)], 0, (destination, 0))

    def close(self) -> None:
        for raw in self._sockets.values():
            raw.close()


_IP_PKTINFO = 8  # <linux/in.h>; the socket module has no name for it


def _from(source: str, index: int) -> tuple[int, int, bytes]:
    """The control message that chooses source address and interface (ip(7), ipv6(7))."""
    if ":" in source:
        info = struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, source), index)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info
    return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("@I4s4x", index, socket.inet_aton(source))


def _open() -> tuple[dict[tuple[int, str], socket.socket], dict[str, int]]:
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    sockets = {}
    for family, protocol in ((f, p) for f in families for p in NUMBERS):
        raw = socket.socket(families[family], socket.SOCK_RAW | socket.SOCK_NONBLOCK, NUMBERS[protocol])
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        sockets[family, protocol] = raw
    return sockets, {name: index for index, name in socket.if_nameindex()}


_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>


class RawHosts:
    """All namespaces that packets go between, by the name of their pod (None: outside of the cluster)."""

    def __init__(self, sandboxes: Mapping[str | None, Sandbox]) -> None:
        self._hosts: dict[str | None, RawHost] = {}
        self._poll = select.epoll()
        self._readers: dict[int, tuple[str | None, int, str, socket.socket]] = {}
        self._ident = 0
        self._stopped: dict[int, Probe] = {}  # packets of earlier bursts that must not arrive, not even late
        for name, sandbox in sandboxes.items():
            self.add(name, sandbox)

    def add(self, name: str | None, sandbox: Sandbox) -> None:
        """Put a host into one more namespace."""
        host = self._hosts[name] = RawHost(sandbox)
        for (family, protocol), raw in host.sockets.items():
            self._readers[raw.fileno()] = (name, family, protocol, raw)
            self._poll.register(raw, select.EPOLLIN)

    def remove(self, name: str | None) -> None:
        """Take a host out of its namespace; a closed socket leaves the poll by itself."""
        host = self._hosts.pop(name)
        for raw in host.sockets.values():
            del self._readers[raw.fileno()]
        host.close()

    def wrong(self, expected: Mapping[Probe, bool]) -> dict[Probe, bool]:
        """Send every probe; return those with an unexpected result, each with that result.

        A packet that was expected and did not come gets a second chance, with more time. One that came although it
        should not is wrong at once, also if it came too late for its own burst.
        """
        arrived = self._burst(expected, PATIENCE)
        missing = {probe: True for probe, reaches in expected.items() if reaches and probe not in arrived}
        if missing:
            arrived |= self._burst(missing, LAST_CHANCE)
        return {p: p in arrived for p in {*expected, *arrived} if (p in arrived) is not expected.get(p, False)}

    def _burst(self, expected: Mapping[Probe, bool], patience: float) -> set[Probe]:
        sent, arrived = {}, set()
        for probe in expected:
            self._ident += 1
            sent[self._ident] = probe
            source_port = SOURCE_PORTS[self._ident % len(SOURCE_PORTS)]
            self._hosts[probe.source.pod].send(probe, (source_port, probe.port), self._ident)
            arrived |= self._receive(sent, 0.0)
        until, awaited = time.monotonic() + patience, {probe for probe, reaches in expected.items() if reaches}
        while awaited - arrived and (left := until - time.monotonic()) > 0:
            arrived |= self._receive(sent, left)
        settled = time.monotonic() + SETTLE
        while (left := settled - time.monotonic()) > 0:
            arrived |= self._receive(sent, left)
        self._stopped |= {ident: probe for ident, probe in sent.items() if not expected[probe]}
        return arrived

    def _receive(self, sent: Mapping[int, Probe], timeout: float) -> set[Probe]:
        """Well-formed packets that arrive until the time is up."""
        arrived = set()
        for fd, _ in self._poll.poll(timeout):
            name, family, protocol, raw = self._readers[fd]
            for data in _read(raw):
                body = data[(data[0] & 0x0F) * 4 :] if family == 4 else data
                ident = identify(protocol, body)
                probe = sent.get(ident) or self._stopped.get(ident) if ident is not None else None
                if probe is not None and (probe.destination.pod, probe.protocol) == (name, protocol):
                    arrived.add(probe)
        return arrived

    def close(self) -> None:
        for name in [*self._hosts]:
            self.remove(name)
        self._poll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(raw: socket.socket) -> Iterable[bytes]:
    while True:
        try:
            yield raw.recv(256)
        except BlockingIOError:
            return
