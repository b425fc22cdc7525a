"""Builds a lab's namespaces and links, as the CNI plugins would have done, all in namespaces of its own.

A wire is a bridge in a namespace that no pod is in. A macvlan or ipvlan attachment is a child of a veth whose other
end is a port of the bridge; any other attachment is a veth of which one end is the port. A pod's links stay down until
`connect`, so that its rules can be in force before the first packet (S60).

pyroute2 opens a new socket on every thread that uses an object, in the current namespace of that thread. So every
object here is made and used within one function that runs inside.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxError, SandboxNotFoundError, UnsupportedError
from mnp_core.model import ObjectName
from mnp_core.offline.definition import LinkKind
from mnp_core.sandbox.netns import run_inside
from mnp_lab.namespaces import SWITCHES, NamespaceStore, pod_key
from mnp_lab.topology import PodLink, PodPlan, Switch

_PATIENCE = 3.0  # seconds
_SETTLE_SECONDS = 1.0
_SETTLE_POLL_SECONDS = 0.002
_IFA_F_NODAD = 0x02  # <linux/if_addr.h>: no one else can have the address, so it need not be announced first
_MODES: dict[LinkKind, dict[str, Any]] = {
    LinkKind.MACVLAN: {"macvlan_mode": "bridge"},
    LinkKind.IPVLAN: {"ipvlan_mode": 0},  # L2
}
_POD_SYSCTLS = {
    # An address is answered for by the interface that has it, not by another one of the pod on the same network.
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
    # Pods that knew another interface by the address learn of the new one at once, as CNI plugins take care of.
    "ipv4/conf/all/arp_notify": "1",
    "ipv6/conf/all/ndisc_notify": "1",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/router_solicitations": "0",  # there is no router
}


class LinkBuilder:
    """The links of a lab, in the namespaces of one `NamespaceStore`."""

    def __init__(self, namespaces: NamespaceStore) -> None:
        self._namespaces = namespaces

    def sandbox(self, pod: ObjectName) -> Sandbox:
        """Find a pod's namespace; raises SandboxNotFoundError."""
        return self._namespaces.find(pod_key(pod))

    def add_switches(self, switches: Sequence[Switch]) -> None:
        """Make wires, each with nothing attached; existing ones stay.

        Raises:
            UnsupportedError: No root, or the kernel lacks a kind of interface.
        """
        if switches:
            run_inside(self._switches(), lambda: _inside(_add_switches, switches))

    def add_pod(self, pod: PodPlan) -> None:
        """Make a pod with its links, which are down.

        Raises:
            UnsupportedError: No root, or the kernel lacks a kind of interface.
            SandboxError: The kernel refused.
        """
        sandbox = self._namespaces.make(pod_key(pod.name))
        with _opened(sandbox) as fd, _told_about(pod.name):
            run_inside(self._switches(), lambda: _inside(_attach, pod, fd))
            run_inside(sandbox, lambda: _inside(_configure, pod))

    def connect(self, pod: PodPlan) -> None:
        """Bring a pod's links up."""
        with _told_about(pod.name):
            run_inside(self.sandbox(pod.name), lambda: _inside(_bring_up, pod))

    def settle(self, pod: PodPlan) -> None:
        """Wait, for a second at most, until the kernel has noticed the carriers of a pod's links.

        Workers of the kernel do that (net/core/link_watch.c); until then the queue is ``noop`` and drops all packets.
        """
        with _told_about(pod.name):
            end = time.monotonic() + _SETTLE_SECONDS
            while not run_inside(self.sandbox(pod.name), lambda: _are_settled(pod)) and time.monotonic() < end:
                time.sleep(_SETTLE_POLL_SECONDS)

    def remove_pod(self, pod: PodPlan) -> None:
        """Take a pod away. Its links go at once, even if some program still runs in it."""
        with suppress(SandboxNotFoundError):
            run_inside(self.sandbox(pod.name), lambda: _inside(_remove_all_links))
        self._namespaces.drop(pod_key(pod.name))

    def remove_switches(self, switches: Sequence[Switch]) -> None:
        """Take wires away that nothing is attached to any more."""
        names = [n for s in switches for n in (_bridge(s.wire), *(_uplink(s.wire, kind) for kind in s.kinds))]
        if names:
            run_inside(self._switches(), lambda: _inside(_remove_links, names))

    def _switches(self) -> Sandbox:
        try:
            return self._namespaces.find(SWITCHES)
        except SandboxNotFoundError:
            return self._namespaces.make(SWITCHES)


def _inside(work: Callable[..., None], *args: object) -> None:
    with IPRoute() as kernel:
        work(kernel, *args)


# --- inside the switches' namespace ---------------------------------------------------------------------------------


def _add_switches(kernel: IPRoute, switches: Sequence[Switch]) -> None:
    for switch in switches:
        bridge = _bridge(switch.wire)
        _ensure(kernel, bridge, "bridge", br_mcast_snooping=0)  # the lab has no multicast querier
        kernel.link("set", index=_index(kernel, bridge), state="up")
        for kind in switch.kinds - {LinkKind.VETH}:
            uplink, port = _uplink(switch.wire, kind), _port(switch.wire, kind)
            _ensure(kernel, uplink, "veth", peer=port)
            kernel.link("set", index=_index(kernel, port), master=_index(kernel, bridge), state="up")
            kernel.link("set", index=_index(kernel, uplink), state="up")


def _attach(kernel: IPRoute, pod: PodPlan, fd: int) -> None:
    for link in pod.links:
        if link.kind is LinkKind.VETH:
            port = _hashed("v", f"{pod.name} {link.interface}")
            peer = {"ifname": link.interface, "net_ns_fd": fd, "address": link.mac}
            with _supported("veth"):
                _insist(kernel.link, "add", ifname=port, kind="veth", peer=peer)
            kernel.link("set", index=_index(kernel, port), master=_index(kernel, _bridge(link.wire)), state="up")
        else:
            _add_child(kernel, link, fd)


def _add_child(kernel: IPRoute, link: PodLink, fd: int) -> None:
    parent = _index(kernel, _uplink(link.wire, link.kind))
    address = {"address": link.mac} if link.kind is LinkKind.MACVLAN else {}  # ipvlan has its parent's
    options = _MODES[link.kind] | address
    with _supported(link.kind):
        kernel.link("add", ifname=link.interface, kind=link.kind.value, link=parent, net_ns_fd=fd, **options)


# --- inside a pod ---------------------------------------------------------------------------------------------------


def _configure(kernel: IPRoute, pod: PodPlan) -> None:
    for name, value in _POD_SYSCTLS.items():
        with suppress(FileNotFoundError):  # a kernel without IPv6
            Path("/proc/sys/net", name).write_text(value)
    for link in pod.links:
        index = _index(kernel, link.interface)
        for address in link.addresses:
            flags = _IFA_F_NODAD if address.version == 6 else 0
            kernel.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, flags=flags)


def _bring_up(kernel: IPRoute, pod: PodPlan) -> None:
    for link in pod.links:
        index = _index(kernel, link.interface)
        _insist(kernel.link, "set", index=index, state="up")
        for route in link.routes:
            kernel.route("replace", dst=str(route.destination), gateway=str(route.gateway), oif=index)


def _are_settled(pod: PodPlan) -> bool:
    names = {link.interface for link in pod.links}
    with IPRoute() as kernel:
        links = [link for link in kernel.get_links() if link.get("IFLA_IFNAME") in names]
    return all(link.get("IFLA_QDISC") != "noop" for link in links)


# --- anywhere -------------------------------------------------------------------------------------------------------


def _ensure(kernel: IPRoute, name: str, kind: str, **options: object) -> None:
    if not kernel.link_lookup(ifname=name):
        with _supported(kind):
            kernel.link("add", ifname=name, kind=kind, **options)


def _index(kernel: IPRoute, name: str) -> int:
    found: list[int] = kernel.link_lookup(ifname=name)
    if not found:
        raise SandboxError(f"interface {name} has gone while the lab was built")
    return found[0]


def _insist(work: Callable[..., object], *args: object, **options: object) -> None:
    """Wait for a name or MAC address that is still taken.

    A namespace that nothing refers to any more is taken apart by a worker of the kernel, some time later.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            work(*args, **options)
        except NetlinkError as error:
            if error.code not in {errno.EEXIST, errno.EADDRINUSE} or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _remove_links(kernel: IPRoute, names: Iterable[str]) -> None:
    for name in names:
        for index in kernel.link_lookup(ifname=name):
            _remove(kernel, index)


def _remove_all_links(kernel: IPRoute) -> None:
    for link in list(kernel.get_links()):
        if link.get("IFLA_IFNAME") != "lo":
            _remove(kernel, link["index"])


def _remove(kernel: IPRoute, index: int) -> None:
    with suppress(NetlinkError):  # gone already, or a device that the kernel puts into every namespace
        kernel.link("del", index=index)


@contextmanager
def _supported(kind: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code == errno.EOPNOTSUPP:
            raise UnsupportedError(
                f"this kernel cannot make {kind} interfaces: load its module (modprobe {kind})"
            ) from error
        raise


@contextmanager
def _told_about(pod: ObjectName) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise SandboxError(f"pod {pod} cannot be wired: {error}") from error


@contextmanager
def _opened(sandbox: Sandbox) -> Iterator[int]:
    fd = os.open(sandbox.path, os.O_RDONLY | os.O_CLOEXEC)
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        yield fd


def _bridge(wire: str) -> str:
    return _hashed("br", wire)


def _uplink(wire: str, kind: LinkKind) -> str:
    """Of one kind of children: a device that has macvlan ones can have no ipvlan ones."""
    return _hashed("up", f"{wire} {kind}")


def _port(wire: str, kind: LinkKind) -> str:
    return _hashed("po", f"{wire} {kind}")


def _hashed(prefix: str, name: str) -> str:
    """An interface name (at most 15 octets) that depends on the name alone, so that any process finds it again."""
    return f"{prefix}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
