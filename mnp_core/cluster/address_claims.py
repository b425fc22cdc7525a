"""Which pods claim which address on which network: one address belongs to one pod (S5)."""

from collections import defaultdict
from collections.abc import Iterable

from mnp_core.model import Address, Attachment, ObjectName, ObjectRef, Reason, Report

_MOST = 8  # reports about one pod

Place = tuple[ObjectName, Address]
"""A network and an address on it."""


class AddressClaims:
    """Pods by the places that they claim. The cost of a change follows the addresses of one pod."""

    def __init__(self) -> None:
        self._places: dict[ObjectName, frozenset[Place]] = {}
        self._living: set[ObjectName] = set()
        self._address_claims: defaultdict[Place, set[ObjectName]] = defaultdict(set)

    def put(self, pod: ObjectName, peers: Iterable[Attachment], *, living: bool) -> set[ObjectName]:
        """Replace what a pod claims.

        Args:
            pod: The pod.
            peers: Its attachments whose addresses stand for it; none if it is gone.
            living: Whether it is not terminating.

        Returns:
            The other pods that claim a place of this one, before or now.
        """
        before = self._places.pop(pod, frozenset())
        now = frozenset((peer.network, address) for peer in peers for address in peer.addresses)
        others = {other for place in before | now for other in self._address_claims.get(place, ()) if other != pod}
        for place in before - now:
            self._address_claims[place].discard(pod)
            if not self._address_claims[place]:
                del self._address_claims[place]
        for place in now:
            self._address_claims[place].add(pod)
        if now:
            self._places[pod] = now
        (self._living.add if living else self._living.discard)(pod)
        return others

    def yielded(self, pod: ObjectName) -> frozenset[Place]:
        """The places of a terminating pod that a living one claims: they are not its any more."""
        if pod in self._living:
            return frozenset()
        places = self._places.get(pod, frozenset())
        return frozenset(place for place in places if self._living & self._others(place, pod))

    def reports(self, pod: ObjectName) -> tuple[Report, ...]:
        """Which of a living pod's places another living pod claims."""
        if pod not in self._living:
            return ()
        shared = {
            place: owners for place in self._places.get(pod, ()) if (owners := self._living & self._others(place, pod))
        }
        return tuple(
            Report(
                about=ObjectRef("Pod", pod),
                field="metadata.annotations[k8s.v1.cni.cncf.io/network-status]",
                reason=Reason.DUPLICATE_ADDRESS,
                message=f"{address} on {network} is pod {min(owners)}'s, too: a policy that allows the one allows both",
                remedy="Find out which pod has the address, and why IPAM gave it twice",
            )
            for (network, address), owners in sorted(shared.items(), key=lambda item: str(item[0]))[:_MOST]
        )

    def _others(self, place: Place, pod: ObjectName) -> set[ObjectName]:
        return self._address_claims.get(place, set()) - {pod}
