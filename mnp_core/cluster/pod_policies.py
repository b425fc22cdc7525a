"""The policies of one local pod, and their share of its budget: the change of one policy costs one policy."""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

from attrs import define, field, frozen

from mnp_core.cluster.pods import IndexedPod
from mnp_core.model import ObjectName, ObjectRef, Scope
from mnp_core.model.budget import Size
from mnp_core.policy.compile import CompiledPolicy

Interface = tuple[ObjectName, str]
"""A network, and the interface on it."""

_Item = TypeVar("_Item", bound=Hashable)


@frozen
class Coverage:
    """The part of one pod that a scope covers.

    Attributes:
        enforceable: The number of interfaces on which it is enforced.
        interfaces: All interfaces, enforceable or not.
    """

    enforceable: int
    interfaces: tuple[Interface, ...]


@define(eq=False)
class PodPolicies:
    """The policies of one pod.

    Attributes:
        pod: The pod.
        selecting: Policies whose podSelector matches it.
        policies: Those of them that cover one of its interfaces, without rules if these exceed a budget.
        sizes: The size of each policy within budget, on all interfaces together, without selectors.
        total: The sum of `sizes`.
        groups: The number of policies within budget that use a group.
        selected: The number of policies that select an interface.
    """

    pod: IndexedPod
    selecting: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    policies: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    sizes: dict[ObjectRef, Size] = field(factory=dict)
    total: Size = field(factory=Size)
    groups: Counter[str] = field(factory=Counter)
    selected: Counter[Interface] = field(factory=Counter)
    _coverages: dict[Scope, Coverage] = field(factory=dict)

    @property
    def within_budget(self) -> bool:
        """Whether every policy has its rules; the order of admission has no effect then."""
        return len(self.sizes) == len(self.policies)

    def coverage(self, scope: Scope) -> Coverage:
        """The part of the pod that a scope covers."""
        coverage = self._coverages.get(scope)
        if coverage is None:
            coverage = self._coverages[scope] = _coverage(self.pod, scope)
        return coverage

    def select(self, compiled: CompiledPolicy) -> bool:
        """Add a policy that selects the pod; return whether it covers an enforceable interface."""
        coverage = self.coverage(compiled.policy.scope)
        self.selecting[compiled.policy.ref] = compiled
        self.selected.update(coverage.interfaces)
        return bool(coverage.enforceable)

    def admit(self, compiled: CompiledPolicy, size: Size) -> None:
        """Add a policy within budget."""
        ref = compiled.policy.ref
        self.policies[ref], self.sizes[ref] = compiled, size
        self.total += size
        self.groups.update(compiled.groups.keys())

    def remove(self, ref: ObjectRef) -> Iterable[str]:
        """Remove a policy; return the groups that no other policy of the pod uses."""
        selecting, compiled = self.selecting.pop(ref, None), self.policies.pop(ref, None)
        if selecting is not None:
            _subtract(self.selected, self.coverage(selecting.policy.scope).interfaces)
        size = self.sizes.pop(ref, None)
        if compiled is None or size is None:
            return ()
        self.total -= size
        return _subtract(self.groups, compiled.groups)


def _coverage(pod: IndexedPod, scope: Scope) -> Coverage:
    enforced, problems = pod.claims.enforced, pod.claims.problems
    problematic = {problem.attachment for problem in problems if problem.attachment is not None}
    interfaces = {(a.network, a.interface) for a in (*enforced, *problematic) if scope.may_cover(a)}
    enforceable = {attachment.interface for attachment in enforced if scope.may_cover(attachment)}
    return Coverage(len(enforceable), tuple(interfaces))


def _subtract(counts: Counter[_Item], items: Iterable[_Item]) -> list[_Item]:
    """Subtract one of each item; return the items that reach zero."""
    gone = []
    for item in items:
        counts[item] -= 1
        if not counts[item]:
            del counts[item]
            gone.append(item)
    return gone
