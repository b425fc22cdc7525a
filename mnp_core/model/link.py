"""A network interface as the kernel of a sandbox reports it."""

from attrs import frozen

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
            Linux 5.14); empty for what is no PCI device.
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
