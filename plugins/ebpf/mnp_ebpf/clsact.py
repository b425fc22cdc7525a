"""Programs at hooks by filters of traffic control (`cls_bpf`), for kernels without TCX.

Filters need a qdisc: ours is `clsact`. An interface has one of `clsact` and `ingress`, and who adds a second one is
refused, as Kata would be: its guest does not start. So ours comes to ``lo`` and to interfaces with rules: those that
discovery has seen wired, or for which a setting names this backend. Other interfaces of a pod get one in the latter
case only, and what is there is used as it is. `ingress` has no hook for what an interface sends. Where Kata put it,
what the guest sends is judged where its tap hands it over, in front of the redirect.
"""

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.model import Direction, LinkPath
from mnp_core.netfilter.traffic_control import EGRESS, INGRESS, Filter
from mnp_ebpf.attachment import PROGRAMS
from mnp_ebpf.filters import Filters
from mnp_ebpf.hooks import LOOPBACK, Hook, both, read_place, read_places
from mnp_ebpf.program_info import find_program
from mnp_ebpf.table import Interface, Mode, Place, Table
from mnp_ebpf.trial import attempt

_PARENTS: Final = {Direction.INGRESS: INGRESS, Direction.EGRESS: EGRESS}
_NAME, _NAME_WITH_QDISC = "mnp", "mnp+clsact"
"""Names of our filters; the second one says that the qdisc is ours, too: it has no place for a mark."""
_REMEDY: Final = "Linux 6.6 has no such limit"


class Clsact:
    """Filters of preference 1; see `mnp_ebpf.hooks.Attacher`."""

    name = "cls_bpf"

    def check(self) -> None:
        """Try it out."""
        attempt(self)

    def locate(self, table: Table, links: Mapping[str, int]) -> Table:
        """Beside a qdisc `ingress`, what an interface sends is judged at the interfaces that are redirected to it."""
        places = dict(read_places(table, links))
        with Filters() as kernel:
            kinds = kernel.kinds()
            found = [
                each
                for each in table.interfaces
                if each.link in places and kinds.get(places[each.link].index) == "ingress"
            ]
            filters = kernel.everywhere() if found else []
        for each in found:
            place = places[each.link]
            places[each.link] = evolve(place, sources=_sources(each, place.index, filters, links))
        located = table.at(places)
        _check_apart(located)
        return located

    def further(self, table: Table) -> Iterable[Hook]:
        """Those of ``lo``, and those that are there; or all, if a setting has named this backend for the pod."""
        indexes = [LOOPBACK, *(each.index for each in table.others)]
        is_named = any(each.path is LinkPath.IP for each in table.interfaces)
        with Filters() as kernel:
            kinds = {**dict.fromkeys(indexes if is_named else [LOOPBACK], "clsact"), **kernel.kinds()}
        return [hook for index in indexes for hook in _hooks(index, kinds)]

    def hooks(self, links: Mapping[str, int]) -> Iterable[Hook]:
        """Those that are there."""
        with Filters() as kernel:
            kinds = kernel.kinds()
        return [hook for index in links.values() for hook in _hooks(index, kinds)]

    def attached(self, hook: Hook) -> Sequence[int]:
        """List them."""
        with Filters() as kernel:
            return [each.program for each in _at(kernel, hook)]

    def attach(self, hook: Hook, program: int) -> None:
        """Add the filter, and the qdisc if there is none."""
        with Filters() as kernel:
            kind = kernel.kinds().get(hook.index)
            if kind == "ingress" and hook.direction is Direction.EGRESS:
                raise OSError(errno.EBUSY, f"a qdisc `ingress` was added meanwhile; {_REMEDY}")
            if kind is None:
                kernel.add_qdisc(hook.index)
            name = _NAME_WITH_QDISC if kind is None or _is_our_qdisc(kernel, hook.index) else _NAME
            try:
                kernel.add_first(hook.index, _PARENTS[hook.direction], program, name)
            except OSError:
                if kind is None:
                    kernel.remove_qdisc(hook.index)
                raise

    def detach(self, hook: Hook, identity: int) -> None:
        """Remove the filter, and the qdisc if it is ours and has no other."""
        with Filters() as kernel:
            removed = [each for each in _at(kernel, hook) if each.program == identity]
            for each in removed:
                kernel.remove(each)
            ours = any(each.name == _NAME_WITH_QDISC for each in removed)
            if ours and not any(each.index == hook.index for each in kernel.everywhere()):
                kernel.remove_qdisc(hook.index)

    def state(self, links: Mapping[str, int]) -> bytes:  # noqa: ARG002 # listings are of all interfaces
        """Qdiscs and filters, but for their counters."""
        with Filters() as kernel:
            return repr((kernel.kinds(), [_summary(each) for each in kernel.everywhere()])).encode()


def _hooks(index: int, kinds: Mapping[int, str]) -> Iterator[Hook]:
    kind = kinds.get(index)
    return (hook for hook in both(index) if kind == "clsact" or (kind and hook.direction is Direction.INGRESS))


def _at(kernel: Filters, hook: Hook) -> list[Filter]:
    """The filters of a hook. The qdisc `ingress` would list those of ingress for egress, too."""
    there = hook in _hooks(hook.index, kernel.kinds())
    return kernel.at(hook.index, _PARENTS[hook.direction]) if there else []


def _is_our_qdisc(kernel: Filters, index: int) -> bool:
    found = (each for parent in _PARENTS.values() for each in kernel.at(index, parent))
    return any(each.name == _NAME_WITH_QDISC and _is_ours(each) for each in found)


def _is_ours(about: Filter) -> bool:
    info = find_program(about.program) if about.program else None
    return info is not None and info.name in PROGRAMS.values()


def _summary(about: Filter) -> tuple[object, ...]:
    numbers = about.index, about.parent, about.chain, about.info, about.handle, about.kind
    return *numbers, about.program, *about.redirects


# --- interfaces with a qdisc `ingress` --------------------------------------------------------------------------------


def _sources(
    interface: Interface, index: int, filters: Sequence[Filter], links: Mapping[str, int]
) -> tuple[Place, ...]:
    """The interfaces that are redirected to one.

    Raises:
        ApplyError: It has rules of egress, and sends more than what these receive.
    """
    ways = [each for each in filters if any(way.out and way.target == index for way in each.redirects)]
    names = {number: name for name, number in links.items()}
    if interface.egress.mode is not Mode.OPEN and (reason := _leak(index, filters, ways, names)):
        text = "its qdisc `ingress` leaves no hook for what it sends"
        raise ApplyError(f"interface {interface.link!r}: {text}, and {reason}; take one of them away: {_REMEDY}")
    taken = dict.fromkeys(each.index for each in ways if each.parent == INGRESS and each.index in names)
    return tuple(read_place(names[number], number) for number in taken if number != index)


def _leak(index: int, filters: Sequence[Filter], ways: Sequence[Filter], names: Mapping[int, str]) -> str:
    """Why the ingress of other interfaces does not show everything that traffic control sends out of one."""
    if any(each.runs_program and not _is_ours(each) for each in filters):
        return "a BPF program of others in traffic control may send packets out of it"
    if any(each.parent != INGRESS or each.index == index or each.index not in names for each in ways):
        return "packets are redirected to it from elsewhere than the ingress of another interface"
    if not ways and not any(each.index == index and [*each.redirects] for each in filters):
        return "nothing is redirected: it is not that of a virtual machine"
    return ""


def _check_apart(table: Table) -> None:
    """Make sure that each hook has one program.

    Raises:
        ApplyError: Packets of one interface are judged by the rules of two.
    """
    places = [each.place for each in table.interfaces]
    sources = [source.index for place in places for source in place.sources or ()]
    counts = Counter([*sources, *(place.index for place in places if sources)])
    if crowded := [index for index, number in counts.items() if index and number > 1]:
        raise ApplyError(
            f"packets of the interface with index {crowded[0]} are redirected to an interface with rules, beside rules "
            f"of its own, or to two: these cannot be told apart; {_REMEDY}"
        )
