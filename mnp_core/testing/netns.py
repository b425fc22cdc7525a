"""Private network namespaces with links between them, for tests that want the real kernel.

    with private_namespace() as left, private_namespace() as right:
        veth_pair(End(left, "net1", ("10.0.0.1/24", "fd00::1/64")), End(right, "net1", ("10.0.0.2/24",)))
        run_inside(left, send_something)

Everything lives in namespaces that no path leads to and goes with them: nothing is left behind by a test that fails
or is killed, and nothing touches the host's namespace. Needs root. IPv6 addresses are usable at once (no duplicate
address detection). Interface names may be anything that the kernel takes.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_interface
from pathlib import Path

from pyroute2 import IPRoute, NFCTSocket

from mnp_core.api import ConnectionTracker, RuleApplier, Sandbox
from mnp_core.classes import frozen
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.netns import run_inside

__all__ = [
    "End",
    "bridge",
    "configure",
    "delete_link",
    "forget_kernel_connections",
    "macvlan",
    "port_of",
    "private_namespace",
    "run_inside",
    "veth_pair",
]

_IFA_F_NODAD = 2  # <linux/if_addr.h>
_POLLS, _POLL = 2000, 0.002


@frozen
class End:
    """An interface in a namespace, with addresses as in ``10.0.0.1/24`` that it is to get."""

    sandbox: Sandbox
    name: str
    addresses: tuple[str, ...] = ()


@contextmanager
def private_namespace() -> Iterator[Sandbox]:
    """A network namespace of one's own, with ``lo`` up and nothing else."""
    with new_namespace() as namespace:
        yield namespace.sandbox


def veth_pair(left: End, right: End) -> None:
    """Make two interfaces that are each other's peer, one in each namespace, up, with their addresses."""

    def make(kernel: IPRoute, there: int) -> None:
        kernel.link("add", ifname=left.name, kind="veth", peer={"ifname": right.name, "net_ns_fd": there})

    _make_between(left, right, make)
    _configure(left)
    _configure(right)
    _await_ready(left)
    _await_ready(right)


def macvlan(parent: End, child: End, *, kind: str = "macvlan") -> None:
    """Make a macvlan in bridge mode (or, by `kind`, a macvtap) on an interface that exists, up, with its addresses.

    Children of one parent reach each other across namespaces; the parent itself reaches none of them.
    """

    def make(kernel: IPRoute, there: int) -> None:
        mode = {f"{kind}_mode": "bridge"}
        kernel.link("add", ifname=child.name, kind=kind, link=_index(kernel, parent.name), net_ns_fd=there, **mode)

    _make_between(parent, child, make)
    configure(child)


def bridge(sandbox: Sandbox, name: str, *ports: str) -> None:
    """Make a bridge, up, and interfaces that exist its ports."""

    def make() -> None:
        with IPRoute() as kernel:
            kernel.link("add", ifname=name, kind="bridge")
            for port in ports:
                kernel.link("set", index=_index(kernel, port), master=_index(kernel, name))

    run_inside(sandbox, make)
    _configure(End(sandbox, name))


def port_of(port: End, name: str) -> None:
    """Make an interface the port of a bridge in its namespace."""

    def make() -> None:
        with IPRoute() as kernel:
            kernel.link("set", index=_index(kernel, port.name), master=_index(kernel, name))

    run_inside(port.sandbox, make)


def configure(end: End) -> None:
    """Raise an interface that is there, and give it its addresses, usable at once."""
    _configure(end)
    _await_ready(end)


def delete_link(sandbox: Sandbox, name: str) -> None:
    """Delete an interface, and its peer if it has one."""

    def delete() -> None:
        with IPRoute() as kernel:
            kernel.link("del", index=_index(kernel, name))

    run_inside(sandbox, delete)


def forget_kernel_connections() -> None:
    """Forget every connection that the kernel tracks in the network namespace that the calling thread is in."""
    with NFCTSocket() as kernel:
        kernel.flush()


def forget_connections(applier: RuleApplier) -> None:
    """Forget every connection there, those that an applier tracks itself included: packets are first packets then."""
    forget_kernel_connections()
    if isinstance(applier, ConnectionTracker):
        applier.forget_connections()


def _make_between(here: End, there: End, make: Callable[[IPRoute, int], None]) -> None:
    """Let `make` work in the first namespace, with an open file of the second."""

    def work() -> None:
        fd = os.open(there.sandbox.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with IPRoute() as kernel:
                make(kernel, fd)
        finally:
            os.close(fd)

    run_inside(here.sandbox, work)


def _configure(end: End) -> None:
    def work() -> None:
        with IPRoute() as kernel:
            index = _index(kernel, end.name)
            kernel.link("set", index=index, state="up")
            for interface in map(ip_interface, end.addresses):
                flags = {"flags": _IFA_F_NODAD} if interface.version == 6 else {}
                kernel.addr(
                    "add", index=index, address=str(interface.ip), prefixlen=interface.network.prefixlen, **flags
                )

    run_inside(end.sandbox, work)


def _await_ready(end: End) -> None:
    """Wait for what the kernel does in workers once an interface is up and has addresses.

    Until it noticed the carrier (net/core/link_watch.c) the queue is ``noop``, which drops all that is sent; until it
    joined an address's solicited-node group (net/ipv6/addrconf.c) neighbours ask in vain, and again after a second.

    Raises:
        TimeoutError: It takes too long.
    """
    groups = {_solicited_node(address) for address in map(ip_interface, end.addresses) if address.version == 6}

    def ready() -> bool:
        with IPRoute() as kernel:
            (link,) = kernel.get_links(_index(kernel, end.name))
        joined = Path("/proc/thread-self/net/igmp6").read_bytes().split()  # with interface names, of any bytes
        return link.get("IFLA_QDISC") != "noop" and groups.issubset(joined)

    for _ in range(_POLLS):
        if run_inside(end.sandbox, ready):
            return
        time.sleep(_POLL)
    raise TimeoutError(f"{end.name}: not ready for packets")


def _solicited_node(address: IPv6Address) -> bytes:
    """The group of an address (RFC 4291, 2.7.1), as /proc writes it."""
    return b"ff0200000000000000000001ff" + address.packed[-3:].hex().encode()


def _index(kernel: IPRoute, name: str) -> int:
    (index,) = kernel.link_lookup(ifname=name)
    return int(index)
