"""The contribution of one pod to one address group.

A group is the union of the contributions of all pods, so a change of one pod, or of the labels of its namespace, is
worked out from that pod alone.
"""

from collections.abc import Iterable, Mapping

from mnp_core.model import Address, AnyPeer, Attachment, Block, Endpoint, GroupSpec, Pod, PodPeer
from mnp_core.policy.ports import served_ranges


def members(
    spec: GroupSpec, pod: Pod, peers: Iterable[Attachment], namespace_labels: Mapping[str, str]
) -> frozenset[Address] | frozenset[Endpoint]:
    """The members of a group that a pod adds: addresses, or, if the spec names a port, endpoints (S31).

    Args:
        spec: The definition of the group.
        pod: The pod; one that does not count contributes nothing (S5).
        peers: Its attachments that count as a peer's (`Claims.peers`); those outside of the scope do not (S21).
        namespace_labels: Labels of the pod's namespace.
    """
    if not pod.counts or not is_meant(spec.peer, pod, namespace_labels):
        return frozenset()
    addresses = (address for peer in peers if spec.scope.covers(peer) for address in peer.addresses)
    if isinstance(spec.peer, Block):
        block = spec.peer
        addresses = (address for address in addresses if block.contains(address))
    if spec.port is None:
        return frozenset(addresses)
    served = served_ranges(pod, {spec.port})
    return frozenset(
        Endpoint(address=address, protocol=port.protocol, port=port.first) for address in addresses for port in served
    )


def is_meant(peer: PodPeer | Block | AnyPeer, pod: Pod, namespace_labels: Mapping[str, str]) -> bool:
    """Say whether the selectors mean this pod; of blocks and any-peers, addresses decide."""
    return not isinstance(peer, PodPeer) or (
        _is_in(peer, pod.name.namespace, namespace_labels) and peer.pod_selector.matches(pod.labels)
    )


def _is_in(peer: PodPeer, namespace: str, labels: Mapping[str, str]) -> bool:
    """Say whether the peer looks into this namespace (S20); one that names no namespace looks nowhere."""
    if peer.namespace is not None:
        return namespace == peer.namespace
    return peer.namespace_selector is not None and peer.namespace_selector.matches(labels)
