"""The client and server sockets of one pod, opened inside it in one go."""

import errno
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.model import Address, Protocol
from mnp_core.offline.probe import Probe, ProbeVerdict
from mnp_core.sandbox.netns import run_inside
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.channel import RawChannel
from mnp_lab.transport.icmp import IcmpAttempt, IcmpChannel
from mnp_lab.transport.ports import PortSequence
from mnp_lab.transport.sctp import IPPROTO_SCTP, SctpAttempt, SctpChannel
from mnp_lab.transport.tcp import TcpAttempt, TcpListener
from mnp_lab.transport.udp import UdpAttempt, UdpListener

Listener = TcpListener | UdpListener
_Use = Callable[[socket.socket], None]


@frozen(kw_only=True)
class _Kind:
    """The arguments of socket(2)."""

    family: int
    type: int
    protocol: int = 0

    @classmethod
    def of(cls, address: Address, kind: int, protocol: int = 0) -> "_Kind":
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        return cls(family=family, type=kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol=protocol)


@frozen
class _Service:
    """A listening address."""

    address: Address
    protocol: Protocol
    port: int


class PodSockets:
    """The sockets of one pod. Call the `prepare` methods first, then `open`, then make attempts."""

    def __init__(self, sandbox: Sandbox, loop: Loop) -> None:
        self.sandbox = sandbox
        self._loop = loop
        self._wanted: list[tuple[_Kind, _Use]] = []
        self._listeners: dict[_Service, Listener | OSError] = {}
        self._channels: dict[tuple[Address, Protocol], RawChannel | OSError] = {}
        self._clients: dict[Probe, list[socket.socket]] = defaultdict(list)
        self._ports: dict[Protocol, PortSequence] = defaultdict(PortSequence)
        self._interfaces: dict[str, int] = {}

    def prepare_server(self, probe: Probe) -> None:
        """Request a listener for the probe, this pod being its destination."""
        service = _Service(probe.address, probe.protocol, probe.port or 0)
        if probe.protocol is Protocol.ICMP or self._is_open(self._listeners.get(service)):
            return
        if probe.protocol is Protocol.SCTP and not _kernel_speaks_sctp():
            self._want_channel(probe.address, probe.interface, Protocol.SCTP)
            return
        kind, protocol = {
            Protocol.TCP: (socket.SOCK_STREAM, 0),
            Protocol.UDP: (socket.SOCK_DGRAM, 0),
            Protocol.SCTP: (socket.SOCK_STREAM, IPPROTO_SCTP),
        }[probe.protocol]
        self._listeners[service] = OSError(errno.EINPROGRESS, "not open yet")
        self._wanted.append((_Kind.of(probe.address, kind, protocol), partial(self._listen, service)))

    def prepare_client(self, probe: Probe) -> None:
        """Request the client sockets of the probe, this pod being its source."""
        if probe.protocol in (Protocol.ICMP, Protocol.SCTP):
            self._want_channel(probe.source_address, probe.source_interface, probe.protocol)
            return
        kind = socket.SOCK_STREAM if probe.protocol is Protocol.TCP else socket.SOCK_DGRAM
        self._wanted.append((_Kind.of(probe.address, kind), self._clients[probe].append))

    def open(self) -> None:
        """Open everything that is wanted.

        Raises:
            SandboxError: The pod is not there any more.
            OSError: There is no room for so many sockets.
        """
        wanted, self._wanted = self._wanted, []
        if not wanted:
            return
        kinds = [kind for kind, _ in wanted]
        sockets, self._interfaces = run_inside(self.sandbox, lambda: (_open_all(kinds), _interfaces()))
        for (_, use), opened in zip(wanted, sockets, strict=True):
            use(opened)

    def trouble(self, probe: Probe) -> str:
        """The reason for a missing listener of the probe; empty if there is one."""
        found = self._listener(probe)
        if isinstance(found, OSError) and found.errno != errno.EADDRINUSE:  # in use: the pod itself listens
            return f"cannot listen on {probe.address} {probe.spec} in {probe.destination}: {found.strerror}"
        return ""

    def verdict_on_timeout(self, probe: Probe) -> tuple[ProbeVerdict, str]:
        """The verdict on an unanswered probe."""
        if probe.protocol is Protocol.UDP and isinstance(self._listener(probe), OSError):
            return ProbeVerdict.ERROR, "a program of the pod's own has the port and does not echo: cannot tell"
        return ProbeVerdict.DENIED, ""

    def serve(self, probe: Probe) -> None:
        """Answer to SCTP, where the kernel does not do it."""
        channel = self._channels.get((probe.address, Protocol.SCTP))
        if probe.protocol is Protocol.SCTP and isinstance(channel, SctpChannel) and probe.port:
            channel.served.add(probe.port)

    def attempt(self, probe: Probe) -> ProbeAttempt:
        """Make the attempt of a probe; raises OSError."""
        ports = self._ports[probe.protocol]
        if probe.protocol is Protocol.TCP:
            return TcpAttempt(probe, self._loop, self._clients[probe].pop(), ports)
        if probe.protocol is Protocol.UDP:
            return UdpAttempt(probe, self._loop, self._clients[probe].pop(), ports)
        match self._channels[probe.source_address, probe.protocol]:
            case IcmpChannel() as channel:
                return IcmpAttempt(probe, self._loop, channel, ports)
            case SctpChannel() as channel:
                return SctpAttempt(probe, self._loop, channel, ports)
            case OSError() as error:
                raise error
            case _:
                raise AssertionError(f"{probe}: no such channel")

    def discard_clients(self) -> None:
        """Close the sockets without an attempt."""
        for clients in self._clients.values():
            for sock in clients:
                sock.close()
        self._clients.clear()

    def close(self) -> None:
        """Close all sockets."""
        self.discard_clients()
        for opened in (*self._listeners.values(), *self._channels.values()):
            if not isinstance(opened, OSError):
                opened.close()

    def _listener(self, probe: Probe) -> Listener | RawChannel | OSError | None:
        """The listener of the probe, or its error; None for the kernel itself, which answers ICMP."""
        listener = self._listeners.get(_Service(probe.address, probe.protocol, probe.port or 0))
        return listener or self._channels.get((probe.address, probe.protocol))

    @staticmethod
    def _is_open(found: Listener | RawChannel | OSError | None) -> bool:
        """Open, or just about to be: only a failed one is opened again."""
        return found is not None and not (isinstance(found, OSError) and found.errno != errno.EINPROGRESS)

    def _want_channel(self, address: Address, interface: str, protocol: Protocol) -> None:
        if self._is_open(self._channels.get((address, protocol))):
            return
        number = {Protocol.SCTP: IPPROTO_SCTP, Protocol.ICMP: socket.IPPROTO_ICMP}[protocol]
        if protocol is Protocol.ICMP and address.version == 6:
            number = socket.IPPROTO_ICMPV6
        self._channels[address, protocol] = OSError(errno.EINPROGRESS, "not open yet")
        use = partial(self._tune_in, address, interface, protocol)
        self._wanted.append((_Kind.of(address, socket.SOCK_RAW, number), use))

    def _listen(self, service: _Service, sock: socket.socket) -> None:
        listener = (UdpListener if service.protocol is Protocol.UDP else TcpListener)(sock, self._loop)
        try:
            listener.open((str(service.address), service.port))
        except OSError as error:
            listener.close()
            self._listeners[service] = error
        else:
            self._listeners[service] = listener

    def _tune_in(self, address: Address, interface: str, protocol: Protocol, sock: socket.socket) -> None:
        channel = (SctpChannel if protocol is Protocol.SCTP else IcmpChannel)(sock, self._loop)
        try:
            channel.open(address, self._interfaces.get(interface, 0))  # 0, if it has gone: then bind will refuse
        except OSError as error:
            channel.close()
            self._channels[address, protocol] = error
        else:
            self._channels[address, protocol] = channel


def _open_all(kinds: Sequence[_Kind]) -> list[socket.socket]:
    """All or none."""
    opened: list[socket.socket] = []
    try:
        for kind in kinds:
            opened.append(socket.socket(kind.family, kind.type, kind.protocol))  # noqa: PERF401 # to close them if one fails
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def _interfaces() -> dict[str, int]:
    return {name: index for index, name in socket.if_nameindex()}


@cache
def _kernel_speaks_sctp() -> bool:
    """Looked up, not tried: trying would load the module, which is not the lab's to decide."""
    protocols = Path("/proc/net/protocols").read_text().splitlines()
    return any(line.split()[0] == "SCTP" for line in protocols if line.strip())
