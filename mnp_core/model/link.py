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
    """

    name: str
    index: int
    kind: str = ""
    mac: str = ""
    addresses: tuple[Address, ...] = ()
    up: bool = True
    master: int | None = None
