"""Read the interfaces of the network namespace that the calling thread is in.

What network-status says of a pod is a claim; what counts is what the kernel has. A process in the pod may change its
interfaces at any time and name them as it likes, so nothing of what is read here is trusted to be well-formed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_DUMP_INTR
from pyroute2.netlink.exceptions import NetlinkError

from mnp_core.errors import SandboxError
from mnp_core.model import Address, Link, parse_address

_Message = Mapping[str, Any]  # what pyroute2 returns: fields by name, attributes by `get`
_IFF_UP = 1  # <linux/if.h>
_IPVLAN_MODES = {0: "l2", 1: "l3", 2: "l3s"}  # <linux/if_link.h>, enum ipvlan_mode
_ATTEMPTS = 5


def read_links() -> tuple[Link, ...]:
    """Read every interface with its addresses, by one netlink socket that lives as long as this call.

    Returns:
        In order of their index.

    Raises:
        SandboxError: The kernel refused, or interfaces come and go faster than they can be listed.
    """
    try:
        with IPRoute() as kernel:
            for _ in range(_ATTEMPTS):
                links = list(kernel.get_links())
                addresses = list(kernel.get_addr())
                if not _interrupted(links) and not _interrupted(addresses):
                    return _joined(links, addresses)
    except (NetlinkError, OSError) as error:
        raise SandboxError(f"the interfaces of the network namespace cannot be read: {error}") from error
    raise SandboxError("the interfaces of the network namespace change faster than they can be read")


def _interrupted(messages: Iterable[_Message]) -> bool:
    """Whether something changed during the dump, so that entries may be missing (netlink(7), NLM_F_DUMP_INTR)."""
    return any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in messages)


def _joined(links: Iterable[_Message], addresses: Iterable[_Message]) -> tuple[Link, ...]:
    of_index: defaultdict[int, list[Address]] = defaultdict(list)
    for message in addresses:
        # On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has IFA_LOCAL on such links only.
        text = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
        if text:
            of_index[message["index"]].append(parse_address(text))
    found = (_link(message, tuple(of_index[message["index"]])) for message in links if message.get("IFLA_IFNAME"))
    return tuple(sorted(found, key=lambda link: link.index))


def _link(message: _Message, addresses: tuple[Address, ...]) -> Link:
    information = message.get("IFLA_LINKINFO") or {}
    return Link(
        name=_text(message.get("IFLA_IFNAME")),
        index=message["index"],
        kind=_text(information.get("IFLA_INFO_KIND")),
        mac=_text(message.get("IFLA_ADDRESS")).lower(),
        addresses=addresses,
        up=bool(message["flags"] & _IFF_UP),
        master=message.get("IFLA_MASTER"),
        mode=_mode(information.get("IFLA_INFO_DATA") or {}),
        device=_pci_address(message),
    )


def _mode(data: _Message | str | bytes) -> str:
    """pyroute2 leaves the data of kinds that it does not know as they came."""
    return "" if isinstance(data, str | bytes) else _IPVLAN_MODES.get(data.get("IFLA_IPVLAN_MODE", -1), "")


def _pci_address(message: _Message) -> str:
    """Of a card on another bus (virtio, say) the parent is a device that the card's driver has made on its own."""
    on_pci = message.get("IFLA_PARENT_DEV_BUS_NAME") == "pci"
    return _text(message.get("IFLA_PARENT_DEV_NAME")) if on_pci else ""


def _text(value: str | bytes | None) -> str:
    """The kernel takes nearly any byte in a name; what is not UTF-8 pyroute2 leaves as bytes."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value or ""
