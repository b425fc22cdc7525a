"""Pods joined with network attachment definitions and observed addresses: the attachments of each pod.

The result goes into a `PodIndex`. A pod that does not count (S5), or has no attachment, is not in it.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from attrs import evolve

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_claims import AddressClaims
from mnp_core.cluster.address_records import AddressRecords
from mnp_core.cluster.affected import Dirty
from mnp_core.cluster.multimap import Multimap
from mnp_core.cluster.observed_paths import ObservedPaths
from mnp_core.cluster.pods import IndexedPod, PodIndex
from mnp_core.model import (
    Address,
    AddressRecord,
    AddressSource,
    Attachment,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
)
from mnp_core.model.gated import Gated
from mnp_core.policy.attachments import claim_attachments

_NONE: frozenset[str] = frozenset()  # each empty set takes 200 bytes


class AttachmentIndex:
    """The pods and networks of the cluster, and the attachments that follow from them."""

    def __init__(
        self,
        *,
        claimed: frozenset[str],
        node: str | None,
        peer_addresses: AddressSource,
        record_labels: Mapping[str, str],
        pods: PodIndex,
        standing: ActiveReports,
    ) -> None:
        """Start empty.

        Args:
            claimed: CNI types that loaded plugins claim (S4).
            node: The node of local pods; None if all pods are local.
            peer_addresses: The source of local pods' addresses where they are peers.
            record_labels: Kinds of address record, see `AddressRecords`.
            pods: The index to keep up to date.
            standing: The destination of reports about duplicate addresses.
        """
        self._claimed = claimed
        self._node = node
        self._trusts_kernel = peer_addresses is AddressSource.KERNEL
        self._index = pods
        self._standing = standing
        self._pods: dict[ObjectName, Pod] = {}
        self._local_pods: set[ObjectName] = set()
        self._networks: dict[ObjectName, Network] = {}
        self._pods_by_network: Multimap[ObjectName, ObjectName] = Multimap()
        self._observed: dict[ObjectName, tuple[Attachment, ...]] = {}
        self._addresses = AddressClaims()
        self._records = AddressRecords(record_labels)
        self._gated: dict[ObjectName, Gated] = {}
        self._unclaimed: dict[ObjectName, frozenset[str]] = {}  # interfaces to deny everything on
        self._paths = ObservedPaths()

    @property
    def networks(self) -> Mapping[ObjectName, Network]:
        """All network attachment definitions; a live view."""
        return self._networks

    @property
    def local_pods(self) -> frozenset[ObjectName]:
        """Pods of this node that count (S5), with attachments or without."""
        return frozenset(self._local_pods)

    def pod(self, name: ObjectName) -> Pod | None:
        """A pod as its source gave it."""
        return self._pods.get(name)

    def local(self, name: ObjectName) -> IndexedPod | None:
        """A pod of this node that has attachments and counts."""
        return self._index.get(name) if name in self._local_pods else None

    def owner_of(self, network: ObjectName, address: Address) -> ObjectName | None:
        """The pod that has an address on a network; from any thread."""
        return self._addresses.owner_of((network, address))

    def put_pod(self, name: ObjectName, pod: Pod | None, dirty: Dirty) -> None:
        """Replace a pod; None removes it."""
        before = self._pods.get(name)
        if before == pod:
            return
        if self.local(name) is not None:
            dirty.were_local.add(name)
        self._store(name, pod)
        if before is None or pod is None or (before.uid, before.statuses) != (pod.uid, pod.statuses):
            self._observed.pop(name, None)  # observed in another sandbox, or with other attachments
            self._paths.forget(name)
        if pod is None or (before is not None and before.uid != pod.uid):
            self._unclaimed.pop(name, None)
        self._refresh_pod(name, dirty)

    def put_network(self, name: ObjectName, network: Network | None, dirty: Dirty) -> bool:
        """Replace a network attachment definition, None removes it; return whether it changed."""
        if self._networks.get(name) == network:
            return False
        if network is None:
            del self._networks[name]
        else:
            self._networks[name] = network
        for pod in tuple(self._pods_by_network[name]):
            self._refresh_pod(pod, dirty)
        return True

    def put_record(self, ref: ObjectRef, record: AddressRecord | None, dirty: Dirty) -> None:
        """Replace a record of addresses; None removes it."""
        for pod in sorted(self._records.put(ref, record)):
            self._refresh_pod(pod, dirty)

    @property
    def record_kinds(self) -> AbstractSet[str]:
        """Kinds of address record."""
        return self._records.kinds

    def observe(self, name: ObjectName, attachments: tuple[Attachment, ...], dirty: Dirty) -> None:
        """Record the attachments of a local pod as its kernel shows them."""
        if self._paths.put(name, attachments):
            self._refresh_own(name, dirty)
        if self._trusts_kernel and self._observed.get(name) != attachments and self.local(name) is not None:
            self._observed[name] = attachments
            self._refresh_pod(name, dirty)

    def deny(self, name: ObjectName, interfaces: frozenset[str], dirty: Dirty) -> None:
        """Deny everything on interfaces of a pod, which may come later, as long as no entry claims them."""
        if self._unclaimed.get(name, frozenset()) != interfaces:
            self._unclaimed[name] = interfaces
            self._refresh_own(name, dirty)

    def put_gated(self, name: ObjectName, gated: Gated | None, dirty: Dirty) -> None:
        """Replace a gate's description of a pod, which may come before the pod; None removes it."""
        if self._gated.get(name) == gated:
            return
        self._gated.pop(name, None)
        if gated is not None:
            self._gated[name] = gated
        elif name not in self._pods:
            self._unclaimed.pop(name, None)
        self._refresh_own(name, dirty)

    def gated(self, name: ObjectName) -> Gated | None:
        """A gate's description of a pod."""
        return self._gated.get(name)

    def _refresh_own(self, name: ObjectName, dirty: Dirty) -> None:
        if self.local(name) is not None:
            dirty.were_local.add(name)
        self._refresh_pod(name, dirty)

    def _store(self, name: ObjectName, pod: Pod | None) -> None:
        before = self._pods.pop(name, None)
        for network in _networks_of(before):
            self._pods_by_network.discard(network, name)
        if pod is not None:
            self._pods[name] = pod
        for network in _networks_of(pod):
            self._pods_by_network.add(network, name)
        self._records.put_pod(name, pod)
        is_local = pod is not None and pod.is_target and self._node in {None, pod.node}
        (self._local_pods.add if is_local else self._local_pods.discard)(name)

    def _refresh_pod(self, name: ObjectName, dirty: Dirty) -> None:
        """Recompute a pod's attachments, and the address owners among the pods that share an address with it."""
        pod = self._indexed(name)
        if pod is None and self._index.get(name) is None:
            return  # as most pods of a cluster: it has no place, and had none
        peers, living = (pod.claims.peers, not pod.pod.terminating) if pod is not None else ((), False)
        others = self._addresses.put(name, peers, living=living)
        self._refresh_index(name, pod, dirty)
        for other in others:
            self._refresh_index(other, self._index.get(other), dirty)

    def _refresh_index(self, name: ObjectName, pod: IndexedPod | None, dirty: Dirty) -> None:
        before = self._index.get(name)
        reassigned = self._addresses.reassigned(name)
        now = evolve(pod, reassigned=reassigned) if pod is not None and pod.reassigned != reassigned else pod
        duplicates = self._addresses.reports(name) if name in self._local_pods else ()
        self._standing.put(("duplicate-address", name), duplicates)
        if now == before:
            return
        self._index.put(name, now)
        dirty.problems.add(name)
        dirty.peers.add(name)
        if now is None or before is None or now.differs_as_target(before):
            dirty.targets.add(name)

    def _indexed(self, name: ObjectName) -> IndexedPod | None:
        """The pod's entry of the index, None for a pod that does not count or has no attachment."""
        pod = self._pods.get(name)
        if pod is None or not pod.is_target or (self._node is not None and not pod.node):
            self._observed.pop(name, None)  # the next pod of this name is another one
            self._paths.forget(name)
            return None
        if not (pod.statuses or pod.requests or pod.default_network) and self._is_known_by_itself_alone(name):
            return None
        claims = claim_attachments(pod, self._networks, self._claimed, self._gated_of(pod), self._records.of(name))
        if (enforced := self._paths.of(name, claims.enforced)) is not claims.enforced:
            claims = evolve(claims, enforced=enforced)
        known = {attachment.interface for attachment in claims.peers} | pod.default_interfaces
        denied = self._unclaimed.get(name, _NONE) - known or _NONE
        if not (claims.peers or claims.enforced or claims.problems or denied or pod.default_network):
            return None
        inspected = not self._trusts_kernel or name in self._observed or name not in self._local_pods
        indexed = IndexedPod(pod=pod, claims=claims, inspected=inspected, denied=denied)
        return indexed.with_addresses(self._observed.get(name, ()))

    def _is_known_by_itself_alone(self, name: ObjectName) -> bool:
        """Whether neither a gate, nor a record of addresses, nor the kernel says anything of a pod."""
        return name not in self._gated and name not in self._unclaimed and not self._records.of(name)

    def _gated_of(self, pod: Pod) -> Gated | None:
        """Of this very pod: a later one of its name has another UID."""
        gated = self._gated.get(pod.name)
        return gated if gated is not None and gated.uid in {"", pod.uid, pod.static_uid} else None


def _networks_of(pod: Pod | None) -> set[ObjectName]:
    """Networks that the pod has or requests."""
    if pod is None:
        return set()
    return {status.network for status in pod.statuses} | {request.network for request in pod.requests}
