"""Brings rulesets into force in a sandbox, and reads them back.

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

from attrs import evolve

from mnp_core.api import Support
from mnp_core.errors import ApplyError
from mnp_core.model import Delta, EarlyDrop, Installed, LinkPath, RuleCounter, Ruleset
from mnp_core.netfilter.comments import decode
from mnp_ebpf import members
from mnp_ebpf.attachment import Programs, find_pods, open_pod
from mnp_ebpf.bpf import is_known_machine
from mnp_ebpf.clsact import Clsact
from mnp_ebpf.features import RANK
from mnp_ebpf.hooks import LOOPBACK, Attacher, both, hooks_of, links
from mnp_ebpf.pod import NOTHING, PodMaps, make_maps
from mnp_ebpf.program import RefusedError
from mnp_ebpf.renderer import EbpfRuleset
from mnp_ebpf.table import FoundTable
from mnp_ebpf.tcx import Tcx
from mnp_ebpf.trial import verify

_REMEDIES: Final = {
    errno.EPERM: "the agent needs the capabilities SYS_ADMIN and NET_ADMIN",
    errno.EACCES: "the agent needs the capabilities SYS_ADMIN and NET_ADMIN",
    errno.ENOMEM: "give the agent's container more memory, or lower connection-table-size: a pod takes 3 MB at 16,384",
    errno.ENOSYS: "this kernel has no bpf(2)",
}


class EbpfApplier:
    """Applies rulesets of the dialect ``ebpf``; see `mnp_core.api.RuleApplier`."""

    def __init__(self, attacher: Attacher | None = None) -> None:
        """Use a mechanism of the kernel; None: TCX, or what there is without it."""
        self._given = attacher

    @property
    def attacher(self) -> Attacher:
        """The mechanism in use."""
        return self._given or _attacher_of_kernel()

    def probe(self) -> Support:
        """Ask for the mechanism, or try out what there is without TCX; and have the verifier check the programs."""
        if not is_known_machine():
            return Support(usable=False, rank=RANK, detail=f"no program for {os.uname().machine}")
        try:
            attacher = self.attacher
            attacher.check()
            verify()
        except RefusedError as error:
            return Support(usable=False, rank=RANK, detail=_words(error))
        except OSError as error:
            return Support(
                usable=False, rank=RANK, detail=f"needs Linux 6.6, or 5.17 with cls_bpf: {_words(error, '')}"
            )
        return Support(usable=True, rank=RANK, detail=f"{attacher.name}, Linux {os.uname().release}")

    def apply(self, ruleset: Ruleset) -> None:
        """Write the rules beside those in force, attach the programs, and switch."""
        if not isinstance(ruleset, EbpfRuleset) or ruleset.says != ruleset.text:
            raise ApplyError("the text to apply was not written by EbpfRenderer: render it again")
        with _errors("the rules"), _pod(self.attacher, ruleset.connections) as pod:
            _apply(pod, ruleset)

    def update(self, delta: Delta) -> None:
        """Replace each changed group."""
        with _errors("the change of membership"), open_pod(self.attacher) as pod:
            if pod is None or pod.maps.in_force == NOTHING:
                raise ApplyError("no rules are in force here: apply them")
            _update(pod.maps, delta)

    def installed(self) -> Installed | None:
        """Read the rules in force; what cannot be read counts as drift."""
        with _errors("reading the rules"), open_pod(self.attacher) as pod:
            if pod is None or pod.maps.in_force == NOTHING:
                return None
            with suppress(ValueError):
                return _installed(pod)
            return Installed(digest="", sets={})

    def generation(self) -> int:
        """A number over interfaces, programs and maps."""
        with _errors("reading the rules"):
            return _hashed(self._outside(), *(pod.maps.identities() for pod in find_pods(self.attacher)))

    def quick_generation(self) -> int:
        """The same without the numbers of inner maps; see `mnp_core.api.QuickGeneration`."""
        with _errors("reading the rules"):
            return _hashed(self._outside(), *(pod.maps.state_bytes for pod in find_pods(self.attacher)))

    def _outside(self) -> bytes:
        found = links()
        return repr(found).encode() + self.attacher.state(found)

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in force."""
        with _errors("reading the counters"), open_pod(self.attacher) as pod:
            if pod is None or pod.maps.in_force == NOTHING:
                return []
            with suppress(ValueError):
                return list(_counters(pod.maps.read_table(pod.maps.in_force)))
            return []

    def forget_connections(self) -> None:
        """Forget the connections; see `mnp_core.api.ConnectionTracker`."""
        with _errors("forgetting connections"):
            for pod in find_pods(self.attacher):
                pod.maps.forget_connections()

    def evictions(self) -> Mapping[str, int]:
        """Connections that lost their place; see `mnp_core.api.EvictionCounter`."""
        with _errors("reading the counts of connections"), open_pod(self.attacher) as pod:
            return {} if pod is None else dict(zip(("established", "nascent"), pod.maps.evicted(), strict=True))

    def obstacle(self, path: LinkPath) -> str:  # noqa: ARG002 # the program is where the packets are, on every path
        """Nothing stands in the way; see `mnp_core.api.PathApplier`."""
        return ""

    def installed_paths(self) -> frozenset[LinkPath]:
        """The paths of the interfaces that rules in force are about; see `mnp_core.api.PathApplier`."""
        with _errors("reading the rules"), open_pod(self.attacher) as pod:
            if pod is None or pod.maps.in_force == NOTHING:
                return frozenset()
            with suppress(ValueError):
                interfaces = pod.maps.read_table(pod.maps.in_force).table.interfaces
                return frozenset(each.path for each in interfaces) - {LinkPath.IP}
            return frozenset()

    def remove(self) -> None:
        """Put nothing into force, and take the programs away; the maps go with them."""
        with _errors("removing the rules"):
            for pod in find_pods(self.attacher):
                pod.maps.put_in_force(NOTHING)
                found = links()
                for index in found.values():
                    pod.maps.drop_early(index, EarlyDrop.OFF)
                for hook in (*self.attacher.hooks(found), *both(LOOPBACK)):  # which holds the maps, so it is the last
                    pod.take_away(hook)


@cache
def _attacher_of_kernel() -> Attacher:
    """TCX, unless the kernel does not know it; a kernel that cannot be asked is asked again."""
    try:
        Tcx().check()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return Clsact()
    return Tcx()


# --- errors -----------------------------------------------------------------------------------------------------------


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ApplyError(f"{what}: {_words(error)}") from error


def _words(error: OSError, otherwise: str = "it is tried again") -> str:
    if isinstance(error, RefusedError):
        return str(error.strerror)
    remedy = _REMEDIES.get(error.errno or 0, otherwise)
    return f"{error.strerror}: {remedy}" if remedy else str(error.strerror)


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def _pod(attacher: Attacher, connections: int) -> Iterator[Programs]:
    """The maps of the sandbox, made if there are none; those that are there keep their size."""
    with open_pod(attacher) as found:
        if found is not None:
            yield found
            return
    with make_maps(connections) as made:
        yield Programs(attacher, made)


def _apply(pod: Programs, ruleset: EbpfRuleset) -> None:
    maps, found = pod.maps, links()
    table = pod.attacher.locate(ruleset.table, found)
    place = 1 if maps.in_force == 0 else 0
    maps.write(place, table, ruleset.sets)
    wanted = pod.wanted(table)
    for hook, direction in wanted.items():
        pod.put_first(hook, direction)
    maps.put_in_force(place)
    maps.wait_for_packets()
    for index in found.values():
        maps.drop_early(index, table.early_at(index))
    for hook in set(pod.attacher.hooks(found)) - wanted.keys():
        pod.take_away(hook)


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


def _installed(pod: Programs) -> Installed:
    maps, place = pod.maps, pod.maps.in_force
    table = maps.read_table(place).table
    sets = {name: members.members_of(name, maps.read_set(place, number)) for number, name in enumerate(table.sets)}
    late, kept = False, pod.are_first((hook, hook.direction) for hook in pod.attacher.further(evolve(table, others=())))
    try:
        now = pod.attacher.locate(table, links())
    except (ApplyError, OSError):  # which the next application reports
        return Installed(digest="", sets=sets)
    for before, after in zip(table.interfaces, now.interfaces, strict=True):
        if after.place.index and after.place != before.place:
            late = True
        else:
            kept = kept and pod.are_first(hooks_of(after.place))
    return Installed(digest=table.digest if kept else "", sets=sets, incomplete=late)


def _hashed(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], "big") >> 1


def _counters(found: FoundTable) -> Iterator[RuleCounter]:
    for interface, direction, label, packets, octets in found.counted():
        yield RuleCounter(
            interface=interface, direction=direction.value, label=decode(label), packets=packets, bytes=octets
        )
