"""The pods that claim each address of a network: one address belongs to one pod (S5)."""

from collections.abc import Iterable

from mnp_core.cluster.multimap import Multimap
from mnp_core.model import Address, Attachment, ObjectName, ObjectRef, Reason, Report

_MAX_REPORTS_PER_POD = 8

_NONE: frozenset["Place"] = frozenset()  # each empty set takes 200 bytes

Place = tuple[ObjectName, Address]
"""A network and an address on it."""


class AddressClaims:
    """Pods by the places that they claim. The cost of a change follows the addresses of one pod."""

    def __init__(self) -> None:
        self._places: dict[ObjectName, tuple[Place, ...]] = {}  # different ones
        self._terminating: set[ObjectName] = set()  # of those with places: few
        self._claimants: Multimap[Place, ObjectName] = Multimap()

    def put(self, pod: ObjectName, peers: Iterable[Attachment], *, living: bool) -> set[ObjectName]:
        """Replace the claims of a pod.

        Args:
            pod: The pod.
            peers: Its attachments whose addresses stand for it; empty for a pod that is gone.
            living: Whether it is not terminating.

        Returns:
            The other pods that claim a place of this one, before or now.
        """
        before = frozenset(self._places.pop(pod, ()))
        now = frozenset((peer.network, address) for peer in peers for address in peer.addresses)
        others = {other for place in before | now for other in self._claimants[place] if other != pod}
        for place in before - now:
            self._claimants.discard(place, pod)
        for place in now:
            self._claimants.add(place, pod)
        if now:
            self._places[pod] = tuple(now)
        (self._terminating.add if now and not living else self._terminating.discard)(pod)
        return others

    def owner_of(self, place: Place) -> ObjectName | None:
        """The pod that has a place, preferably a living one; from any thread: they are copied in one step."""
        claimants = tuple(self._claimants[place])
        living = [pod for pod in claimants if pod not in self._terminating]
        return min(living or claimants, default=None)

    def reassigned(self, pod: ObjectName) -> frozenset[Place]:
        """The places of a terminating pod that a living one claims: they belong to the living one."""
        if pod not in self._terminating:
            return _NONE
        return frozenset(place for place in self._places.get(pod, ()) if self._other_living(place, pod)) or _NONE

    def reports(self, pod: ObjectName) -> tuple[Report, ...]:
        """Report the places of a living pod that another living pod claims."""
        if pod in self._terminating:
            return ()
        shared = {place: owners for place in self._places.get(pod, ()) if (owners := self._other_living(place, pod))}
        places = sorted(shared, key=str)[:_MAX_REPORTS_PER_POD]
        return tuple(_duplicate(pod, place, min(shared[place])) for place in places)

    def _other_living(self, place: Place, pod: ObjectName) -> set[ObjectName]:
        return {other for other in self._claimants[place] if other != pod and other not in self._terminating}


def _duplicate(pod: ObjectName, place: Place, owner: ObjectName) -> Report:
    network, address = place
    return Report(
        about=ObjectRef("Pod", pod),
        field="metadata.annotations[k8s.v1.cni.cncf.io/network-status]",
        reason=Reason.DUPLICATE_ADDRESS,
        message=f"{address} on {network} is pod {owner}'s, too: a policy that allows the one allows both",
        remedy="Find out which pod has the address, and why IPAM gave it twice",
    )
