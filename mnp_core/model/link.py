"""A network interface as the kernel of a sandbox reports it."""

from mnp_core.classes import frozen
from mnp_core.model.address import Address


@frozen(kw_only=True)
class Link:
    """An interface inside a pod's network namespace (rtnetlink RTM_NEWLINK and RTM_NEWADDR).

    Attributes:
        name: IFLA_IFNAME.
        index: Interface index in the sandbox.
        kind: IFLA_INFO_KIND (``macvlan``, ``veth`` …); empty for a physical device.
        mac: Lower case, colon separated; may be empty.
        addresses: All addresses of the interface, link-local ones included.
        up: Administratively up.
        master: Index of the VRF, bond or bridge that it belongs to, or None.
        mode: For kinds that have one which policy must know (IFLA_IPVLAN_MODE): ``l2``, ``l3`` or ``l3s``.
        device: PCI address of the device that it belongs to, such as ``0000:18:02.5`` (IFLA_PARENT_DEV_NAME, since
            Linux 5.14); empty unless a PCI device.
        loopback: Whether it is the loopback interface (IFF_LOOPBACK).
        parent: Index of the interface below it, or of its other end (IFLA_LINK), or None.
        parent_inside: Whether that one is in the same network namespace (no IFLA_LINK_NETNSID).
        diverted: Why packets of this interface pass the rules that name it by (tc, XDP, netdev, an interface on top of
            it); empty if nothing is known to do that.
        hidden: Whether not even programs in traffic control see all packets of a diverted interface (XDP).
    """

    name: str
    index: int
    kind: str = ""
    mac: str = ""
    addresses: tuple[Address, ...] = ()
    up: bool = True
    master: int | None = None
    mode: str = ""
    device: str = ""
    loopback: bool = False
    parent: int | None = None
    parent_inside: bool = True
    diverted: str = ""
    hidden: bool = False

    @property
    def leads_out(self) -> bool:
        """Whether packets leave the network namespace by it: it is hardware, or its other end is elsewhere."""
        return (self.parent is not None and not self.parent_inside) or (not self.kind and not self.loopback)
