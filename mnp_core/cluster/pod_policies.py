"""The policies of one local pod, and their share of its budget: the change of one policy costs one policy.

Selection is always current. Admission depends on the order of all policies once a budget is exceeded: then it is stale
from a change until it is read, and a storm of changes costs one pass.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import field

from mnp_core.classes import define, frozen
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


@frozen
class Selection:
    """A snapshot of the policies that select a pod, cheap to take and to be counted on another thread.

    Attributes:
        selecting: They.
        coverages: The part of the pod that each scope covers.
        refused: Those over budget, enforced without their rules.
    """

    selecting: tuple[CompiledPolicy, ...] = ()
    coverages: Mapping[Scope, Coverage] = field(factory=dict)
    refused: frozenset[ObjectRef] = frozenset()

    def counts(self) -> Iterator[tuple[ObjectRef, int, int]]:
        """Policies, the number of selected interfaces, and of those on which the policy is enforceable."""
        for compiled in self.selecting:
            coverage = self.coverages[compiled.policy.scope]
            if coverage.interfaces:
                yield compiled.policy.ref, len(coverage.interfaces), coverage.enforceable


@define(eq=False)
class PodPolicies:
    """The policies of one pod.

    Attributes:
        pod: The pod.
        selecting: Policies whose podSelector matches it.
        covering: Those of them that cover one of its enforceable interfaces, as written.
        selected: The number of enforced policies that select an interface.
        sizes: The size of each covering policy, on all interfaces together, without selectors.
        wanted: The sum of `sizes`.
        stale: Whether what follows has to be determined anew.
        policies: Covering policies, without rules if these exceed a budget.
        admitted: The number of `policies` within budget.
        total: The sum of their sizes.
        groups: The number of policies within budget that use a group.
    """

    pod: IndexedPod
    selecting: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    covering: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    selected: Counter[Interface] = field(factory=Counter)
    sizes: dict[ObjectRef, Size] = field(factory=dict)
    wanted: Size = field(factory=Size)
    stale: bool = False
    policies: dict[ObjectRef, CompiledPolicy] = field(factory=dict)
    admitted: int = 0
    total: Size = field(factory=Size)
    groups: Counter[str] = field(factory=Counter)
    _coverages: dict[Scope, Coverage] = field(factory=dict)

    @property
    def within_budget(self) -> bool:
        """Whether every policy has its rules; the order of admission has no effect then."""
        return not self.stale and self.admitted == len(self.covering)

    def selection(self) -> Selection:
        """A snapshot for the node's summary."""
        refused: Iterable[ObjectRef] = ()
        if not self.within_budget and not self.stale:
            refused = (ref for ref, each in self.covering.items() if self.policies.get(ref) is not each)
        return Selection(tuple(self.selecting.values()), dict(self._coverages), frozenset(refused))

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
        if not compiled.policy.is_audited:
            self.selected.update(coverage.interfaces)
        return bool(coverage.enforceable)

    def cover(self, compiled: CompiledPolicy, size: Size) -> None:
        """Add a policy that covers an enforceable interface; it is not admitted yet."""
        ref = compiled.policy.ref
        self.covering[ref], self.sizes[ref] = compiled, size
        self.wanted += size

    def admit(self, compiled: CompiledPolicy) -> None:
        """Count a covering policy as one within budget."""
        ref = compiled.policy.ref
        self.policies[ref] = compiled
        self.admitted += 1
        self.total += self.sizes[ref]
        if compiled.groups:
            self.groups.update(compiled.groups.keys())

    def start_admission(self) -> None:
        """Forget which policies are within budget."""
        self.policies, self.admitted, self.total, self.groups = {}, 0, Size(), Counter()
        self.stale = False

    def remove(self, ref: ObjectRef) -> Iterable[str]:
        """Remove a policy; return the groups that no other policy within budget uses. Stale unless all were within."""
        selecting, compiled = self.selecting.pop(ref, None), self.policies.pop(ref, None)
        if selecting is not None and not selecting.policy.is_audited:
            _subtract(self.selected, self.coverage(selecting.policy.scope).interfaces)
        if self.covering.pop(ref, None) is None:
            return ()
        size = self.sizes.pop(ref)
        self.wanted -= size
        if self.stale or compiled is None:
            return ()
        self.admitted -= 1
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
