"""Whether the calling thread's network namespace has a VRF (S47).

The dump is of this kind alone: a pod may have tens of thousands of other links.
"""

import struct
from contextlib import suppress

from mnp_core.netfilter.attributes import attribute, attributes
from mnp_core.netfilter.netlink import NETLINK_ROUTE, InterruptedDumpError, Netlink
from mnp_core.netfilter.nfnetlink import UnsettledError

_GET_LINK = 18
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_LINK_INFO, _KIND = 18, 1  # IFLA_LINKINFO, IFLA_INFO_KIND
_VRF = b"vrf\0"
_ATTEMPTS = 10


def has_vrf() -> bool:
    """Look for a VRF. A kernel without VRFs ignores the kind and lists all links: the first one's kind decides.

    Raises:
        OSError: The kernel does not list links.
    """
    request = _LINK.pack(0, 0, 0, 0, 0) + attribute(_LINK_INFO, attribute(_KIND, _VRF))
    for _ in range(_ATTEMPTS):
        with suppress(InterruptedDumpError), Netlink(NETLINK_ROUTE) as kernel:
            return is_vrf(next(kernel.dump_bodies(_GET_LINK, request), b""))
    raise UnsettledError("a process in the pod changes its interfaces all the time: stop it, or restart the pod")


def is_vrf(link: bytes) -> bool:
    """Whether the body of an answer is about a VRF."""
    found = dict(attributes(link, _LINK.size))
    return dict(attributes(found.get(_LINK_INFO, b""))).get(_KIND) == _VRF
