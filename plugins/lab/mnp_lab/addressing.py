"""Assignment of addresses to attachments: requested addresses first, then leases, then free ones."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName
from mnp_core.offline.definition import Definition
from mnp_core.offline.networks_annotation import WrittenRequest
from mnp_core.offline.strict_field import AddressInterface
from mnp_lab.topology import LeaseKey, Leases, PodLink

Requests = Mapping[ObjectName, Sequence[WrittenRequest]]

_ETHERNET = 17  # letters of a MAC address; InfiniBand's are longer


class Addressing:
    """Owners of addresses. Networks that are one wire share their addresses."""

    def __init__(
        self, definitions: Mapping[ObjectName, Definition], wires: Mapping[ObjectName, str], leases: Leases
    ) -> None:
        """Start with nothing given out.

        Args:
            definitions: The networks in use.
            wires: By network, the switch that it is on.
            leases: Earlier addresses of attachments.
        """
        self._definitions = definitions
        self._wires = wires
        self._leases = leases
        self._given: dict[LeaseKey, tuple[AddressInterface, ...]] = {}
        self._owners: dict[str, dict[Address, LeaseKey]] = defaultdict(dict)

    def claiming_order(self, requests: Requests) -> list[ObjectName]:
        """Pods with a lease on every requested address come first: a newcomer takes no address away."""
        return sorted(requests, key=lambda pod: (not all(self._had(pod, request) for request in requests[pod]), pod))

    def claim(self, pod: ObjectName, requests: Iterable[WrittenRequest]) -> None:
        """Note the requested addresses of a pod; all of them, or none.

        Raises:
            InputError: One belongs to another attachment.
        """
        claimed = {_key(pod, request): self._completed(request) for request in requests}
        wanted: set[tuple[str, Address]] = set()
        for request in requests:
            for address in claimed[_key(pod, request)]:
                self._insist_free(_key(pod, request), address, request, wanted)
        for key, addresses in claimed.items():
            self._give(key, addresses)

    def renew(self, pod: ObjectName, requests: Iterable[WrittenRequest]) -> None:
        """Give addresses to the attachments with a lease and without a request, before others get any.

        Raises:
            InputError: As for `allocate`.
        """
        self._allocate(pod, [request for request in requests if _key(pod, request) in self._leases])

    def allocate(self, pod: ObjectName, requests: Iterable[WrittenRequest]) -> None:
        """Give addresses to all attachments without a request for one.

        Raises:
            InputError: A range is exhausted. The pod keeps no addresses at all.
        """
        self._allocate(pod, requests)

    def links(self, pod: ObjectName, requests: Iterable[WrittenRequest]) -> tuple[PodLink, ...]:
        """The pod's interfaces; raises InputError if a route leads nowhere."""
        return tuple(self._link(pod, request) for request in requests)

    def _had(self, pod: ObjectName, request: WrittenRequest) -> bool:
        return not request.addresses or self._completed(request) == self._leases.get(_key(pod, request), ())

    def _allocate(self, pod: ObjectName, requests: Iterable[WrittenRequest]) -> None:
        try:
            for key, request in [(_key(pod, request), request) for request in requests]:
                self._give(key, self._given[key] or self._allocated(key, request))
        except InputError:
            self._take_back(pod)
            raise

    def _allocated(self, key: LeaseKey, request: WrittenRequest) -> tuple[AddressInterface, ...]:
        ipam, taken = self._definitions[key.network].ipam, self._owners[self._wires[key.network]]
        addresses = ipam.allocate(taken, self._leases.get(key, ()))
        for address in addresses:
            self._insist_free(key, address, request, set())
        return addresses

    def _completed(self, request: WrittenRequest) -> tuple[AddressInterface, ...]:
        return tuple(self._definitions[request.network].ipam.complete(address) for address in request.addresses)

    def _insist_free(
        self, key: LeaseKey, address: AddressInterface, request: WrittenRequest, wanted: set[tuple[str, Address]]
    ) -> None:
        wire = self._wires[key.network]
        owner = self._owners[wire].get(address.ip)
        if (wire, address.ip) in wanted:
            raise request.source.wrong(f"address {address.ip} is asked for twice: every attachment needs its own")
        if owner is not None and owner != key:
            raise request.source.wrong(
                f"address {address.ip} on network {key.network} belongs to {owner.interface} of pod {owner.pod}: "
                f"every attachment needs its own"
            )
        wanted.add((wire, address.ip))

    def _give(self, key: LeaseKey, addresses: tuple[AddressInterface, ...]) -> None:
        self._given[key] = addresses
        self._owners[self._wires[key.network]] |= dict.fromkeys((address.ip for address in addresses), key)

    def _take_back(self, pod: ObjectName) -> None:
        for owners in self._owners.values():
            for address in [address for address, key in owners.items() if key.pod == pod]:
                del owners[address]

    def _link(self, pod: ObjectName, request: WrittenRequest) -> PodLink:
        definition, key = self._definitions[request.network], _key(pod, request)
        addresses = self._given[key]
        return PodLink(
            network=request.network,
            wire=self._wires[request.network],
            kind=definition.link_kind,
            interface=request.interface,
            mac=request.mac if len(request.mac) == _ETHERNET else _mac(key, addresses),
            addresses=addresses,
            routes=definition.ipam.routes_for(addresses),
            node_kind=definition.node_kind,
            node_mode=definition.node_mode,
        )


def _key(pod: ObjectName, request: WrittenRequest) -> LeaseKey:
    return LeaseKey(pod, request.interface, request.network)


def _mac(key: LeaseKey, addresses: tuple[AddressInterface, ...]) -> str:
    """A locally administered MAC address that goes with the IP address, as the bridge plugin used to make them.

    So a reused address does not meet stale neighbour entries of its former pod.
    """
    owner = f"{addresses[0].ip}" if addresses else f"{key.pod} {key.interface}"
    digest = hashlib.sha256(f"{owner} {key.network}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
