"""Qdiscs and filters of this thread's network namespace, by rtnetlink."""

import errno
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from mnp_core.netfilter.attributes import attribute, nested, text_attribute
from mnp_core.netfilter.netlink import ACKNOWLEDGE, NETLINK_ROUTE, InterruptedDumpError, Netlink
from mnp_core.netfilter.traffic_control import (
    CHAIN_ROOT,
    GET_FILTER,
    GET_QDISC,
    KIND,
    OPTIONS,
    Filter,
    Qdisc,
    filter_parents,
    read_filter,
    read_qdisc,
    request_body,
)

_NEW_QDISC, _DELETE_QDISC, _NEW_FILTER, _DELETE_FILTER = 36, 37, 44, 45  # RTM_NEWQDISC and so on
_CREATE: Final = ACKNOWLEDGE | 0x400 | 0x200  # NLM_F_CREATE | NLM_F_EXCL
_QDISC_HANDLE, _QDISC_PARENT = 0xFFFF0000, 0xFFFFFFF1  # TC_H_CLSACT, of each qdisc of this kind
_FIRST: Final = 1 << 16 | 0x0300
"""Preference 1, before which there is none, and all protocols (ETH_P_ALL in network byte order)."""
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_OFFLOAD = 6, 7, 8, 9  # TCA_BPF_FD and so on
_DIRECT_ACTION, _SKIP_HARDWARE = 1, 1  # TCA_BPF_FLAG_ACT_DIRECT, TCA_CLS_FLAGS_SKIP_HW
_REASONS: Final = {
    errno.ENOENT: "this kernel has no filters by BPF programs (module cls_bpf)",
    errno.EOPNOTSUPP: "its filters are in a block that other interfaces may share",
}
_KIND: Final = text_attribute(KIND, "bpf")


class Filters(Netlink):
    """A socket for one operation; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it."""
        super().__init__(NETLINK_ROUTE)

    def kinds(self) -> Mapping[int, str]:
        """By interface, which of `ingress` and `clsact` it has.

        Raises:
            OSError: The kernel refuses.
        """
        return {each.index: each.kind for each in self._qdiscs() if each.kind in {"ingress", "clsact"}}

    def at(self, index: int, parent: int) -> list[Filter]:
        """The filters that see all packets there, in their order.

        Raises:
            OSError: The kernel refuses.
        """
        return [each for each in self._at(index, parent) if each.chain == CHAIN_ROOT]

    def everywhere(self) -> list[Filter]:
        """All filters, those of other chains, too.

        Raises:
            OSError: The kernel refuses.
        """
        places = dict.fromkeys((each.index, parent) for each in self._qdiscs() for parent in filter_parents(each))
        return [each for index, parent in places for each in self._at(index, parent)]

    def add_qdisc(self, index: int) -> None:
        """Add `clsact`.

        Raises:
            OSError: There is one already, or the kernel has none.
        """
        try:
            self.request(_NEW_QDISC, self._qdisc(index), flags=_CREATE)
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, "this kernel has no qdisc clsact (module sch_ingress)") from error

    def remove_qdisc(self, index: int) -> None:
        """Remove `clsact`; none there is no error."""
        with suppress(FileNotFoundError):
            self.request(_DELETE_QDISC, self._qdisc(index), flags=ACKNOWLEDGE)

    def add_first(self, index: int, parent: int, program: int, name: str) -> None:
        """Add a filter whose program, by its descriptor, decides; it comes before those of the same preference.

        Raises:
            OSError: The kernel refuses, or something else has that preference.
        """
        first = next(iter(self.at(index, parent)), None)
        if first and first.info >> 16 == _FIRST >> 16 and (first.kind, first.info) != ("bpf", _FIRST):
            raise OSError(errno.EBUSY, f"a filter of kind {first.kind!r} has preference 1; give it a later one")
        numbers = ((_BPF_FD, program), (_BPF_FLAGS, _DIRECT_ACTION), (_BPF_OFFLOAD, _SKIP_HARDWARE))
        options = b"".join(attribute(kind, struct.pack("=I", value)) for kind, value in numbers)
        body = request_body(index, parent=parent, info=_FIRST) + _KIND
        try:
            self.request(_NEW_FILTER, body + nested(OPTIONS, options + text_attribute(_BPF_NAME, name)), flags=_CREATE)
        except OSError as error:
            raise OSError(error.errno, _REASONS.get(error.errno or 0, error.strerror)) from error

    def remove(self, about: Filter) -> None:
        """Remove one filter; gone is no error. Its handle is never 0, which would mean all."""
        body = request_body(about.index, handle=about.handle, parent=about.parent, info=about.info)
        with suppress(FileNotFoundError):
            self.request(_DELETE_FILTER, body + text_attribute(KIND, about.kind), flags=ACKNOWLEDGE)

    def _at(self, index: int, parent: int) -> Iterator[Filter]:
        listing = self._listed(GET_FILTER, request_body(index, parent=parent))
        return (found for each in listing if (found := read_filter(each, index, parent)).handle)

    def _qdisc(self, index: int) -> bytes:
        return request_body(index, handle=_QDISC_HANDLE, parent=_QDISC_PARENT) + text_attribute(KIND, "clsact")

    def _qdiscs(self) -> list[Qdisc]:
        return [read_qdisc(each) for each in self._listed(GET_QDISC, request_body())]

    def _listed(self, kind: int, body: bytes) -> Iterator[bytes]:
        try:
            yield from self.dump_bodies(kind, body)
        except InterruptedDumpError as error:
            raise OSError(errno.EAGAIN, "interfaces came and went meanwhile") from error
