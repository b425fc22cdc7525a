"""Diversions of an interface's packets past the rules that name it, in the thread's namespace (S64).

Rules for an interface stand in the IP layer's hooks. Traffic control (Kata's redirects to its tap), XDP, nftables'
netdev family and flowtables, and other receive handlers get packets before that, or put them on the wire after it. A
process in the pod may set them up, with CAP_NET_ADMIN. Listed here are the diversions visible in the namespace itself;
an ipvlan child moved into a namespace below the pod's is invisible from here (docs/security.md).
"""

import struct
from collections.abc import Iterable, Mapping

from mnp_core.classes import frozen
from mnp_core.errors import SandboxError
from mnp_core.model import Link
from mnp_core.netfilter.attributes import attributes, text
from mnp_core.netfilter.messages import GENERIC, GET_FLOWTABLE, GET_RULE
from mnp_core.netfilter.netlink import NETLINK_NETFILTER, InterruptedDumpError, Netlink
from mnp_core.netfilter.traffic_control import (
    GET_FILTER,
    GET_QDISC,
    INGRESS,
    Filter,
    filter_parents,
    read_filter,
    read_qdisc,
    request_body,
)
from mnp_core.sandbox.bpf import enforces_policy, tcx_programs
from mnp_core.sandbox.listing import listed

_GET_NEIGHBOUR = 30  # RTM_GETNEIGH
_NEIGHBOUR = struct.Struct("=BxHiHBB")  # struct ndmsg: family, index, state, flags, type
_NDA_LLADDR, _NTF_SELF, _AF_BRIDGE = 2, 2, 7

_NETDEV = 5  # NFPROTO_NETDEV
_RULE_EXPRESSIONS, _EXPRESSION_NAME = 4, 1
_FLOWTABLE_HOOK, _FLOWTABLE_DEVICES, _DEVICE_NAME, _DEVICE_PREFIX = 3, 3, 1, 2
_MOVING = frozenset({"fwd", "dup"})  # expressions of the netdev family that put packets on another interface

_CHILDREN = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "ipoib", "rmnet", "hsr"})
"""Kinds of interfaces that take packets from the parent ahead of its IP layer (`rx_handler` and the like)."""


@frozen(kw_only=True)
class Diversions:
    """What takes packets past rules: the reason by interface, and whether not even traffic control sees them all."""

    reasons: Mapping[int, str]
    hidden: bool


class _Found:
    """Reasons by interface, the first of each; and reasons that may concern every interface but the one named."""

    def __init__(self, links: Mapping[int, Link]) -> None:
        self._links = links
        self._of: dict[int, str] = {link.index: link.diverted for link in links.values() if link.diverted}
        self._all: tuple[int, str] | None = None
        self.hidden = False

    def note(self, index: int, reason: str) -> None:
        if index in self._links:
            self._of.setdefault(index, reason)

    def note_all(self, index: int, reason: str) -> None:
        self._all = self._all or (index, reason)

    def name(self, index: int) -> str:
        link = self._links.get(index)
        return ascii(link.name[:15]) if link is not None else "an interface that has just gone"

    def reasons(self) -> dict[int, str]:
        if self._all is None:
            return self._of
        return {index: self._all[1] for index, link in self._links.items() if not link.loopback} | self._of


def read_diversions(kernel: Netlink, links: Mapping[int, Link]) -> Diversions:
    """Find the interfaces with packets that bypass the rules that name them, with the reason.

    Args:
        kernel: A socket of NETLINK_ROUTE in this namespace.
        links: All interfaces by index; `Link.diverted` holds the diversions found in the listing of links.

    Raises:
        OSError: The kernel refuses.
        SandboxError: Too much to list.
        InterruptedDumpError: The dump was inconsistent.
    """
    found = _Found(links)
    for link in links.values():
        if link.diverted:
            found.hidden = True
            found.note_all(link.index, f"an XDP program on {found.name(link.index)} can send packets out of it")
        if link.kind in _CHILDREN and link.parent_inside and link.parent is not None:
            problem = f"{found.name(link.index)} of kind {link.kind} on top of it gets packets before its rules do"
            found.note(link.parent, f"{problem}, and sends past them")
    _read_shared_macs(kernel, links, found)
    _read_filters(kernel, found)
    _read_tcx(links, found)
    _read_netdev(links, found)
    return Diversions(reasons=found.reasons(), hidden=found.hidden)


def _read_shared_macs(kernel: Netlink, links: Mapping[int, Link], found: _Found) -> None:
    """A macvlan on top of an interface, in any namespace, shows in the interface's list of MAC addresses."""
    for message in listed(kernel, _GET_NEIGHBOUR, _NEIGHBOUR.pack(_AF_BRIDGE, 0, 0, 0, 0, 0)):
        _, _, index, _, flags, _ = _NEIGHBOUR.unpack_from(message)
        mac = dict(attributes(message, _NEIGHBOUR.size)).get(_NDA_LLADDR, b"")
        link = links.get(index)
        if flags & _NTF_SELF and len(mac) == 6 and not mac[0] & 1 and link is not None and mac.hex(":") != link.mac:
            if link.kind in {"bridge", "vxlan"} or _is_bridge_port(link, links):  # a bridge's forwarding table
                continue
            found.note(index, f"it also receives for the MAC address {mac.hex(':')}, past its rules")


def _is_bridge_port(link: Link, links: Mapping[int, Link]) -> bool:
    """Whether a bridge has its packets, so that no macvlan can: an interface has one receive handler."""
    master = links.get(link.master) if link.master is not None else None
    return master is not None and master.kind == "bridge"


def _read_tcx(links: Mapping[int, Link], found: _Found) -> None:
    """Report unreadable state as a possible diversion."""
    try:
        for index, ingress in tcx_programs(links):
            if ingress:
                found.note(index, "a BPF program (tcx) sees its packets first, and can send them elsewhere")
            found.note_all(index, f"a BPF program (tcx) on {found.name(index)} can send packets out of it")
    except OSError as error:
        found.hidden = True
        found.note_all(0, f"whether BPF programs (tcx) take its packets cannot be seen: bpf(2): {error.strerror}")


# --- traffic control ----------------------------------------------------------------------------------------------


def _read_filters(kernel: Netlink, found: _Found) -> None:
    qdiscs = [read_qdisc(each) for each in listed(kernel, GET_QDISC, request_body())]
    for index, parent in dict.fromkeys((qdisc.index, parent) for qdisc in qdiscs for parent in filter_parents(qdisc)):
        for each in listed(kernel, GET_FILTER, request_body(index, parent=parent)):
            _note_filter(index, read_filter(each, index, parent), found, ingress=parent == INGRESS)


def _note_filter(index: int, about: Filter, found: _Found, *, ingress: bool) -> None:
    if about.runs_program and about.handle and not enforces_policy(about.program):
        if ingress:
            found.note(index, "a BPF program in tc sees its packets first, and can send them elsewhere")
        found.note_all(index, f"a BPF program in tc on {found.name(index)} can send packets out of it")
    for redirect in about.redirects:
        if ingress:
            found.note(index, f"tc redirects its packets to {found.name(redirect.target)}, past the pod's kernel")
        if redirect.out and redirect.target != index:
            found.note(redirect.target, f"tc sends packets of {found.name(index)} out of it, past its rules")


# --- nftables ------------------------------------------------------------------------------------------------------


def _read_netdev(links: Mapping[int, Link], found: _Found) -> None:
    """Rules of the netdev family that move packets, and flowtables of any family."""
    try:
        with Netlink(NETLINK_NETFILTER) as netfilter:
            moving = [rule for rule in listed(netfilter, GET_RULE, GENERIC.pack(_NETDEV, 0, 0)) if _moves(rule)]
            if moving:
                found.note_all(0, "rules of nftables' netdev family put packets on other interfaces past its rules")
            names = {
                name for message in listed(netfilter, GET_FLOWTABLE, GENERIC.pack(0, 0, 0)) for name in _flows(message)
            }
    except InterruptedDumpError:
        raise
    except SandboxError as error:
        raise SandboxError(f"rules of the netdev family: {error}") from error
    except OSError:  # this kernel has no nf_tables, or no flowtables
        return
    for link in links.values():
        if any(link.name == name or (prefix and link.name.startswith(name)) for name, prefix in names):
            found.note(link.index, "a flowtable of nftables forwards its packets past the rules")


def _moves(rule: bytes) -> bool:
    expressions = dict(attributes(rule, GENERIC.size)).get(_RULE_EXPRESSIONS, b"")
    return any(
        text(dict(attributes(expression)).get(_EXPRESSION_NAME, b"")) in _MOVING
        for _, expression in attributes(expressions)
    )


def _flows(flowtable: bytes) -> Iterable[tuple[str, bool]]:
    """Names of a flowtable's devices, and whether they are beginnings of names."""
    hook = dict(attributes(dict(attributes(flowtable, GENERIC.size)).get(_FLOWTABLE_HOOK, b"")))
    for kind, name in attributes(hook.get(_FLOWTABLE_DEVICES, b"")):
        yield text(name), kind == _DEVICE_PREFIX
