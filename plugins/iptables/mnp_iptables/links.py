"""Whether some interface of the calling thread's network namespace is in a VRF (S47)."""

import struct

from mnp_core.errors import ApplyError
from mnp_iptables.netlink import DUMP, ROUTE, Connection, KernelError, Message, attributes

_GET_LINK = 18
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_LINK_INFO, _SLAVE_KIND = 18, 4  # IFLA_LINKINFO, IFLA_INFO_SLAVE_KIND


def has_vrf() -> bool:
    """Look at all interfaces.

    Raises:
        ApplyError: The kernel does not say.
    """
    try:
        with Connection(ROUTE) as kernel:
            answers = kernel.ask(Message(kind=_GET_LINK, body=_LINK.pack(0, 0, 0, 0, 0)), flags=DUMP)
    except (KernelError, OSError) as error:
        raise ApplyError(f"the kernel does not list interfaces: {error}") from error
    return any(_is_in_vrf(answer.body) for answer in answers)


def _is_in_vrf(link: bytes) -> bool:
    found = dict(attributes(link[_LINK.size :]))
    return dict(attributes(found.get(_LINK_INFO, b""))).get(_SLAVE_KIND) == b"vrf\0"
