"""Brings rulesets into force in a sandbox, and reads them back.

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from mnp_core.api import Support
from mnp_core.errors import ApplyError
from mnp_core.model import Delta, Direction, EarlyDrop, Installed, LinkPath, RuleCounter, Ruleset
from mnp_core.netfilter.comments import decode
from mnp_ebpf import members, tcx
from mnp_ebpf.bpf import is_known_machine
from mnp_ebpf.features import RANK
from mnp_ebpf.maps import Kind, Map
from mnp_ebpf.pod import NOTHING, PodMaps, find_maps, make_maps, open_maps
from mnp_ebpf.renderer import EbpfRuleset
from mnp_ebpf.table import FoundTable, Place, Table

_REMEDIES: Final = {
    errno.EPERM: "the agent needs the capabilities SYS_ADMIN and NET_ADMIN",
    errno.EACCES: "the agent needs the capabilities SYS_ADMIN and NET_ADMIN",
    errno.ENOMEM: "give the agent's container more memory, or lower connection-table-size: a pod takes 3 MB at 16,384",
    errno.EINVAL: "this needs Linux 6.6 or newer",
    errno.ENOSYS: "this kernel has no bpf(2)",
}


class EbpfApplier:
    """Applies rulesets of the dialect ``ebpf``; see `mnp_core.api.RuleApplier`."""

    def probe(self) -> Support:
        """Ask the kernel for the programs at ``lo``, and for a map, which goes at once."""
        if not is_known_machine():
            return Support(usable=False, rank=RANK, detail=f"no program for {os.uname().machine}")
        try:
            tcx.attached(tcx.LOOPBACK, Direction.INGRESS)
            Map.make("mnp_probe", Kind.ARRAY, 4, 4, 1).close()
        except OSError as error:
            return Support(usable=False, rank=RANK, detail=f"no TCX by bpf(2): {_words(error)}")
        return Support(usable=True, rank=RANK, detail=f"TCX, Linux {os.uname().release}")

    def apply(self, ruleset: Ruleset) -> None:
        """Write the rules beside those in force, attach the programs, and switch."""
        if not isinstance(ruleset, EbpfRuleset) or ruleset.says != ruleset.text:
            raise ApplyError("the text to apply was not written by EbpfRenderer: render it again")
        with _errors("the rules"), _maps(ruleset.connections) as maps:
            _apply(maps, ruleset)

    def update(self, delta: Delta) -> None:
        """Replace each changed group."""
        with _errors("the change of membership"), open_maps() as maps:
            if maps is None or maps.in_force == NOTHING:
                raise ApplyError("no rules are in force here: apply them")
            _update(maps, delta)

    def installed(self) -> Installed | None:
        """Read the rules in force; what cannot be read counts as drift."""
        with _errors("reading the rules"), open_maps() as maps:
            if maps is None or maps.in_force == NOTHING:
                return None
            with suppress(ValueError):
                return _installed(maps)
            return Installed(digest="", sets={})

    def generation(self) -> int:
        """A number over interfaces, programs and maps."""
        with _errors("reading the rules"):
            return _hashed(_outside(), b"".join(maps.identities() for maps in find_maps()))

    def quick_generation(self) -> int:
        """The same without the numbers of inner maps; see `mnp_core.api.QuickGeneration`."""
        with _errors("reading the rules"):
            return _hashed(_outside(), *(maps.state_bytes for maps in find_maps()))

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in force."""
        with _errors("reading the counters"), open_maps() as maps:
            if maps is None or maps.in_force == NOTHING:
                return []
            with suppress(ValueError):
                return list(_counters(maps.read_table(maps.in_force)))
            return []

    def forget_connections(self) -> None:
        """Forget the connections; see `mnp_core.api.ConnectionTracker`."""
        with _errors("forgetting connections"):
            for maps in find_maps():
                maps.forget_connections()

    def evictions(self) -> Mapping[str, int]:
        """Connections that lost their place; see `mnp_core.api.EvictionCounter`."""
        with _errors("reading the counts of connections"), open_maps() as maps:
            return {} if maps is None else dict(zip(("established", "nascent"), maps.evicted(), strict=True))

    def obstacle(self, path: LinkPath) -> str:  # noqa: ARG002 # the program is where the packets are, on every path
        """Nothing stands in the way; see `mnp_core.api.PathApplier`."""
        return ""

    def installed_paths(self) -> frozenset[LinkPath]:
        """The paths of the interfaces that rules in force are about; see `mnp_core.api.PathApplier`."""
        with _errors("reading the rules"), open_maps() as maps:
            if maps is None or maps.in_force == NOTHING:
                return frozenset()
            with suppress(ValueError):
                interfaces = maps.read_table(maps.in_force).table.interfaces
                return frozenset(each.path for each in interfaces) - {LinkPath.IP}
            return frozenset()

    def remove(self) -> None:
        """Put nothing into force, and take the programs away; the maps go with them."""
        with _errors("removing the rules"):
            for maps in find_maps():
                maps.put_in_force(NOTHING)
                links = tcx.links().values()
                for index in links:
                    maps.drop_early(index, EarlyDrop.OFF)
                for index in (*links, tcx.LOOPBACK):  # which holds the maps, so it is the last
                    for direction in Direction:
                        maps.take_away(index, direction)


# --- errors -----------------------------------------------------------------------------------------------------------


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ApplyError(f"{what}: bpf(2): {_words(error)}") from error


def _words(error: OSError) -> str:
    remedy = _REMEDIES.get(error.errno or 0, "it is tried again")
    return f"{error.strerror}: {remedy}"


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def _maps(connections: int) -> Iterator[PodMaps]:
    """The maps of the sandbox, made if there are none; those that are there keep their size."""
    with open_maps() as found:
        if found is not None:
            yield found
            return
    with make_maps(connections) as made:
        yield made


def _apply(maps: PodMaps, ruleset: EbpfRuleset) -> None:
    links = tcx.links()
    table = ruleset.table.at(_places(ruleset.table, links))
    before = maps.in_force
    place = 1 if before == 0 else 0
    maps.write(place, table, ruleset.sets)
    used = [tcx.LOOPBACK, *table.indexes]
    for index in used:
        for direction in Direction:
            maps.put_first(index, direction)
    maps.put_in_force(place)
    maps.wait_for_packets()
    for index in links.values():
        maps.drop_early(index, table.early_at(index))
    for index in set(links.values()) - set(used):
        for direction in Direction:
            maps.take_away(index, direction)


def _places(table: Table, links: Mapping[str, int]) -> Mapping[str, Place]:
    """The interfaces that are there; those that cannot be read are left out, unless rules are about them."""
    named, found = {each.link for each in table.interfaces}, {}
    for name, index in links.items():
        try:
            found[name] = tcx.place(name, index)
        except OSError:
            if name in named:
                raise
    return found


def _update(maps: PodMaps, delta: Delta) -> None:
    place = maps.in_force
    try:
        sets = maps.read_table(place).table.sets
        for name in sorted({*delta.added, *delta.removed}):
            number = sets.index(name)
            found = members.elements_only(name, maps.read_set(place, number))
            added, removed = (members.keys(name, change.get(name, ())) for change in (delta.added, delta.removed))
            if added & found or not removed <= found:
                raise ApplyError(f"the set {name} has not the members that the change expects: apply the rules")
            maps.replace_set(place, number, members.completed(name, found - removed | added))
    except ValueError as error:
        raise ApplyError(
            f"the rules in force have no such set, or cannot be read ({error}): apply the rules"
        ) from error
    maps.note_change()


# --- reading ----------------------------------------------------------------------------------------------------------


def _installed(maps: PodMaps) -> Installed:
    place = maps.in_force
    table = maps.read_table(place).table
    sets = {name: members.members_of(name, maps.read_set(place, number)) for number, name in enumerate(table.sets)}
    links = tcx.links()
    kept = all(maps.is_first(tcx.LOOPBACK, direction) for direction in Direction) and _are_first(maps, table, links)
    late = any(links.get(each.link, each.place.index) != each.place.index for each in table.interfaces)
    return Installed(digest=table.digest if kept else "", sets=sets, incomplete=late)


def _are_first(maps: PodMaps, table: Table, links: Mapping[str, int]) -> bool:
    """Whether our programs are the first at all interfaces that the table has found, as far as they are there."""
    there = [each.place.index for each in table.interfaces if links.get(each.link) == each.place.index]
    return all(maps.is_first(index, direction) for index in there for direction in Direction)


def _outside() -> bytes:
    links = tcx.links()
    points = [tcx.attached(index, direction) for index in (tcx.LOOPBACK, *links.values()) for direction in Direction]
    return repr((links, points)).encode()


def _hashed(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], "big") >> 1


def _counters(found: FoundTable) -> Iterator[RuleCounter]:
    for interface, direction, label, packets, octets in found.counted():
        yield RuleCounter(
            interface=interface, direction=direction.value, label=decode(label), packets=packets, bytes=octets
        )
