"""Every pod of the cluster that has attachments, found by name, namespace, label and selector."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.cluster.address_claims import Place
from mnp_core.cluster.label_index import LabelIndex
from mnp_core.cluster.multimap import Multimap
from mnp_core.model import Address, Attachment, GroupSpec, ObjectName, Pod, PodPeer, Selector
from mnp_core.policy.attachments import Claims


@frozen(kw_only=True)
class IndexedPod:
    """A pod with its attachments.

    Attributes:
        pod: The pod.
        claims: Its attachments.
        reassigned: Addresses that belong to another pod by now (S5).
        inspected: Whether its addresses are complete; False while those of its interfaces are still to be read.
        denied: Interfaces on which everything is denied: no entry claims them (setting ``unclaimed-interfaces``).
    """

    pod: Pod
    claims: Claims
    reassigned: frozenset[Place] = frozenset()
    inspected: bool = True
    denied: frozenset[str] = frozenset()

    @property
    def peers(self) -> tuple[Attachment, ...]:
        """Attachments whose addresses count as a peer's."""
        return tuple(map(self._without_reassigned, self.claims.peers)) if self.reassigned else self.claims.peers

    def _without_reassigned(self, peer: Attachment) -> Attachment:
        return evolve(peer, addresses=tuple(a for a in peer.addresses if (peer.network, a) not in self.reassigned))

    def differs_as_target(self, before: "IndexedPod") -> bool:
        """Whether its own rules may differ from those before: more has changed than its addresses as a peer."""
        as_before = evolve(self.pod, terminating=before.pod.terminating)
        rules = (self.claims.enforced, self.denied)
        return as_before != before.pod or rules != (before.claims.enforced, before.denied)

    def with_addresses(self, observed: Iterable[Attachment]) -> "IndexedPod":
        """The same pod, as a peer known by the addresses observed on its interfaces.

        Recorded addresses are a guest's: where nothing was observed they stay (S75).
        """
        found = {(each.network, each.interface): each.addresses for each in observed if not each.recorded}
        peers = (_as_observed(peer, found.get((peer.network, peer.interface))) for peer in self.claims.peers)
        return evolve(self, claims=evolve(self.claims, peers=tuple(peers))) if found else self


def _as_observed(peer: Attachment, addresses: tuple[Address, ...] | None) -> Attachment:
    if addresses is None or (peer.recorded and not addresses):
        return peer
    return evolve(peer, addresses=addresses, recorded=False)


class PodIndex:
    """Pods by name, namespace and label; namespaces by name. Pods that do not count (S5) are not in it."""

    def __init__(self) -> None:
        self._pods: dict[ObjectName, IndexedPod] = {}
        self._by_namespace: Multimap[str, ObjectName] = Multimap()
        self._labels = LabelIndex()
        self._namespaces: dict[str, Mapping[str, str]] = {}

    def get(self, name: ObjectName) -> IndexedPod | None:
        """The pod, if it has attachments and counts."""
        return self._pods.get(name)

    def put(self, name: ObjectName, pod: IndexedPod | None) -> None:
        """Replace a pod; None removes it."""
        before = self._pods.pop(name, None)
        if before is not None:
            self._by_namespace.discard(name.namespace, name)
            self._labels.discard(name, before.pod.labels)
        if pod is not None:
            self._pods[name] = pod
            self._by_namespace.add(name.namespace, name)
            self._labels.add(name, pod.pod.labels)

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Replace a namespace's labels, None removes the namespace."""
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels

    def namespace_labels(self, name: str) -> Mapping[str, str] | None:
        """Labels of a namespace; None for one that is not known (yet), so that no namespaceSelector can match it.

        With empty labels instead, a NotIn would match pods that arrive before their namespace.
        """
        return self._namespaces.get(name)

    def in_namespace(self, namespace: str) -> AbstractSet[ObjectName]:
        """Pods with attachments of one namespace; until the next change."""
        return self._by_namespace[namespace]

    def selected(self, namespace: str, selector: Selector) -> set[ObjectName]:
        """Pods with attachments in a namespace whose labels match."""
        return set(self._labels.select(self._by_namespace.union((namespace,)), selector))

    def candidates(self, spec: GroupSpec) -> Collection[ObjectName]:
        """Pods that could be members of a group: those selected, with or without addresses."""
        peer = spec.peer
        if not isinstance(peer, PodPeer):
            return tuple(self._pods)
        if peer.namespace is not None:
            return self._labels.select(self._by_namespace.union((peer.namespace,)), peer.pod_selector)
        matching = (name for name, labels in self._namespaces.items() if _selects(peer, labels))
        return self._labels.select(self._by_namespace.union(matching), peer.pod_selector)


def _selects(peer: PodPeer, labels: Mapping[str, str]) -> bool:
    return peer.namespace_selector is not None and peer.namespace_selector.matches(labels)
