"""Policies in force in the cluster, compiled once, found by the pods that they select."""

from collections.abc import Iterator

from mnp_core.cluster.selector_index import SelectorIndex
from mnp_core.model import ObjectRef, Pod, Policy
from mnp_core.model.budget import Size, closed, size_of
from mnp_core.policy.compile import CompiledPolicy, compile_policy


class PolicyIndex:
    """Compiled policies by name, indexed by the pods that they may select."""

    def __init__(self) -> None:
        self._policies: dict[ObjectRef, CompiledPolicy] = {}
        self._sizes: dict[ObjectRef, Size] = {}
        self._closed: dict[ObjectRef, CompiledPolicy] = {}
        self._index: SelectorIndex[ObjectRef] = SelectorIndex()

    def put(self, ref: ObjectRef, policy: Policy | None) -> tuple[Policy, ...]:
        """Replace a policy by its present state, None if it is gone; its old and new states, if they differ."""
        compiled = self._policies.pop(ref, None)
        before = compiled.policy if compiled else None
        if before is not None:
            self._index.discard(ref, before.namespace, before.pod_selector)
        self._sizes.pop(ref, None)
        self._closed.pop(ref, None)
        if policy is not None:
            self._sizes[ref] = size_of(policy)
            self._policies[ref] = compiled if compiled and before == policy else compile_policy(policy)
            self._index.add(ref, policy.namespace, policy.pod_selector)
        return () if before == policy else tuple(state for state in (before, policy) if state is not None)

    def selecting(self, pod: Pod) -> Iterator[CompiledPolicy]:
        """The policies that select a pod (S10), in no particular order."""
        for ref in set(self._index.candidates(pod.name.namespace, pod.labels)):
            compiled = self._policies[ref]
            if compiled.policy.pod_selector.matches(pod.labels):
                yield compiled

    def selecting_as(self, ref: ObjectRef, pod: Pod) -> CompiledPolicy | None:
        """The present state of a policy if that selects a pod."""
        compiled = self._policies.get(ref)
        if compiled is None or compiled.policy.namespace != pod.name.namespace:
            return None
        return compiled if compiled.policy.pod_selector.matches(pod.labels) else None

    def size(self, compiled: CompiledPolicy) -> Size:
        """What it takes."""
        return self._sizes[compiled.policy.ref]

    def closed(self, compiled: CompiledPolicy) -> CompiledPolicy:
        """The same without its rules, for where they are too much."""
        ref = compiled.policy.ref
        if ref not in self._closed:
            self._closed[ref] = compile_policy(closed(compiled.policy))
        return self._closed[ref]

    def __iter__(self) -> Iterator[Policy]:
        """All policies."""
        return (compiled.policy for compiled in self._policies.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._policies)
