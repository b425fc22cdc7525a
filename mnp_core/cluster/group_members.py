"""The share of one pod in an address group."""

from collections.abc import Mapping
from typing import Final

from mnp_core.cluster.pods import IndexedPod, PodIndex
from mnp_core.cluster.tracked_group import Members
from mnp_core.model import Block, GroupSpec, ObjectName, PodPeer
from mnp_core.policy.membership import is_meant, members

_FEW: Final = 4  # addresses: a copy of them takes less than the record of a shared one


class GroupMembers:
    """Members of groups by pod; all groups share one copy of a pod's addresses if these are many."""

    def __init__(self, pods: PodIndex) -> None:
        """Look pods up in an index."""
        self._pods = pods
        self._shared: dict[ObjectName, tuple[Members, ...]] = {}  # different ones, few

    def forget(self, pod: ObjectName) -> None:
        """Drop the shared copies of a pod that has changed."""
        self._shared.pop(pod, None)

    def of(self, pod: ObjectName, spec: GroupSpec) -> Members:
        """Return the addresses or endpoints of a pod in a group, each once."""
        found = self._lookup(pod, spec)
        if found is None:
            return ()
        addresses = members(spec, found[0].pod, found[0].peers, found[1])
        if len(addresses) <= _FEW or isinstance(spec.peer, Block):
            return tuple(addresses)
        shared = self._shared.get(pod, ())
        for known in shared:
            if len(known) == len(addresses) and addresses.issuperset(known):
                return known
        self._shared[pod] = (*shared, tuple(addresses))
        return self._shared[pod][-1]

    def missing_on(self, pod: ObjectName, spec: GroupSpec) -> frozenset[ObjectName] | None:
        """Return the networks on which a pod without members lacks an address; None for a pod that is not selected.

        Empty if it has an address, but not the port.
        """
        found = self._lookup(pod, spec)
        if found is None or not isinstance(spec.peer, PodPeer):
            return None
        indexed, labels = found
        if not indexed.inspected or not indexed.pod.counts or not is_meant(spec.peer, indexed.pod, labels):
            return None
        attachments = [peer for peer in indexed.claims.peers if spec.scope.covers(peer)]
        if not attachments:
            return None
        has_address = any(attachment.addresses for attachment in attachments)
        return frozenset(() if has_address else (attachment.network for attachment in attachments))

    def _lookup(self, pod: ObjectName, spec: GroupSpec) -> tuple[IndexedPod, Mapping[str, str]] | None:
        """The pod and the labels of its namespace; None while a namespaceSelector cannot be decided."""
        indexed = self._pods.get(pod)
        labels = self._pods.namespace_labels(pod.namespace)
        by_namespace = isinstance(spec.peer, PodPeer) and spec.peer.namespace is None
        if indexed is None or (by_namespace and labels is None):
            return None
        return indexed, labels or {}
