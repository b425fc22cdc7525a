"""Read the interfaces of the calling thread's network namespace.

A pod's network-status is a claim; the kernel's state counts. A process in the pod may change its interfaces at any time
and name them freely, so no data read here is trusted to be well-formed.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from attrs import evolve

from mnp_core.errors import SandboxError
from mnp_core.model import Address, Link
from mnp_core.netfilter.attributes import attribute, attributes, text
from mnp_core.netfilter.netlink import NETLINK_ROUTE, InterruptedDumpError, Netlink
from mnp_core.sandbox.bpf import enforces_policy
from mnp_core.sandbox.diversions import read_diversions
from mnp_core.sandbox.listing import listed

_GET_LINK, _GET_ADDRESS = 18, 22  # RTM_GETLINK, RTM_GETADDR in <linux/rtnetlink.h>
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 5, 10, 18
_IFLA_EXT_MASK, _IFLA_LINK_NETNSID, _IFLA_XDP, _IFLA_PARENT_DEV_NAME, _IFLA_PARENT_DEV_BUS_NAME = 29, 37, 43, 56, 57
_INFO_KIND, _INFO_DATA, _IPVLAN_MODE, _XDP_ATTACHED, _XDP_PROGRAM = 1, 2, 1, 2, 4
_WITHOUT_STATISTICS = attribute(_IFLA_EXT_MASK, struct.pack("=I", 1 << 3))  # RTEXT_FILTER_SKIP_STATS
_IFF_UP, _IFF_LOOPBACK = 1, 8  # <linux/if.h>
_IPVLAN_MODES = {0: "l2", 1: "l3", 2: "l3s"}  # <linux/if_link.h>, enum ipvlan_mode
_ATTEMPTS = 5

Attributes = Mapping[int, bytes]


def read_links() -> tuple[Link, ...]:
    """Read every interface with its addresses and diversions, over netlink, without a fork.

    Returns:
        In order of their index.

    Raises:
        SandboxError: The kernel refused, there are too many, or they come and go faster than they can be listed.
    """
    try:
        for _ in range(_ATTEMPTS):
            with suppress(InterruptedDumpError), Netlink(NETLINK_ROUTE) as kernel:
                return _read(kernel)
    except OSError as error:
        raise SandboxError(f"the interfaces of the network namespace cannot be read: {error}") from error
    except SandboxError as error:
        raise SandboxError(f"the interfaces of the network namespace cannot be read: {error}") from error
    raise SandboxError("the interfaces of the network namespace change faster than they can be read")


def _read(kernel: Netlink) -> tuple[Link, ...]:
    links = dict(_links(kernel))
    for index, addresses in _addresses(kernel).items():
        if index in links:
            links[index] = evolve(links[index], addresses=tuple(addresses))
    found = read_diversions(kernel, links)
    for index, reason in found.reasons.items():
        links[index] = evolve(links[index], diverted=reason, hidden=found.hidden)
    return tuple(links[index] for index in sorted(links))


def _addresses(kernel: Netlink) -> Mapping[int, list[Address]]:
    of_index: defaultdict[int, list[Address]] = defaultdict(list)
    for message in listed(kernel, _GET_ADDRESS, _ADDRESS.pack(0, 0, 0, 0, 0)):
        found = dict(attributes(message, _ADDRESS.size))
        # On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has IFA_LOCAL on such links only.
        packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if packed is not None and (address := _address(packed)) is not None:
            of_index[_ADDRESS.unpack_from(message)[4]].append(address)
    return of_index


def _address(packed: bytes) -> Address | None:
    """As network-status writes it: IPv4-mapped IPv6 is IPv4 (S25)."""
    if len(packed) == 4:
        return IPv4Address(packed)
    if len(packed) != 16:
        return None
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _links(kernel: Netlink) -> Iterator[tuple[int, Link]]:
    for message in listed(kernel, _GET_LINK, _LINK.pack(0, 0, 0, 0, 0) + _WITHOUT_STATISTICS):
        if (link := parse_link(message)) is not None:
            yield link.index, link


def parse_link(message: bytes) -> Link | None:
    """Read one RTM_NEWLINK message without its header; None if it has no name."""
    found = dict(attributes(message, _LINK.size))
    _, _, index, flags, _ = _LINK.unpack_from(message)
    name = text(found.get(_IFLA_IFNAME, b""))
    if not name:
        return None
    information = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return Link(
        name=name,
        index=index,
        kind=text(information.get(_INFO_KIND, b"")),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & _IFF_UP),
        loopback=bool(flags & _IFF_LOOPBACK),
        master=_number(found.get(_IFLA_MASTER)),
        parent=_number(found.get(_IFLA_LINK)),
        parent_inside=_IFLA_LINK_NETNSID not in found,
        mode=_mode(text(information.get(_INFO_KIND, b"")), dict(attributes(information.get(_INFO_DATA, b"")))),
        device=_pci_address(found),
        diverted=_XDP if _has_xdp(dict(attributes(found.get(_IFLA_XDP, b"")))) else "",
    )


_XDP = "an XDP program sees its packets before the pod's kernel does, and can send them elsewhere"


def _has_xdp(found: Attributes) -> bool:
    """Whether packets meet an XDP program, unless it is one that enforces policy."""
    program = _number(found.get(_XDP_PROGRAM))
    return any(found.get(_XDP_ATTACHED, b"")) and not (program and enforces_policy(program))


def _number(value: bytes | None) -> int | None:
    """An interface index; none is as good as zero."""
    return (int(struct.unpack_from("=I", value)[0]) or None) if value and len(value) >= 4 else None


def _mode(kind: str, data: Attributes) -> str:
    """The mode of an ipvlan; the data of other kinds has other meanings."""
    value = data.get(_IPVLAN_MODE, b"") if kind in {"ipvlan", "ipvtap"} else b""
    return _IPVLAN_MODES.get(struct.unpack_from("=H", value)[0], "") if len(value) >= 2 else ""


def _pci_address(found: Attributes) -> str:
    """The parent of a card on another bus (virtio, for example) is a device made by the card's driver."""
    on_pci = text(found.get(_IFLA_PARENT_DEV_BUS_NAME, b"")) == "pci"
    return text(found.get(_IFLA_PARENT_DEV_NAME, b"")) if on_pci else ""
