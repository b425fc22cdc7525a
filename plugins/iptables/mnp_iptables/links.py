"""Whether the calling thread's network namespace has a VRF (S47).

The kernel is asked for links of this kind alone: a pod may have tens of thousands of others.
"""

import struct

from mnp_iptables.netlink import ROUTE, Connection, Message, attribute, attributes

_GET_LINK = 18
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_LINK_INFO, _KIND = 18, 1  # IFLA_LINKINFO, IFLA_INFO_KIND
_VRF = b"vrf\0"


def has_vrf() -> bool:
    """Look for a VRF.

    Raises:
        OSError: The kernel does not list links.
    """
    request = _LINK.pack(0, 0, 0, 0, 0) + attribute(_LINK_INFO, attribute(_KIND, _VRF))
    with Connection(ROUTE) as kernel:
        return any(is_vrf(answer.body) for answer in kernel.first(Message(kind=_GET_LINK, body=request)))


def is_vrf(link: bytes) -> bool:
    """Whether an answer is about a VRF. A kernel without VRFs does not know the kind, and lists all links."""
    found = dict(attributes(link[_LINK.size :]))
    return dict(attributes(found.get(_LINK_INFO, b""))).get(_KIND) == _VRF
