"""Changes of policies in one batch that are changes of blocks alone, each worked out once, with the pods concerned."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from mnp_core.cluster.affected import BlocksChange
from mnp_core.model import BlocksDelta, ObjectName
from mnp_core.policy.block_changes import block_changes
from mnp_core.policy.compile import CompiledPolicy

Replacement = tuple[CompiledPolicy | None, CompiledPolicy | None]
"""A policy as it was enforced in a pod, and as it is now; None where it was not, or is not."""


class BlocksChanged:
    """The changes of one batch."""

    def __init__(self) -> None:
        """Begin without changes."""
        self._known: dict[tuple[int, int], tuple[Replacement, tuple[BlocksDelta, ...] | None]] = {}
        self._users: defaultdict[int, set[ObjectName]] = defaultdict(set)
        self._deltas: dict[int, BlocksDelta] = {}

    def add(self, pod: ObjectName, replaced: Iterable[Replacement]) -> bool:
        """Add the replaced policies of a pod; false, without effect, unless only blocks of them have changed."""
        found = list[BlocksDelta]()
        for replacement in replaced:
            changes = self._changes(replacement)
            if changes is None:
                return False
            found.extend(changes)
        for delta in found:
            self._deltas[id(delta)] = delta
            self._users[id(delta)].add(pod)
        return True

    def changes(self) -> Iterator[BlocksChange]:
        """All changes, in the order of the policies."""
        return ((delta, frozenset(self._users[key])) for key, delta in self._deltas.items())

    def _changes(self, replacement: Replacement) -> tuple[BlocksDelta, ...] | None:
        before, after = replacement
        if before is None or after is None:
            return None
        key = id(before), id(after)
        if key not in self._known:
            self._known[key] = replacement, block_changes(before, after)
        return self._known[key][1]
