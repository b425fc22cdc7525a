"""Conversations between interfaces: a question out of one, the answer back out of the other.

Where the differential suites send single packets, these are sockets as programs use them, so that the way back through
connection tracking is part of every answer (S40). Sockets are bound to their interface: networks may use the same
addresses, and a VRF has its own routes.
"""

import selectors
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count, cycle
from typing import NamedTuple

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.closing import Closing
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.sending import drops_expected

PATIENCE = 1.0  # seconds for answers that should come
LAST_CHANCE = 6.0  # the same, for those that did not: an emulated machine may be slow, and ARP is lost at times
SETTLE = 0.2  # seconds for answers that should not come
PORTS = {"TCP": (80, 81), "UDP": (53, 54), "SCTP": (80,)}
LARGE = 54  # requests to this UDP port do not fit into a packet (S46)

_ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}  # protocol, request, reply


@frozen
class Place:
    """An interface with one of its addresses; `name` is the pod's."""

    name: str
    sandbox: Sandbox
    interface: str
    address: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4

    def __str__(self) -> str:
        return f"{self.name}:{self.interface}/{self.address}"


class Question(NamedTuple):
    """Whether the source gets an answer; ICMP (echo, of either family) has no port."""

    source: Place
    destination: Place
    protocol: str
    port: int | None

    def __str__(self) -> str:
        port = "" if self.port is None else f"/{self.port}"
        return f"{self.source} -> {self.destination} {self.protocol}{port}"


def questions(places: Sequence[Place]) -> list[Question]:
    """Everything that can be asked between sandboxes within an address family; interfaces of one name are on one
    network, or reach each other."""
    topics = [*((protocol, port) for protocol, ports in PORTS.items() for port in ports), ("ICMP", None)]
    pairs = [(s, d) for s in places for d in places if s.name != d.name and _can_meet(s, d)]
    return [Question(*pair, *topic) for pair in pairs for topic in topics]


def _can_meet(one: Place, other: Place) -> bool:
    return (one.interface, one.version) == (other.interface, other.version)


class Conversations(Closing):
    """Listens on all ports of all places, and asks."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._cleanup = ExitStack()
        self._selector = self._cleanup.enter_context(selectors.DefaultSelector())
        for place in places:
            for server in run_inside(place.sandbox, lambda place=place: _listen(place)):
                self._cleanup.enter_context(server)
                serve = _echo if server.type == socket.SOCK_DGRAM else _accept
                self._selector.register(server, selectors.EVENT_READ, serve)

    def wrong(self, expected: Mapping[Question, bool]) -> dict[Question, bool]:
        """Ask everything; return unexpected results. A missing answer gets a second chance."""
        answered = self._ask(expected, PATIENCE)
        missing = {question: True for question, wanted in expected.items() if wanted and question not in answered}
        if missing:
            answered |= self._ask(missing, LAST_CHANCE)
        return {q: q in answered for q, wanted in expected.items() if (q in answered) is not wanted}

    def _ask(self, expected: Mapping[Question, bool], patience: float) -> set[Question]:
        wanted, answered = {question for question, wanted in expected.items() if wanted}, set()
        asked = _begin(expected)
        try:
            for client, (question, _) in asked.items():
                self._selector.register(client, _EVENTS[question.protocol])
            until = time.monotonic() + patience
            while wanted - answered and (left := until - time.monotonic()) > 0:
                answered |= self._turn(left, asked)
            until = time.monotonic() + SETTLE
            while (left := until - time.monotonic()) > 0:
                answered |= self._turn(left, asked)
        finally:
            for client in asked:
                self._selector.unregister(client)
                client.close()
        return answered

    def _turn(self, timeout: float, asked: "Asked") -> set[Question]:
        """Serve requests; return the questions answered meanwhile."""
        answered = set()
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                key.data(key.fileobj)
                continue
            question, hears = asked[key.fileobj]
            if hears(key.fileobj):
                answered.add(question)
                self._selector.modify(key.fileobj, 0)
        return answered

    def close(self) -> None:
        self._cleanup.close()


# --- answering --------------------------------------------------------------------------------------------------


def _listen(place: Place) -> list[socket.socket]:
    servers = []
    for protocol, ports in PORTS.items():
        for port in ports:
            server = _open(place, protocol, port)
            if protocol != "UDP":
                server.listen(64)
            servers.append(server)
    return servers


def _accept(server: socket.socket) -> None:
    server.accept()[0].close()


def _echo(server: socket.socket) -> None:
    data, address = server.recvfrom(4096)
    with drops_expected():  # dropped in output
        server.sendto(data, address)


# --- asking -----------------------------------------------------------------------------------------------------

Hears = Callable[[socket.socket], bool]
Asked = dict[socket.socket, tuple[Question, Hears]]
"""Sockets that have asked something, with what tells whether there is an answer."""

_EVENTS = {
    "TCP": selectors.EVENT_WRITE,
    "SCTP": selectors.EVENT_WRITE,
    "UDP": selectors.EVENT_READ,
    "ICMP": selectors.EVENT_READ,
}
_idents = count(1)
_ports = cycle(range(20000, 60000))  # else the kernel's choice may give two networks of equal addresses one flow


def _begin(questions: Iterable[Question]) -> Asked:
    """Ask everything; what the kernel refuses to send, as it is dropped in output, is not among what was asked."""
    by_sandbox = defaultdict(list)
    for question in questions:
        by_sandbox[question.source.sandbox].append(question)
    asked: Asked = {}
    for sandbox, theirs in by_sandbox.items():
        run_inside(sandbox, lambda theirs=theirs: [_begin_one(question, asked) for question in theirs])
    return asked


def _begin_one(question: Question, asked: Asked) -> None:
    client = _open(question.source, question.protocol, 0 if question.protocol == "ICMP" else next(_ports))
    try:
        asked[client] = question, _say(client, question)
    except PermissionError:
        client.close()


def _say(client: socket.socket, question: Question) -> Hears:
    if question.protocol == "ICMP":
        return _ping(client, question.destination, next(_idents) & 0xFFFF)
    client.settimeout(0)
    client.connect_ex((question.destination.address, question.port))
    if question.protocol != "UDP":
        return _is_connected
    client.send(b"?" * (2000 if question.port == LARGE else 10))
    return _heard_datagram


def _ping(client: socket.socket, destination: Place, ident: int) -> Hears:
    _, request, reply = _ECHO[destination.version]
    header = struct.pack("!BBHHH", request, 0, 0, ident, 1)
    checksum = 0xFFFF - (request * 256 + ident + 1) % 0xFFFF  # RFC 1071; IPv6's is the kernel's affair
    client.sendto(header[:2] + struct.pack("!H", checksum) + header[4:], (destination.address, 0))

    def heard(client: socket.socket) -> bool:
        packet = client.recv(2048)
        message = packet if destination.version == 6 else packet[(packet[0] & 15) * 4 :]
        return (message[0], message[4:6]) == (reply, ident.to_bytes(2, "big"))

    return heard


def _is_connected(client: socket.socket) -> bool:
    error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error == 111:  # ECONNREFUSED: it got through, to a closed port
        raise AssertionError(f"nobody listens where {client} connects to")
    return error == 0


def _heard_datagram(client: socket.socket) -> bool:
    try:
        return bool(client.recv(4096))
    except OSError:  # an ICMP error that belongs to it
        return False


def _open(place: Place, protocol: str, port: int) -> socket.socket:
    kind, number = {
        "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
        "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
        "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        "ICMP": (socket.SOCK_RAW, _ECHO[place.version][0]),
    }[protocol]
    opened = socket.socket(socket.AF_INET6 if place.version == 6 else socket.AF_INET, kind, number)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.interface.encode())
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((place.address, port))
    return opened
