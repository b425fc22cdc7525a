"""From manifests to a lab: who is wired to what, with which addresses. Pure, and the same on every run."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from mnp_core.lab.admission import admit, index, root
from mnp_core.lab.definition import Definition, parse_definition
from mnp_core.lab.field import AddressInterface
from mnp_core.lab.meta import announce, parse_claims
from mnp_core.lab.request import NETWORKS_ANNOTATION, NetworkRequest, parse_requests
from mnp_core.lab.topology import LabPlan, LeaseKey, Leases, PodLink, PodPlan, Switch
from mnp_core.model import Address, ObjectName, ObjectRef
from mnp_core.model.parsing import parse_pod
from mnp_core.sources.manifests import Document

_POD = "Pod"
_NETWORK = "NetworkAttachmentDefinition"


def plan_lab(documents: Iterable[Document], *, leases: Leases | None = None) -> LabPlan:
    """Work out a lab.

    Args:
        documents: Manifests; kinds that mean nothing here pass through untouched.
        leases: Addresses that were given out before, kept as far as they still fit.

    Raises:
        InputError: Something does not fit together; it names file, document and field.
    """
    objects = admit(index(documents))
    pods = {ref: parse_pod(document.raw)[0] for ref, document in objects.items() if ref.kind == _POD}
    wired = {ref: pod for ref, pod in sorted(pods.items()) if pod.counts}
    requests = {pod.name: _requests(objects[ref], pod.name.namespace) for ref, pod in wired.items()}
    definitions = _definitions(requests, objects)
    links = _Wiring(definitions, leases or {}).links(requests)
    return LabPlan(
        switches={name: Switch(network=name, kind=found.link_kind) for name, found in definitions.items()},
        pods={pod.name: PodPlan(name=pod.name, links=links[pod.name], ports=pod.ports) for pod in wired.values()},
        objects=objects | {ref: announce(objects[ref], links[pod.name]) for ref, pod in wired.items()},
        leases={
            LeaseKey(pod, link.interface, link.network): link.addresses for pod, made in links.items() for link in made
        },
        notices=tuple(notice for definition in definitions.values() for notice in definition.notices),
    )


def _requests(document: Document, namespace: str) -> tuple[NetworkRequest, ...]:
    """What the meta-plugin did, if the manifest says so; else what it is asked for."""
    annotation = root(document).child("metadata").child("annotations").child(NETWORKS_ANNOTATION)
    return parse_claims(document, namespace) or parse_requests(annotation, namespace)


def _definitions(
    requests: Mapping[ObjectName, tuple[NetworkRequest, ...]], objects: Mapping[ObjectRef, Document]
) -> dict[ObjectName, Definition]:
    """The networks that are used. One that nobody uses is not even looked at (S6)."""
    found: dict[ObjectName, Definition] = {}
    for request in (request for asked in requests.values() for request in asked):
        document = objects.get(ObjectRef(_NETWORK, request.network))
        if document is None:
            raise request.source.wrong(
                f"there is no {_NETWORK} {request.network}: add its manifest, or correct the name in the annotation"
            )
        if request.network not in found:
            found[request.network] = parse_definition(document)
    return dict(sorted(found.items()))


class _Wiring:
    """Gives addresses to attachments: first those that are asked for, then leases, then what is free."""

    def __init__(self, definitions: Mapping[ObjectName, Definition], leases: Leases) -> None:
        self._definitions = definitions
        self._leases = leases
        self._owners: dict[ObjectName, dict[Address, LeaseKey]] = defaultdict(dict)

    def links(self, requests: Mapping[ObjectName, tuple[NetworkRequest, ...]]) -> dict[ObjectName, tuple[PodLink, ...]]:
        asked = [(pod, request) for pod, made in sorted(requests.items()) for request in made]
        given = {_key(pod, request): self._claim(pod, request) for pod, request in asked}
        for old_first in (True, False):
            for pod, request in asked:
                key = _key(pod, request)
                if not given[key] and (key in self._leases) is old_first:
                    given[key] = self._allocate(key, request)
        return {pod: tuple(self._link(pod, r, given[_key(pod, r)]) for r in made) for pod, made in requests.items()}

    def _claim(self, pod: ObjectName, request: NetworkRequest) -> tuple[AddressInterface, ...]:
        ipam = self._definitions[request.network].ipam
        addresses = tuple(ipam.complete(address) for address in request.addresses)
        self._own(_key(pod, request), addresses, request)
        return addresses

    def _allocate(self, key: LeaseKey, request: NetworkRequest) -> tuple[AddressInterface, ...]:
        ipam = self._definitions[key.network].ipam
        addresses = ipam.allocate(self._owners[key.network], self._leases.get(key, ()))
        self._own(key, addresses, request)
        return addresses

    def _own(self, key: LeaseKey, addresses: tuple[AddressInterface, ...], request: NetworkRequest) -> None:
        for address in addresses:
            owner = self._owners[key.network].setdefault(address.ip, key)
            if owner != key:
                raise request.source.wrong(
                    f"address {address.ip} on network {key.network} belongs to {owner.interface} of pod {owner.pod}: "
                    f"every attachment needs its own"
                )

    def _link(self, pod: ObjectName, request: NetworkRequest, addresses: tuple[AddressInterface, ...]) -> PodLink:
        definition = self._definitions[request.network]
        return PodLink(
            network=request.network,
            kind=definition.link_kind,
            interface=request.interface,
            mac=request.mac or _mac(_key(pod, request), addresses),
            addresses=addresses,
            routes=definition.ipam.routes_for(addresses),
        )


def _key(pod: ObjectName, request: NetworkRequest) -> LeaseKey:
    return LeaseKey(pod, request.interface, request.network)


def _mac(key: LeaseKey, addresses: tuple[AddressInterface, ...]) -> str:
    """A locally administered MAC address that goes with the IP address, as the bridge plugin used to make them.

    So whoever gets an address that another pod had before is not looked for where that one was.
    """
    owner = f"{addresses[0].ip}" if addresses else f"{key.pod} {key.interface}"
    digest = hashlib.sha256(f"{owner} {key.network}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
