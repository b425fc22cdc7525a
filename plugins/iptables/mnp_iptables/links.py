"""Whether some interface of the calling thread's network namespace is in a VRF (S47)."""

import struct

from mnp_iptables.netlink import ROUTE, Connection, Message, attributes

_GET_LINK = 18
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_LINK_INFO, _SLAVE_KIND = 18, 4  # IFLA_LINKINFO, IFLA_INFO_SLAVE_KIND


def has_vrf() -> bool:
    """Look at all interfaces.

    Raises:
        OSError: The kernel does not list them.
    """
    with Connection(ROUTE) as kernel:
        answers = kernel.dump(Message(kind=_GET_LINK, body=_LINK.pack(0, 0, 0, 0, 0)))
    return any(is_in_vrf(answer.body) for answer in answers)


def is_in_vrf(link: bytes) -> bool:
    """Whether an answer is about an interface that a VRF enslaves."""
    found = dict(attributes(link[_LINK.size :]))
    return dict(attributes(found.get(_LINK_INFO, b""))).get(_SLAVE_KIND) == b"vrf\0"
