"""Traffic control over rtnetlink: queueing disciplines, and their filters (<linux/rtnetlink.h>, <linux/pkt_cls.h>).

Listings only: the kernel answers a request for a single object by a message to all listeners, the agent among them.
"""

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from mnp_core.classes import frozen
from mnp_core.netfilter.attributes import attributes, text

GET_QDISC, GET_FILTER = 38, 46  # RTM_GETQDISC, RTM_GETTFILTER
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
"""Parents of filters: TC_H_CLSACT with TC_H_MIN_INGRESS and TC_H_MIN_EGRESS. The qdisc `ingress` has only the first."""
CHAIN_ROOT: Final = 0
KIND: Final = 1
"""The attribute TCA_KIND, of qdiscs, filters and actions; the next one is TCA_OPTIONS."""
OPTIONS: Final = 2

_MESSAGE = struct.Struct("=BxHiIII")  # struct tcmsg: family, index, handle, parent, info
_CHAIN: Final = 11  # TCA_CHAIN
_BPF_NAME, _BPF_ID = 7, 11  # TCA_BPF_NAME, TCA_BPF_ID
_ACTIONS: Final = {
    "u32": 7, "flower": 3, "matchall": 2, "bpf": 1, "basic": 3, "fw": 4, "route": 6, "cgroup": 1, "flow": 9
}  # fmt: skip # one table
"""Where filters of each kind keep their actions: TCA_<kind>_ACT in <linux/pkt_cls.h>."""
_HARMLESS: Final = frozenset(
    {"noqueue", "noop", "mq", "fq", "fq_codel", "pfifo_fast", "pfifo", "bfifo", "pfifo_head_drop"}
)
"""Qdiscs that have no filters; others may."""
_MIRRED = struct.Struct("=20xiI")  # struct tc_mirred behind tc_gen: action, interface
_MIRRED_PARAMETERS: Final = 2  # TCA_MIRRED_PARMS
_TO_EGRESS: Final = frozenset({1, 2})  # TCA_EGRESS_REDIR, TCA_EGRESS_MIRROR


@frozen(kw_only=True)
class Qdisc:
    """A queueing discipline.

    Attributes:
        index: Of its interface.
        kind: As tc names it.
        handle: Its number, the parent of its filters where it is neither `ingress` nor `clsact`.
    """

    index: int
    kind: str
    handle: int


@frozen(kw_only=True)
class Redirect:
    """An action that sends packets, or copies of them, to an interface: out of it, or as if it had received them."""

    target: int
    out: bool


@frozen(kw_only=True)
class Filter:
    """A filter; handle 0 stands for all those of one preference.

    Attributes:
        index: Of its interface.
        parent: `INGRESS`, `EGRESS`, or the handle of a qdisc or class.
        chain: `CHAIN_ROOT`, or one that an action goes to.
        info: Preference in the high, protocol in the low half, as the kernel has them.
        handle: Its number among those of the same preference.
        kind: As tc names it.
        options: Attributes of that kind.
    """

    index: int
    parent: int
    chain: int
    info: int
    handle: int
    kind: str
    options: bytes

    @property
    def preference(self) -> int:
        """Filters of lower preference see packets first."""
        return self.info >> 16

    @property
    def program(self) -> int:
        """The number of the BPF program of a filter of kind ``bpf``; 0 for others, and for programs of the old form."""
        return int.from_bytes(self._of_bpf.get(_BPF_ID, b""), "little")

    @property
    def name(self) -> str:
        """The name that whoever added a filter of kind ``bpf`` gave it."""
        return text(self._of_bpf.get(_BPF_NAME, b""))

    @property
    def runs_program(self) -> bool:
        """Whether a BPF program sees the packets, as the filter or in an action."""
        return self.kind == "bpf" or any(name == "bpf" for name, _ in self._actions)

    @property
    def redirects(self) -> Iterator[Redirect]:
        """Where packets are sent to."""
        for name, options in self._actions:
            if name == "mirred":
                parameters = dict(attributes(options)).get(_MIRRED_PARAMETERS, b"")
                verdict, target = _MIRRED.unpack_from(parameters) if len(parameters) >= _MIRRED.size else (0, 0)
                yield Redirect(target=target, out=verdict in _TO_EGRESS)

    @cached_property
    def _of_bpf(self) -> dict[int, bytes]:
        return dict(attributes(self.options)) if self.kind == "bpf" else {}

    @cached_property
    def _actions(self) -> list[tuple[str, bytes]]:
        """Name and options of each action."""
        actions = (found for place, found in attributes(self.options) if place == _ACTIONS.get(self.kind))
        parts = (dict(attributes(action)) for found in actions for _, action in attributes(found))
        return [(text(part.get(KIND, b"")), part.get(OPTIONS, b"")) for part in parts]


def request_body(index: int = 0, *, handle: int = 0, parent: int = 0, info: int = 0) -> bytes:
    """The fixed part of every request, also of those for listings."""
    return _MESSAGE.pack(0, 0, index, handle, parent, info)


def read_qdisc(body: bytes) -> Qdisc:
    """Read one message of a listing."""
    _, _, index, handle, _, _ = _MESSAGE.unpack_from(body)
    found = dict(attributes(body, _MESSAGE.size))
    return Qdisc(index=index, kind=text(found.get(KIND, b"")), handle=handle)


def read_filter(body: bytes, index: int, parent: int) -> Filter:
    """Read one message of a listing of this interface and parent: the message has other numbers, those of a block."""
    _, _, _, handle, _, info = _MESSAGE.unpack_from(body)
    found = dict(attributes(body, _MESSAGE.size))
    return Filter(
        index=index,
        parent=parent,
        chain=int.from_bytes(found.get(_CHAIN, b""), "little"),
        info=info,
        handle=handle,
        kind=text(found.get(KIND, b"")),
        options=found.get(OPTIONS, b""),
    )


def filter_parents(qdisc: Qdisc) -> Iterator[int]:
    """The parents of all filters that a qdisc may have."""
    if qdisc.kind in {"ingress", "clsact"}:
        yield INGRESS
        if qdisc.kind == "clsact":
            yield EGRESS
    elif qdisc.kind not in _HARMLESS:
        yield qdisc.handle
