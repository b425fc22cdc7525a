"""How pods of a test are wired: their interfaces are their own, or those of a virtual machine's guest.

A wired pod has two namespaces: that of the pod, where rules are, and the one that its packets come from and go to. For
pods with interfaces of their own these are the same. For `Bridged` the second one is the guest, behind the pod's
interface as KubeVirt's bridge binding has it: the interface gets another name and MAC address, and is a port of a
bridge; the old name stays at a dummy without a cable, where the kernel has such; the guest has the old MAC address. The
cable between bridge and guest is a veth in place of a tap, as nobody has to carry frames by it.
"""

import errno
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

from attrs import evolve
from pyroute2 import IPRoute, NetlinkError

from mnp_core.api import Sandbox
from mnp_core.bindings import nic_name
from mnp_core.classes import frozen
from mnp_core.model import LinkPath, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import (
    End,
    bridge,
    configure,
    delete_link,
    macvlan,
    port_of,
    private_namespace,
    veth_pair,
)

_ARP_IGNORE: Final = "/proc/sys/net/ipv4/conf/all/arp_ignore"
_NO_SUCH_KIND: Final = frozenset({errno.EOPNOTSUPP, errno.ENOENT})
_MADE_UP: Final = "02:00:00:ff"


@frozen(kw_only=True)
class WiredSandbox:
    """The two namespaces of a pod.

    Attributes:
        pod: Where the agent puts rules.
        packets: Where sockets are.
    """

    pod: Sandbox
    packets: Sandbox


class Wiring(Protocol):
    """Makes pods and networks of one form.

    Attributes:
        path: The way that packets of its pods take.
    """

    path: LinkPath

    def make_pod(self, cleanup: ExitStack) -> WiredSandbox:
        """Make the namespaces of a pod, without interfaces."""

    def make_network(self, switch: End) -> None:
        """Make a network, in a namespace that is not a pod's; its name has at most 8 characters."""

    def plug(self, switch: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """Give a pod an interface on a network; packets of its namespace `packets` use it at once."""

    def plug_host(self, switch: End, end: End) -> None:
        """Give a namespace that is no pod's an interface on a network."""

    def connect(self, far: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """Give a pod an interface with nothing on the other side but one end; otherwise like `plug`."""

    def located(self, policy: SandboxPolicy) -> SandboxPolicy:
        """The policy with its interfaces as discovery finds them in a pod of this form."""

    def unplug(self, sandbox: WiredSandbox, end: str) -> None:
        """Take an interface away, as a CNI plugin does."""


class Plain:
    """Macvlan interfaces of the pods' own."""

    path = LinkPath.IP

    def make_pod(self, cleanup: ExitStack) -> WiredSandbox:
        """See `Wiring`."""
        made = cleanup.enter_context(private_namespace())
        return WiredSandbox(pod=made, packets=made)

    def make_network(self, switch: End) -> None:
        """A parent without a network."""
        veth_pair(switch, evolve(switch, name=f"{switch.name}-far"))

    def plug(self, switch: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """See `Wiring`."""
        self.plug_host(switch, End(sandbox.pod, end, addresses))

    def plug_host(self, switch: End, end: End) -> None:
        """See `Wiring`."""
        macvlan(switch, end)

    def connect(self, far: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """See `Wiring`."""
        veth_pair(End(sandbox.pod, end, addresses), far)

    def located(self, policy: SandboxPolicy) -> SandboxPolicy:
        """As it is."""
        return policy

    def unplug(self, sandbox: WiredSandbox, end: str) -> None:
        """See `Wiring`."""
        delete_link(sandbox.pod, end)


class Bridged:
    """Guests behind the pods' interfaces, which are cables to a bridge."""

    path = LinkPath.BRIDGED

    def __init__(self) -> None:
        """Number the cables."""
        self._cables = 0

    def make_pod(self, cleanup: ExitStack) -> WiredSandbox:
        """See `Wiring`."""
        pod, guest = (cleanup.enter_context(private_namespace()) for _ in range(2))
        return WiredSandbox(pod=pod, packets=guest)

    def make_network(self, switch: End) -> None:
        """A bridge."""
        bridge(switch.sandbox, switch.name)

    def plug(self, switch: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """See `Wiring`."""
        self.plug_host(switch, End(sandbox.pod, end))
        bind(sandbox, end, addresses)

    def plug_host(self, switch: End, end: End) -> None:
        """See `Wiring`."""
        self._cables += 1
        cable = End(switch.sandbox, f"cable{self._cables}")
        veth_pair(cable, end)
        port_of(cable, switch.name)

    def connect(self, far: End, sandbox: WiredSandbox, end: str, addresses: tuple[str, ...] = ()) -> None:
        """See `Wiring`."""
        veth_pair(End(sandbox.pod, end), far)
        bind(sandbox, end, addresses)

    def located(self, policy: SandboxPolicy) -> SandboxPolicy:
        """Each interface with the port that carries its packets."""
        found = (evolve(each, path=self.path, carrier=nic_name(each.interface)) for each in policy.interfaces)
        return evolve(policy, interfaces=tuple(found))

    def unplug(self, sandbox: WiredSandbox, end: str) -> None:
        """What KubeVirt has made stays, as a CNI plugin knows nothing of it."""
        delete_link(sandbox.pod, nic_name(end))


WIRINGS: Final[Mapping[str, type[Plain | Bridged]]] = {"plain": Plain, "bridged": Bridged}
"""By the names of the option ``--wiring``."""


def bind(sandbox: WiredSandbox, name: str, addresses: tuple[str, ...]) -> None:
    """Put the guest behind an interface of its pod; the addresses, as in ``10.0.0.1/24``, are the guest's."""
    taken = take_over(sandbox.pod, name)
    veth_pair(taken.tap, End(sandbox.packets, name))
    run_inside(sandbox.packets, lambda: _set(name, address=taken.mac))
    port_of(taken.tap, taken.bridge)
    configure(End(sandbox.packets, name, addresses))


@frozen(kw_only=True)
class TakenOver:
    """What is made of a pod's interface for a guest.

    Attributes:
        carrier: The interface, by its new name.
        bridge: Name of the bridge that it is a port of.
        mac: Its MAC address until then, which the guest gets.
        tap: The other port, which has to be made.
    """

    carrier: str
    bridge: str
    mac: str
    tap: End


def take_over(pod: Sandbox, name: str) -> TakenOver:
    """Make the interface of a pod the port of a bridge for a guest; it loses its addresses."""
    suffix = name.removeprefix("pod")
    carrier, hub = nic_name(name), f"k6t-{suffix}"
    mac = run_inside(pod, lambda: _take_over(name, carrier))
    bridge(pod, hub, carrier)
    run_inside(pod, lambda: _learn_nothing(carrier))
    return TakenOver(carrier=carrier, bridge=hub, mac=mac, tap=End(pod, f"tap{suffix}"))


def _take_over(name: str, carrier: str) -> str:
    """Rename the pod's interface and give it another MAC address; returns the old one."""
    Path(_ARP_IGNORE).write_text("1", encoding="ascii")  # else the bridge answers for the addresses of the dummy
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        (link,) = kernel.get_links(index)
        mac = str(link.get("IFLA_ADDRESS"))
        kernel.flush_addr(index=index)
        kernel.link("set", index=index, state="down")
        kernel.link("set", index=index, ifname=carrier, address=f"{_MADE_UP}:{mac[-5:]}")
        kernel.link("set", index=index, state="up")
        _stand_in(kernel, name, mac)
    return mac


def _stand_in(kernel: IPRoute, name: str, mac: str) -> None:
    try:
        kernel.link("add", ifname=name, kind="dummy", address=mac)
    except NetlinkError as error:
        if error.code not in _NO_SUCH_KIND:
            raise


def _learn_nothing(port: str) -> None:
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=port)
        kernel.brport("set", index=index, learning=0)


def _set(name: str, **properties: str) -> None:
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        kernel.link("set", index=index, **properties)
