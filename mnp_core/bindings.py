"""How an interface is bound to a guest: wiring that virtual machines leave in their pod's network namespace.

Read from links alone, so whoever made the wiring. KubeVirt's bridge binding takes the pod's interface NAME, calls it
NAME-nic (``pod`` at the beginning of NAME left out) and makes it the port of a bridge, beside the guest's tap; a dummy
gets the old name, its MAC address and its IP addresses (pkg/network/namescheme, setup and driver of kubevirt/kubevirt).
Its masquerade binding leaves the interface where it is, and routes between it and a bridge with the guest's tap.
"""

from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.model import Attachment, Link, LinkPath

_BRIDGE: Final = "bridge"
_TAP: Final = "tun"  # tun and tap devices are one kind (drivers/net/tun.c)
_HASHED_PREFIX: Final = "pod"
_NIC_SUFFIX: Final = "-nic"
_BRIDGE_PREFIX: Final = "k6t-"


@frozen(kw_only=True)
class Wiring:
    """A bridge in the sandbox with its ports, in the order of their index."""

    bridge: Link
    ports: tuple[Link, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of all its links."""
        return frozenset({self.bridge.name, *(port.name for port in self.ports)})

    @property
    def tap(self) -> Link | None:
        """The port that a guest is behind."""
        return next((port for port in self.ports if port.kind == _TAP), None)


def bridged_by(claim: Attachment, links: Sequence[Link]) -> tuple[Link, Wiring] | None:
    """The port of a bridge by which a claimed interface's packets enter and leave the pod; None if there is none.

    It is the claimed interface itself; or, where this leads nowhere or is gone, the port that has KubeVirt's name for
    it, its PCI device, or its MAC address; or the only port that leads out of the pod and bears no other name's trace.
    """
    named = next((link for link in links if link.name == claim.interface), None)
    wirings = [wiring for link in links if link.kind == _BRIDGE and (wiring := _wiring(link, links)).ports]
    ports = [(port, wiring) for wiring in wirings for port in wiring.ports]
    for port, wiring in ports:
        if named is not None and port.index == named.index:
            return port, wiring
    if named is not None and named.leads_out:
        return None
    outlets = [(port, wiring) for port, wiring in ports if port.leads_out]
    mac = claim.mac.lower() or (named.mac if named is not None else "")
    marks: tuple[Callable[[Link], bool], ...] = (
        lambda port: port.name == nic_name(claim.interface),
        lambda port: bool(claim.device) and port.device == claim.device,
        lambda port: bool(mac.strip("0:")) and port.mac == mac,
    )
    for mark in marks:
        found = [each for each in outlets if mark(each[0])]
        if len(found) == 1:
            return found[0]
    taken = {nic_name(link.name) for link in links if link.name != claim.interface}
    others = [each for each in outlets if each[0].name not in taken]
    return others[0] if len(others) == 1 and named is not None else None


def nic_name(interface: str) -> str:
    """KubeVirt's name of a pod's interface once it is the port of a bridge."""
    return f"{interface.removeprefix(_HASHED_PREFIX)}{_NIC_SUFFIX}"


def bridged(claim: Attachment, port: Link) -> Attachment:
    """The claim, with the way that its packets take."""
    return evolve(claim, path=LinkPath.BRIDGED, carrier=port.name)


def masquerade(claim: Attachment, links: Sequence[Link]) -> Wiring | None:
    """KubeVirt's bridge for a guest behind an interface that stays an ordinary one; None if there is none."""
    name = f"{_BRIDGE_PREFIX}{claim.interface.removeprefix(_HASHED_PREFIX)}"
    found = (_wiring(link, links) for link in links if link.kind == _BRIDGE and link.name == name)
    return next((wiring for wiring in found if not any(port.leads_out for port in wiring.ports)), None)


def _wiring(bridge: Link, links: Sequence[Link]) -> Wiring:
    return Wiring(bridge=bridge, ports=tuple(link for link in links if link.master == bridge.index))
