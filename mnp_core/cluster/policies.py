"""Policies of the cluster, compiled once, found by the pods that they select."""

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
        """Replace a policy, None removes it; return its old and new states, nothing if they are equal."""
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

    def get_selecting(self, ref: ObjectRef, pod: Pod) -> CompiledPolicy | None:
        """The policy of a name, if there is one and it selects a pod."""
        compiled = self._policies.get(ref)
        if compiled is None or compiled.policy.namespace != pod.name.namespace:
            return None
        return compiled if compiled.policy.pod_selector.matches(pod.labels) else None

    def size(self, compiled: CompiledPolicy) -> Size:
        """The size of a policy."""
        return self._sizes[compiled.policy.ref]

    def closed(self, compiled: CompiledPolicy) -> CompiledPolicy:
        """The policy without its rules, for pods whose budget they exceed."""
        ref = compiled.policy.ref
        if ref not in self._closed:
            self._closed[ref] = compile_policy(closed(compiled.policy))
        return self._closed[ref]

    def __len__(self) -> int:
        """Return the number of policies."""
        return len(self._policies)
