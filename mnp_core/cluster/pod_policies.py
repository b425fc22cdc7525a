"""The policies of one local pod, with what they take of its budget: a change of one policy costs one policy."""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

from attrs import define, field, frozen

from mnp_core.cluster.pods import IndexedPod
from mnp_core.model import ObjectName, ObjectRef, Scope
from mnp_core.model.budget import Size
from mnp_core.policy.compile import CompiledPolicy

Place = tuple[ObjectName, str]
"""A network, and the interface on it."""

_Item = TypeVar("_Item", bound=Hashable)


@frozen
class Reach:
    """Where in one pod a scope applies.

    Attributes:
        interfaces: On how many interfaces it is enforced.
        places: Also those that cannot be enforced.
    """

    interfaces: int
    places: tuple[Place, ...]


@define(eq=False)
class PodPolicies:
    """The policies of one pod.

    Attributes:
        member: The pod.
        selecting: Those whose podSelector matches it.
        in_force: Those of them that are about one of its interfaces, without rules where there is no room for these.
        sizes: What the rules of each take on all interfaces, of those that there is room for.
        total: Of all `sizes` but the selectors, which policies share.
        groups: How many of the policies that there is room for use a group.
        selected: How many policies are about a place.
    """

    member: IndexedPod
    selecting: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    in_force: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    sizes: dict[ObjectRef, Size] = field(factory=dict)
    total: Size = field(factory=Size)
    groups: Counter[str] = field(factory=Counter)
    selected: Counter[Place] = field(factory=Counter)
    _reaches: dict[Scope, Reach] = field(factory=dict)

    @property
    def has_room_for_all(self) -> bool:
        """Whether no policy has to do without its rules; then their order is of no matter."""
        return len(self.sizes) == len(self.in_force)

    def reach(self, scope: Scope) -> Reach:
        """Where in the pod a scope applies."""
        reach = self._reaches.get(scope)
        if reach is None:
            policed, problems = self.member.claims.policed, self.member.claims.problems
            about = {problem.attachment for problem in problems if problem.attachment is not None}
            places = {(a.network, a.interface) for a in (*policed, *about) if scope.may_cover(a)}
            interfaces = {attachment.interface for attachment in policed if scope.may_cover(attachment)}
            reach = self._reaches[scope] = Reach(len(interfaces), tuple(places))
        return reach

    def select(self, compiled: CompiledPolicy) -> bool:
        """Note that a policy selects the pod; whether it is about one of its interfaces."""
        reach = self.reach(compiled.policy.scope)
        self.selecting[compiled.policy.ref] = compiled
        self.selected.update(reach.places)
        return bool(reach.interfaces)

    def add(self, compiled: CompiledPolicy, size: Size) -> None:
        """Note that there is room for the rules of a policy."""
        ref = compiled.policy.ref
        self.in_force[ref], self.sizes[ref] = compiled, size
        self.total += size
        self.groups.update(compiled.groups.keys())

    def drop(self, ref: ObjectRef) -> Iterable[str]:
        """Forget a policy; the groups that no policy of the pod uses any more."""
        selecting, compiled = self.selecting.pop(ref, None), self.in_force.pop(ref, None)
        if selecting is not None:
            _take_off(self.selected, self.reach(selecting.policy.scope).places)
        size = self.sizes.pop(ref, None)
        if compiled is None or size is None:
            return ()
        self.total -= size
        return _take_off(self.groups, compiled.groups)


def _take_off(counts: Counter[_Item], items: Iterable[_Item]) -> list[_Item]:
    """Count one less of each; those of which none is left."""
    gone = []
    for item in items:
        counts[item] -= 1
        if not counts[item]:
            del counts[item]
            gone.append(item)
    return gone
