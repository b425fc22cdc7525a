"""Connection tracking of the kernel, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h)."""

import errno

from mnp_core.errors import ApplyError
from mnp_core.netfilter.messages import GENERIC
from mnp_core.netfilter.netlink import ACKNOWLEDGE, NETLINK_NETFILTER, Netlink

_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE: without attributes, every entry
_ANY_FAMILY = GENERIC.pack(0, 0, 0)
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL})


def forget_connections() -> None:
    """Forget every connection that the kernel tracks in the network namespace of the calling thread.

    Raises:
        ApplyError: The kernel refuses, or lacks ctnetlink.
    """
    try:
        with Netlink(NETLINK_NETFILTER) as kernel:
            kernel.request(_DELETE, _ANY_FAMILY, flags=ACKNOWLEDGE)
    except OSError as error:
        remedy = ": load the module nf_conntrack_netlink" if error.errno in _UNSUPPORTED else ""
        raise ApplyError(f"connections cannot be forgotten: {error.strerror}{remedy}") from error
