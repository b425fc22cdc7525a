"""Sets as the rules of one applier use them: a name of the ruleset is a set with a version behind its name.

Rules and sets cannot change in one step. So the members of a set that rules look into change only by themselves (a
delta of membership). Where they are to change together with the rules, a fresh set is made in the next version and
filled while no rule knows it, the new rules take it up as they come into force, and the old one goes when no rule
uses it any more. A set that has the right members already is left as it is.

The two appliers have versions of their own, so that each finds, and removes, exactly its own sets.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping

from mnp_core.errors import ApplyError
from mnp_core.model import Delta
from mnp_iptables.persistence import insist
from mnp_iptables.sets.ipset import Header, Ipset
from mnp_iptables.sets.set_types import Elements, SetType

_VERSIONS = 9
_PATIENCE = 2.0  # seconds; nf_tables lets go of sets a little (an RCU grace period, some 10 ms) after its commit
_PAUSE = 0.002
_PREFIX = "mnp"
_MOST = 1_000_000
"""Members that all sets of a pod have together at most. If there are more, a process in the pod has added them: then
they are not read, which would cost hundreds of MiB, but count as another state, and the sets are made anew."""


class VersionedSets:
    """The sets of one applier, in the network namespace of the calling thread."""

    def __init__(self, suffix: str) -> None:
        """Use names that end in a hyphen, this suffix and a digit."""
        self._suffix = suffix
        self._ours = re.compile(rf"(mnp[beu]?[46]-[a-z2-7]+)-{suffix}[1-{_VERSIONS}]")

    def names(self) -> list[str]:
        """Our sets in the kernel, by their names there."""
        with Ipset() as kernel:
            return [header.name for header in self._all(kernel)]

    def prepare(self, types: Mapping[str, SetType], members: Elements) -> dict[str, str]:
        """Provide a set with exactly these members for each name, without a change of sets in use.

        Returns:
            For each name of the ruleset, the set that the rules are to use.

        Raises:
            ApplyError: The kernel refused; sets that were made are left for `keep`.
        """
        with Ipset() as kernel:
            found = kernel.headers(_PREFIX)
            taken, live = {header.name for header in found}, self._live(found)
            return {
                name: self._ready(kernel, taken, live.get(name), name, kind, members[name])
                for name, kind in types.items()
            }

    def numbers(self, names: Mapping[str, str]) -> dict[str, int]:
        """The numbers by which rules know sets, by their names in the ruleset."""
        with Ipset() as kernel:
            return {name: kernel.index(found) for name, found in names.items()}

    def in_force(self, types: Mapping[str, SetType], members: Elements) -> dict[str, int] | None:
        """The numbers of the sets if rules use exactly these, with exactly these members; None otherwise."""
        with Ipset() as kernel:
            live = self._live(kernel.headers(_PREFIX))
            unused = {name for name, header in live.items() if not header.references}
            if live.keys() - unused != types.keys() - unused or not types.keys() <= live.keys():
                return None
            if not all(_holds(kernel, live[name], kind, members[name]) for name, kind in types.items()):
                return None
            return {name: kernel.index(live[name].name) for name in types}

    def keep(self, names: Iterable[str]) -> None:
        """Delete every unused set of ours but these."""
        kept = set(names)
        with Ipset() as kernel:
            gone = [header.name for header in self._all(kernel) if header.name not in kept]
            until = time.monotonic() + _PATIENCE
            while gone := [name for name in gone if not kernel.destroy(name)]:
                if time.monotonic() > until:
                    return  # a foreign rule uses it; the next ruleset tries again
                time.sleep(_PAUSE)

    def change(self, delta: Delta) -> None:
        """Change members, all of them or none.

        Raises:
            ApplyError: A set is missing, or its members are not those that the delta expects.
        """
        with Ipset() as kernel:
            live = {name: header.name for name, header in self._live(kernel.headers(_PREFIX)).items()}
            self._expect(kernel, live, delta)
            try:
                for name, elements in delta.removed.items():
                    kernel.delete(live[name], elements)
                for name, elements in delta.added.items():
                    kernel.add(live[name], elements)
            except (ApplyError, OSError):
                insist(lambda: _undo(live, delta))
                raise

    def members(self) -> dict[str, frozenset[str]] | None:
        """The members of each set in force, by its name in the ruleset; None if there are too many to be ours."""
        with Ipset() as kernel:
            live = self._live(kernel.headers(_PREFIX))
            if sum(header.count for header in live.values()) > _MOST:
                return None
            return {name: kernel.members(header.name) for name, header in live.items()}

    def state(self) -> bytes:
        """A digest that changes whenever the members of some set do, without looking at them one by one."""
        with Ipset() as kernel:
            found = sorted(self._all(kernel), key=lambda header: header.name)
            parts = [f"{header.name} {header.type} {header.count}".encode() for header in found]
            if sum(header.count for header in found) <= _MOST:
                parts += (kernel.content(header.name) for header in found)
            return hashlib.sha256(b"\0".join(parts)).digest()

    # --- one set --------------------------------------------------------------------------------------------------

    def _ready(
        self,
        kernel: Ipset,
        taken: set[str],
        live: Header | None,
        name: str,
        kind: SetType,
        members: frozenset[str],
    ) -> str:
        """The set in force if it is right, else a fresh one."""
        if live is not None and _holds(kernel, live, kind, members):
            return live.name
        free = (
            version for digit in range(1, _VERSIONS + 1) if (version := f"{name}-{self._suffix}{digit}") not in taken
        )
        fresh = next(free, None)
        if fresh is None:
            raise ApplyError(f"ipset: every version of set {name} is taken: remove the sets of that name by hand")
        kernel.create(fresh, kind, size=len(members))
        kernel.add(fresh, members)
        return fresh

    def _live(self, headers: Iterable[Header]) -> dict[str, Header]:
        """By name in the ruleset, the set that rules use; one that none uses if there is no other."""
        live: dict[str, Header] = {}
        for header in sorted(headers, key=lambda header: (header.references > 0, header.name)):
            if match := self._ours.fullmatch(header.name):
                live[match[1]] = header
        return live

    def _expect(self, kernel: Ipset, live: Mapping[str, str], delta: Delta) -> None:
        for name in {*delta.added, *delta.removed}:
            if name not in live:
                raise ApplyError(f"ipset: there is no set {name}")
            for element in delta.removed.get(name, ()):
                if not kernel.test(live[name], element):
                    raise ApplyError(f"ipset: set {name} lacks {element}, which is to be removed")
            for element in delta.added.get(name, ()):
                if kernel.test(live[name], element):
                    raise ApplyError(f"ipset: set {name} has {element} already, which is to be added")

    def _all(self, kernel: Ipset) -> list[Header]:
        return [header for header in kernel.headers(_PREFIX) if self._ours.fullmatch(header.name)]


def _undo(live: Mapping[str, str], delta: Delta) -> None:
    """Roll back a change of members that may have been made in part."""
    with Ipset() as kernel:
        for name, elements in delta.added.items():
            kernel.delete(live[name], [each for each in elements if kernel.test(live[name], each)])
        for name, elements in delta.removed.items():
            kernel.add(live[name], [each for each in elements if not kernel.test(live[name], each)])


def _holds(kernel: Ipset, found: Header, kind: SetType, members: frozenset[str]) -> bool:
    """Whether a set has exactly these members; a much larger one is not even read."""
    return found.type == kind and found.count == len(members) and kernel.members(found.name) == members
