"""A pod and its neighbours with real sockets, for behaviour that single packets do not show.

For connections, errors, fragments and forwarding. Many first packets at once are the business of
`mnp_core.testing.wired`.
"""

import json
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute

from mnp_core.api import PolicyRenderer, RuleApplier, Sandbox
from mnp_core.model import Group, GroupDelta, Ruleset, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.frames import crowd_frames
from mnp_core.testing.netns import End, delete_link, private_namespace, veth_pair

T = TypeVar("T")
Socket = socket.socket  # a method of `Host` has the name of the module

SOON = 3.0
"""Seconds for a connection, on however slow a machine."""
QUIET = 0.25
"""Seconds after which a missing packet counts as lost: a veth takes microseconds."""
_PATIENCE = 8 * QUIET
_POLL = 0.01

POD = {4: "10.0.0.1", 6: "fd00::1"}
PEER = {4: "10.0.0.2", 6: "fd00::2"}
OTHER = {4: "10.0.0.3", 6: "fd00::3"}
FAMILIES = (4, 6)
INSIDE = tuple(f"{POD[family]}/{24 if family == 4 else 64}" for family in FAMILIES)
OUTSIDE = tuple(f"{own[family]}/{24 if family == 4 else 64}" for own in (PEER, OTHER) for family in FAMILIES)
"""Addresses of both ends of a `Wire`, with the lengths of their networks."""

_ANY_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def af(address: str) -> socket.AddressFamily:
    """The family of an address, as sockets call it."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Host:
    """A network namespace, with sockets that are closed when the test ends."""

    def __init__(self, sandbox: Sandbox, cleanup: ExitStack) -> None:
        """Take over a namespace; its sockets go with `cleanup`."""
        self.sandbox = sandbox
        self._cleanup = cleanup
        self._bound: dict[tuple[str, int], socket.socket] = {}

    def run(self, work: Callable[[], T]) -> T:
        """Do something inside."""
        return run_inside(self.sandbox, work)

    def socket(self, family: int, kind: int, protocol: int = 0) -> Socket:
        """A socket inside."""
        made = self.run(lambda: socket.socket(family, kind, protocol))
        made.settimeout(SOON)
        return self._cleanup.enter_context(made)

    def udp(self, address: str, port: int = 0) -> Socket:
        """A datagram socket; the same port gives the same socket."""
        if port and (address, port) in self._bound:
            return self._bound[address, port]
        made = self._bound[address, port] = self.socket(af(address), socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    def listener(self, address: str, port: int) -> Socket:
        """A TCP socket that listens."""
        made = self.socket(af(address), socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
        return made

    def raw(self, family: int, protocol: int) -> Socket:
        """A raw socket of one protocol; family 4 or 6."""
        return self.socket(_ANY_FAMILY[family], socket.SOCK_RAW, protocol)

    def nft(self, commands: str) -> str:
        """Run the nft program, as a user or another program in the pod would."""
        return self._program("nft", "-a", "-f", "-", commands=commands)

    def objects(self) -> list[dict[str, Any]]:
        """Everything that is in the packet filter, as nft lists it in JSON."""
        found: list[dict[str, Any]] = json.loads(self._program("nft", "-j", "list", "ruleset"))["nftables"]
        return found

    def _program(self, *command: str, commands: str = "") -> str:
        done = self.run(partial(subprocess.run, command, input=commands, text=True, capture_output=True, check=False))
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def route(self, *gateways: str) -> None:
        """Default routes."""

        def add() -> None:
            with IPRoute() as kernel:
                for gateway in gateways:
                    kernel.route("add", dst="::/0" if ":" in gateway else "0.0.0.0/0", gateway=gateway)

        self.run(add)

    def sysctl(self, name: str, value: str) -> None:
        """Set a file below ``/proc/sys/net``, of which each namespace has its own."""
        self.run(lambda: Path("/proc/sys/net", name).write_text(value, encoding="ascii"))


class EnforcedHost(Host):
    """A pod, on which a backend enforces policy."""

    def __init__(self, sandbox: Sandbox, cleanup: ExitStack, renderer: PolicyRenderer, applier: RuleApplier) -> None:
        """Police a namespace with this backend."""
        super().__init__(sandbox, cleanup)
        self.renderer = renderer
        self.applier = applier

    def in_pod(self, work: Callable[[], T]) -> T:
        """Do something where rules are."""
        return self.run(work)

    def enforce(self, policy: SandboxPolicy) -> Ruleset:
        """Bring a policy into force."""
        ruleset = self.renderer.render(policy)
        self.in_pod(lambda: self.applier.apply(ruleset))
        return ruleset

    def regroup(self, before: Group, after: Group) -> None:
        """Change the membership of a group that the policy in force uses."""
        delta = self.renderer.render_delta(GroupDelta(before=before, after=after))
        self.in_pod(lambda: self.applier.update(delta))

    def counters(self) -> dict[str, int]:
        """Packets by label, over all rules."""
        found: dict[str, int] = {}
        for counter in self.in_pod(self.applier.counters):
            found[counter.label] = found.get(counter.label, 0) + counter.packets
        return found


MakePod = Callable[[Sandbox, ExitStack], EnforcedHost]


class Wire:
    """``pod`` has ``net1``, on the other side of which ``peer`` has two addresses of each family."""

    def __init__(self, cleanup: ExitStack, make_pod: MakePod) -> None:
        """Build it.

        Args:
            cleanup: Ends its life.
            make_pod: From a namespace to the pod that is enforced.
        """
        self._cleanup = cleanup
        self.pod = make_pod(cleanup.enter_context(private_namespace()), cleanup)
        self.peer = Host(cleanup.enter_context(private_namespace()), cleanup)
        self._connect()

    def _connect(self) -> None:
        veth_pair(End(self.pod.sandbox, "net1", INSIDE), End(self.peer.sandbox, "out", OUTSIDE))

    def datagram(self, source: Socket, target: Socket) -> bool:
        """Whether a datagram gets from one socket to the other."""
        return passes(source, target, target.getsockname()[:2])

    def into_pod(self, family: int = 4, port: int = 80, *, source: Mapping[int, str] = PEER) -> bool:
        """Whether the first datagram of a flow gets into the pod."""
        return self.datagram(self.peer.udp(source[family]), self.pod.udp(POD[family], port))

    def out_of_pod(self, family: int = 4, port: int = 80, *, target: Mapping[int, str] = PEER) -> bool:
        """Whether the first datagram of a flow gets out of the pod."""
        return self.datagram(self.pod.udp(POD[family]), self.peer.udp(target[family], port))

    def gets_port_unreachable(self, family: int) -> bool:
        """Whether the ICMP error about a datagram to a closed port of the peer gets back into the pod."""
        client = self.pod.udp(POD[family])
        client.connect((PEER[family], 80))
        client.send(b"anybody?")
        try:
            client.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            pass
        return False

    def connection(
        self, client: Host, server: Host, port: int, family: int = 4, *, source: str = "", target: str = ""
    ) -> tuple[Socket, Socket]:
        """An established TCP connection: the client's socket and the server's."""
        pair: dict[Host, Mapping[int, str]] = {self.pod: POD, self.peer: PEER}
        listener = server.listener(target or pair[server][family], port)
        near = client.socket(af(listener.getsockname()[0]), socket.SOCK_STREAM)
        near.bind((source or pair[client][family], 0))
        near.connect(listener.getsockname()[:2])
        far = self._cleanup.enter_context(listener.accept()[0])
        far.settimeout(SOON)
        listener.close()
        return near, far

    def crowd(self, flows: int) -> None:
        """Send the first datagram of so many flows into the pod, to UDP port 80, from unused addresses."""
        mac = self.pod.run(partial(_mac_of, "net1"))
        sender = self.peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind(("out", 0))
        for frame in crowd_frames(mac, POD[4], 80, flows):
            sender.send(frame)


class LateWire(Wire):
    """A `Wire` whose ``net1`` comes when `connect` is called, and goes with `disconnect`."""

    def _connect(self) -> None:
        """Not yet."""

    def connect(self) -> None:
        """Make the interfaces of both sides."""
        super()._connect()

    def disconnect(self) -> None:
        """Delete them again; sockets stay bound to addresses that come back."""
        delete_link(self.pod.sandbox, "net1")


class Detour(Wire):
    """A `Wire` with a second one beside it, ``net2``, by which the pod answers packets from ``net1``."""

    def __init__(self, cleanup: ExitStack, make_pod: MakePod) -> None:
        """Build it; arguments as for `Wire`."""
        super().__init__(cleanup, make_pod)
        for host in (self.pod, self.peer):
            for name in ("all", "default"):
                host.sysctl(f"ipv4/conf/{name}/rp_filter", "0")
        veth_pair(End(self.pod.sandbox, "net2"), End(self.peer.sandbox, "out2"))
        mac = self.peer.run(partial(_mac_of, "out2"))
        for address in PEER.values():
            self.pod.run(partial(_route_by, "net2", address, mac))

    def connects(self, family: int) -> bool:
        """Whether a connection from the peer works, whose replies come by the other interface."""
        try:
            return works(*self.connection(self.peer, self.pod, 80, family))
        except TimeoutError:
            return False


def _mac_of(name: str) -> str:
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        (link,) = kernel.get_links(index)
        return str(link.get("IFLA_ADDRESS"))


def _route_by(name: str, address: str, mac: str) -> None:
    """Route an address out of this interface, even if another one has it."""
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        kernel.neigh("add", dst=address, lladdr=mac, ifindex=index, state="permanent")
        kernel.route("add", dst=f"{address}/{128 if ':' in address else 32}", oif=index)


class Router:
    """``pod`` forwards between ``net1``, where `left` is, and ``net2``, where `right` is (S47)."""

    def __init__(self, cleanup: ExitStack, make_pod: Callable[[Sandbox, ExitStack], EnforcedHost]) -> None:
        """Build it; arguments as for `Wire`."""
        self.pod = make_pod(cleanup.enter_context(private_namespace()), cleanup)
        self.left, self.right = (Host(cleanup.enter_context(private_namespace()), cleanup) for _ in range(2))
        for host in (self.pod, self.left, self.right):
            host.sysctl("ipv6/conf/default/accept_dad", "0")  # a router does not look for neighbours before
        for side, host in enumerate((self.left, self.right), start=1):
            inside, outside = ((f"10.{side}.0.{end}/24", f"fd0{side}::{end}/64") for end in (1, 2))
            veth_pair(End(host.sandbox, "far", outside), End(self.pod.sandbox, f"net{side}", inside))
            host.route(f"10.{side}.0.1", f"fd0{side}::1")
        self.pod.sysctl("ipv4/ip_forward", "1")
        self.pod.sysctl("ipv6/conf/all/forwarding", "1")

    def address(self, side: int, family: int) -> str:
        """The address of `left` (1) or `right` (2)."""
        return {4: f"10.{side}.0.2", 6: f"fd0{side}::2"}[family]

    def forwarded(self, family: int, port: int, *, back: bool = False) -> bool:
        """Whether a datagram from left to right, or back, passes the pod."""
        source, target = (2, 1) if back else (1, 2)
        hosts = {1: self.left, 2: self.right}
        address = self.address(target, family)
        return passes(
            hosts[source].udp(self.address(source, family)), hosts[target].udp(address, port), (address, port)
        )


_number = iter(range(1, 1 << 62))


def passes(source: Socket, target: Socket, address: tuple[str, int], *, payload: bytes = b"") -> bool:
    """Whether a packet from one socket gets to the other."""
    token = b"%020d" % next(_number) + payload
    try:
        source.sendto(token, address)
    except PermissionError:
        return False  # dropped in the output hook: send(2) fails
    return arrives(target, token)


def arrives(target: Socket, token: bytes, *, expected: bool = False) -> bool:
    """Whether a packet with this token gets to a socket; an expected one may take longer, on a busy machine.

    Polls are counted, not seconds: where they are late, so are packets.
    """
    polls = round((_PATIENCE if expected else QUIET) / _POLL)
    before = target.gettimeout()
    target.settimeout(_POLL)
    try:
        return any(_comes(target, token) for _ in range(polls))
    finally:
        target.settimeout(before)


def _comes(target: Socket, token: bytes) -> bool:
    with suppress(TimeoutError):
        return token in target.recv(1 << 16)
    return False


def works(near: Socket, far: Socket) -> bool:
    """Whether a connection still carries data both ways."""
    return all(_carries(*ends) for ends in ((near, far), (far, near)))


def _carries(source: Socket, target: Socket) -> bool:
    token = b"%020d" % next(_number)
    source.sendall(token)
    target.settimeout(QUIET)
    try:
        return target.recv(1 << 16).endswith(token)
    except TimeoutError:
        return False
