"""The kernel's neighbour tables, which all network namespaces of a machine share.

They take 1,024 addresses of each family (net.ipv4.neigh.default.gc_thresh3). An entry beyond that is dropped
silently, which must not be taken for a policy that denies. So a prober handles a limited number of pairs at once, lets
the kernel forget them afterwards, and checks for an overflow all the same: other labs use the table too.
"""

from contextlib import suppress
from pathlib import Path

PAIRS_AT_ONCE = 600
"""Entries of one family that a prober may cause at once; there must be room for others."""

FULL = (
    "the kernel's neighbour table is full: take other labs down, or raise net.ipv4.neigh.default.gc_thresh3 and "
    "net.ipv6.neigh.default.gc_thresh3"
)

_STATISTICS = (Path("/proc/net/stat/arp_cache"), Path("/proc/net/stat/ndisc_cache"))


def overflows() -> int:
    """The number of table overflows since boot; 0 where the kernel does not report it.

    Only the host's namespace has these files; there is a line for each processor.
    """
    total = 0
    for path in _STATISTICS:
        with suppress(FileNotFoundError):
            header, *lines = path.read_text().splitlines()
            column = header.split().index("table_fulls")
            total += sum(int(line.split()[column], 16) for line in lines)
    return total


def forget_neighbours() -> None:
    """Empty the tables for all interfaces of the calling thread's namespace.

    An interface that stops to resolve addresses forgets those that it has resolved (NETDEV_CHANGE in the kernel's
    arp.c and ndisc.c): one message for any number of entries.
    """
    from pyroute2 import IPRoute  # noqa: PLC0415 # as for `mnp_lab.links`, which has imported it by now
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 # likewise

    with IPRoute() as kernel:
        for link in kernel.get_links():
            with suppress(NetlinkError):  # it has gone
                kernel.link("set", index=link["index"], arp=False)
                kernel.link("set", index=link["index"], arp=True)
