"""Every pod of the cluster that has attachments, and the ways to find it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from attrs import evolve, frozen

from mnp_core.cluster.address_claims import Place
from mnp_core.cluster.selector_index import required_labels
from mnp_core.model import Attachment, GroupSpec, ObjectName, Pod, PodPeer, Selector
from mnp_core.policy.attachments import Claims


@frozen(kw_only=True)
class IndexedPod:
    """A pod with what its annotations claim.

    Attributes:
        pod: The pod.
        claims: Its attachments.
        yielded: Addresses that are another pod's by now (S5).
        looked_at: Whether the addresses are what is known of it; False if its interfaces are yet to be read for them.
    """

    pod: Pod
    claims: Claims
    yielded: frozenset[Place] = frozenset()
    looked_at: bool = True

    @property
    def peers(self) -> tuple[Attachment, ...]:
        """Attachments whose addresses count as a peer's."""
        return tuple(map(self._kept, self.claims.peers)) if self.yielded else self.claims.peers

    def _kept(self, peer: Attachment) -> Attachment:
        return evolve(peer, addresses=tuple(a for a in peer.addresses if (peer.network, a) not in self.yielded))

    def is_another_target(self, before: "IndexedPod") -> bool:
        """Whether what holds in its sandbox may differ: more than the addresses by which others know it has changed."""
        as_before = evolve(self.pod, terminating=before.pod.terminating)
        return as_before != before.pod or self.claims.policed != before.claims.policed

    def with_addresses(self, found: Iterable[Attachment]) -> "IndexedPod":
        """The same pod, as a peer known by the addresses that were found on its interfaces."""
        addresses = {(attachment.network, attachment.interface): attachment.addresses for attachment in found}
        peers = (evolve(p, addresses=addresses.get((p.network, p.interface), p.addresses)) for p in self.claims.peers)
        return evolve(self, claims=evolve(self.claims, peers=tuple(peers))) if addresses else self


class PodIndex:
    """Pods by name, namespace, label and network; namespaces by name. Pods that do not count (S5) are not in it."""

    def __init__(self) -> None:
        self._members: dict[ObjectName, IndexedPod] = {}
        self._by_namespace: dict[str, set[ObjectName]] = defaultdict(set)
        self._by_label: dict[tuple[str, str], set[ObjectName]] = defaultdict(set)
        self._namespaces: dict[str, Mapping[str, str]] = {}

    def get(self, name: ObjectName) -> IndexedPod | None:
        """The pod, if it has attachments and counts."""
        return self._members.get(name)

    def put(self, name: ObjectName, member: IndexedPod | None) -> None:
        """Replace a pod by its present state; None takes it out."""
        before = self._members.pop(name, None)
        if before is not None:
            self._by_namespace[name.namespace].discard(name)
            for label in before.pod.labels.items():
                self._by_label[label].discard(name)
        if member is not None:
            self._members[name] = member
            self._by_namespace[name.namespace].add(name)
            for label in member.pod.labels.items():
                self._by_label[label].add(name)

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """Replace a namespace's labels, None if it is gone; say whether that changed anything."""
        before = self._namespaces.get(name)
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        return before != labels

    def namespace_labels(self, name: str) -> Mapping[str, str] | None:
        """Labels of a namespace; None if nobody has told of it (yet), so that no namespaceSelector can match it.

        With empty labels instead, a NotIn would match pods whose namespace is only announced after them.
        """
        return self._namespaces.get(name)

    def in_namespace(self, namespace: str) -> Iterable[ObjectName]:
        """Pods with attachments of one namespace."""
        return tuple(self._by_namespace.get(namespace, ()))

    def selected(self, namespace: str, selector: Selector) -> set[ObjectName]:
        """Pods with attachments in a namespace whose labels match."""
        candidates = self._narrow(self._by_namespace.get(namespace, set()), selector)
        return {name for name in candidates if selector.matches(self._members[name].pod.labels)}

    def candidates(self, spec: GroupSpec) -> Collection[ObjectName]:
        """Pods that could be members of a group."""
        peer = spec.peer
        if not isinstance(peer, PodPeer):
            return tuple(self._members)
        if peer.namespace is not None:
            return self._narrow(self._by_namespace.get(peer.namespace, set()), peer.pod_selector)
        matching = (n for n, labels in self._namespaces.items() if _selects(peer, labels))
        return set().union(*(self._narrow(self._by_namespace.get(n, set()), peer.pod_selector) for n in matching))

    def _narrow(self, names: set[ObjectName], selector: Selector) -> set[ObjectName]:
        """Of these pods, those that have one of the labels that the selector insists on."""
        labels = required_labels(selector)
        if None in labels:
            return names
        labelled: set[ObjectName] = set().union(*(self._by_label.get(label, set()) for label in labels if label))
        return names & labelled


def _selects(peer: PodPeer, labels: Mapping[str, str]) -> bool:
    return peer.namespace_selector is not None and peer.namespace_selector.matches(labels)
