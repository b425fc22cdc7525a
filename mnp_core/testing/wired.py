"""A pod whose interfaces lead outside, and bursts of packets through them: the kernel's answers to many questions.

There is no host outside: frames are handed to the pod's interfaces and taken from them raw, from and to any
address. Packets that a filter lets in arrive at raw sockets in the pod, which the kernel serves right after its input
hook; packets that it lets out arrive at the other end of the wire. Between two namespaces that takes microseconds. A
burst waits for expected packets as long as it takes, a moment more for unexpected ones, and the next burst discovers
any that arrive even later.
"""

import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute

from mnp_core.classes import frozen
from mnp_core.model import Address, Direction, Protocol, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.frames import number_of, packet_bytes, split
from mnp_core.testing.netns import End, forget_kernel_connections, private_namespace
from mnp_core.testing.oracle import ESP, GRE, IGMP, Question, questions
from mnp_core.testing.sending import drops_expected
from mnp_core.testing.wiring import Plain, Wiring

T = TypeVar("T")

ELSEWHERE = "elsewhere0"
"""An additional interface of every wired pod: no policy concerns it, so it is open."""

_SETTLE = 0.02  # seconds for packets that should not arrive to do so nevertheless
_PATIENCE = 0.2  # seconds for packets that should arrive
_LAST_CHANCE = 2.0  # the same, for those that did not: a slow machine is not a wrong answer
_BUFFER = 16 << 20  # bytes, so that a burst is not lost before it is read
_DRAIN_EVERY = 200  # packets
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
_PACKET_IGNORE_OUTGOING = 23  # <linux/if_packet.h>
_GATEWAYS = ("169.254.0.1", "fe80::1")
_PROTOCOLS = {
    4: (Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.ICMP, IGMP, GRE, ESP),
    6: (Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.ICMPV6, GRE, ESP),
}
_SYSCTLS = {
    "ipv4/conf/{}/rp_filter": "0",  # any address may be a source
    "ipv4/conf/{}/accept_local": "1",  # the pod's own too (S44)
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/router_solicitations": "0",
}


@frozen(kw_only=True)
class Surprise:
    """A packet with an unexpected verdict."""

    question: Question
    passed: bool

    def __str__(self) -> str:
        return f"{self.question}, but it {'passed' if self.passed else 'did not pass'}"


@frozen(kw_only=True)
class _Port:
    """One interface of the pod: its addresses, and sockets on both sides of it."""

    own: tuple[Address, Address]
    mac: bytes
    outside: socket.socket
    out: Mapping[int, socket.socket]


class WiredPod:
    """A network namespace with interfaces that lead outside.

    Attributes:
        sandbox: The pod's namespace; rules go there. Packets do, too, unless the wiring puts a guest behind the pod.
        forget_connections: Called in the pod before each burst. Without ports, two packets between the same addresses
            are one connection, and the second is its reply.
    """

    def __init__(self, cleanup: ExitStack, interfaces: Iterable[str] = ("net1",), wiring: Wiring | None = None) -> None:
        """Build it.

        Args:
            cleanup: Ends its life.
            interfaces: Their names, anything that the kernel and the wiring take. `ELSEWHERE` is added.
            wiring: How interfaces are wired; without one, they are the pod's own.
        """
        self._wiring = wiring or Plain()
        self._both = self._wiring.make_pod(cleanup)
        self.sandbox = self._both.pod
        self._outside = cleanup.enter_context(private_namespace())
        self.forget_connections: Callable[[], None] = forget_kernel_connections
        self._cleanup = cleanup
        self._poll = cleanup.enter_context(select.epoll())
        self._readers: dict[int, Callable[[], Iterator[tuple[str, Direction, int]]]] = {}
        self._sent: dict[int, Question] = {}
        self._stopped: dict[int, Question] = {}  # packets of earlier bursts that must not arrive, not even late
        self._number = 0
        self._behind(partial(_set, "all"))
        self._ports = {name: self._wire(name, n) for n, name in enumerate(dict.fromkeys((*interfaces, ELSEWHERE)), 1)}
        self._behind(self._listen)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of its interfaces."""
        return tuple(self._ports)

    def own(self, interface: str) -> tuple[Address, Address]:
        """The addresses of an interface, IPv4 and IPv6."""
        return self._ports[interface].own

    def run(self, work: Callable[[], T]) -> T:
        """Do something inside the pod's namespace."""
        return run_inside(self.sandbox, work)

    def _behind(self, work: Callable[[], T]) -> T:
        """Do something where its packets come from and go to."""
        return run_inside(self._both.packets, work)

    def questions(self, policy: SandboxPolicy) -> tuple[Question, ...]:
        """The questions for this policy: about every interface, including those that it leaves open."""
        return tuple(
            question
            for interface, port in self._ports.items()
            for direction in Direction
            for question in questions(policy, interface, direction, port.own)
        )

    def surprises(self, asked: Sequence[Question]) -> tuple[Surprise, ...]:
        """Send the packets; returns those with an unexpected verdict.

        A packet that should pass and did not gets a second chance, with more time. One that did although it should not
        is a surprise at once, also if it is late.
        """
        passed: set[Question] = set()
        for direction in Direction:
            passed |= self._ask([question for question in asked if question.direction is direction])
        return tuple(
            Surprise(question=question, passed=question in passed)
            for question in dict.fromkeys((*asked, *passed))
            if (question in passed) is not question.verdict.allowed
        )

    def _ask(self, asked: Sequence[Question]) -> set[Question]:
        """Of questions about one direction, those whose packet passed."""
        self.run(self.forget_connections)
        passed = self._burst(asked, _PATIENCE)
        missing = [question for question in asked if question.verdict.allowed and question not in passed]
        return passed | self._burst(missing, _LAST_CHANCE) if missing else passed

    def _burst(self, asked: Sequence[Question], patience: float) -> set[Question]:
        self._sent = {}
        passed: set[Question] = set()
        for question in asked:
            self._number += 1
            self._sent[self._number] = question
            self._send(question, self._number)
            if self._number % _DRAIN_EVERY == 0:
                passed |= self._receive(0.0)
        awaited = {question for question in asked if question.verdict.allowed}
        until = time.monotonic() + patience
        while awaited - passed and (left := until - time.monotonic()) > 0:
            passed |= self._receive(left)
        until = time.monotonic() + _SETTLE
        while (left := until - time.monotonic()) > 0:
            passed |= self._receive(left)
        self._stopped |= {number: question for number, question in self._sent.items() if not question.verdict.allowed}
        return passed

    def _send(self, question: Question, number: int) -> None:
        """One packet; an error at once (EPERM, ENOBUFS) is the filter's answer."""
        port, packet = self._ports[question.interface], question.packet
        data, family = packet_bytes(packet, number), packet.source.version
        if question.direction is Direction.INGRESS:
            ethertype = b"\x08\x00" if family == 4 else b"\x86\xdd"
            port.outside.send(port.mac + _OUTSIDE_MAC + ethertype + data)
            return
        with drops_expected():
            port.out[family].sendto(data, (str(packet.destination), 0))

    def _receive(self, timeout: float) -> set[Question]:
        """Packets that arrive until the time is up, as far as they are in order."""
        passed = set()
        for fd, _ in self._poll.poll(timeout):
            for interface, direction, number in self._readers[fd]():
                question = self._sent.get(number) or self._stopped.get(number)
                where = question and (question.interface if direction is Direction.EGRESS else "", question.direction)
                if question is not None and where == (interface, direction):
                    passed.add(question)
        return passed

    # --- building -------------------------------------------------------------------------------------------------

    def _wire(self, name: str, number: int) -> _Port:
        own = IPv4Address(f"10.0.{number - 1}.1"), IPv6Address(f"fd00:0:0:{number - 1}::1")
        far = f"far{number}"
        addresses = tuple(f"{address}/{address.max_prefixlen}" for address in own)
        self._wiring.connect(End(self._outside, far), self._both, name, addresses)
        mac = self._behind(partial(_prepare, name, number))
        outside = run_inside(self._outside, partial(_frame_socket, far))
        self._add(outside, partial(self._arrived_outside, name, outside))
        out = self._behind(partial(_raw_senders, name))
        for each in out.values():
            self._cleanup.enter_context(each)
        return _Port(own=own, mac=mac, outside=outside, out=out)

    def _listen(self) -> None:
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            for protocol in _PROTOCOLS[version]:
                made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
                self._add(made, partial(_arrived_inside, made, version, protocol))

    def _add(self, made: socket.socket, reader: Callable[[], Iterator[tuple[str, Direction, int]]]) -> None:
        self._cleanup.enter_context(made)
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._readers[made.fileno()] = reader
        self._poll.register(made, select.EPOLLIN)

    def _arrived_outside(self, interface: str, outside: socket.socket) -> Iterator[tuple[str, Direction, int]]:
        for frame in _read(outside):
            found = split(frame[14:])
            number = number_of(*found[1:]) if found else None
            if number is not None:
                yield interface, Direction.EGRESS, number


_OUTSIDE_MAC = bytes.fromhex("020000000099")


def _arrived_inside(raw: socket.socket, version: int, protocol: int) -> Iterator[tuple[str, Direction, int]]:
    for data in _read(raw):
        number = number_of(protocol, data[(data[0] & 0x0F) * 4 :] if version == 4 else data)
        if number is not None:
            yield "", Direction.INGRESS, number


def _read(made: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield made.recv(512)
        except BlockingIOError:
            return


def _prepare(name: str, number: int) -> bytes:
    """Every address lies behind a gateway that needs not be asked for; returns the interface's own MAC address."""
    _set(name)
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        for gateway, everything in zip(_GATEWAYS, ("0.0.0.0/0", "::/0"), strict=True):
            kernel.neigh("add", dst=gateway, lladdr=_OUTSIDE_MAC.hex(":"), ifindex=index, state="permanent")
            route = {"dst": everything, "gateway": gateway, "oif": index, "priority": 100 + number}
            kernel.route("add", flags=["onlink"], **route)
        (link,) = kernel.get_links(index)
        return bytes.fromhex(link.get("IFLA_ADDRESS").replace(":", ""))


def _set(name: str) -> None:
    for path, value in _SYSCTLS.items():
        Path("/proc/sys/net", path.format(name)).write_text(value, encoding="ascii")


def _frame_socket(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    made.bind((name, _ETH_P_ALL))
    return made


_SOL_PACKET, _ETH_P_ALL = 263, 0x0003  # <linux/socket.h>, <linux/if_ether.h>


def _raw_senders(name: str) -> Mapping[int, socket.socket]:
    """Sockets that send whole packets out of one interface."""
    made = {}
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        made[version] = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        made[version].setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
    return made
