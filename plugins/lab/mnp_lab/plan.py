"""From manifests to a lab: its pods, wires and addresses. Pure, and the same on every run.

A pod that cannot be built is left out, and the others are built (S6).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, ObjectRef, Pod
from mnp_core.model.parsing import parse_pod
from mnp_core.offline.admission import admit, index, root
from mnp_core.offline.definition import Definition, LinkKind, parse_definition
from mnp_core.offline.networks_annotation import NETWORKS_ANNOTATION, WrittenRequest, parse_requests
from mnp_core.offline.wires import join
from mnp_core.sources.manifests import Document
from mnp_lab.addressing import Addressing
from mnp_lab.meta_plugin import announce, claims_of
from mnp_lab.topology import LabPlan, LeaseKey, Leases, PodLink, PodPlan, Switch

_POD = "Pod"
_NETWORK = "NetworkAttachmentDefinition"

T = TypeVar("T")
Requests = Mapping[ObjectName, tuple[WrittenRequest, ...]]


def plan_lab(documents: Iterable[Document], *, leases: Leases | None = None) -> LabPlan:
    """Plan a lab.

    Args:
        documents: Manifests; kinds that mean nothing here pass through untouched.
        leases: Addresses that were given out before, kept as far as they still fit.

    Raises:
        InputError: One is no object of Kubernetes, or two are the same; it names file, document and field.
    """
    return _Draft(admit(index(documents)), leases or {}).plan()


class _Draft:
    """A plan in the making. Each step goes on with the pods that the steps before have not left out."""

    def __init__(self, objects: Mapping[ObjectRef, Document], leases: Leases) -> None:
        self._objects = objects
        self._leases = leases
        self._left_out: dict[ObjectName, InputError] = {}
        self._definitions: dict[ObjectName, Definition | InputError] = {}

    def plan(self) -> LabPlan:
        names = sorted(ref.name for ref in self._objects if ref.kind == _POD)
        pods = {name: pod for name, pod in self._for_each(names, self._pod).items() if pod.counts}
        requests = self._for_each(pods, lambda name: self._requests(pods[name]))
        used = sorted({request.network for made in requests.values() for request in made})
        definitions = {network: self._definition(network) for network in used}
        wires, joined = join({n: d.wire for n, d in definitions.items()}, _asked(requests))
        addressing = Addressing(definitions, wires, self._leases)
        self._for_each(addressing.claiming_order(requests), lambda name: addressing.claim(name, requests[name]))
        for allocate in (addressing.renew, addressing.allocate):
            self._for_each(self._remaining(requests), partial(_apply, allocate, requests))
        links = self._for_each(self._remaining(requests), lambda name: addressing.links(name, requests[name]))
        announced = self._for_each(links, lambda name: announce(self._document(name), links[name]))
        built = {name: PodPlan(name=name, links=links[name], ports=pods[name].ports) for name in announced}
        plan = LabPlan(
            switches=_switches(built.values()),
            pods=built,
            objects={**self._objects, **{ObjectRef(_POD, name): document for name, document in announced.items()}},
            leases={LeaseKey(p.name, link.interface, link.network): link.addresses for p, link in _links(built)},
            notices=(*_notices(definitions, built), *joined),
            left_out=dict(sorted(self._left_out.items())),
        )
        return evolve(plan, notices=plan.notices + plan.complaints)

    def _for_each(self, names: Iterable[ObjectName], work: Callable[[ObjectName], T]) -> dict[ObjectName, T]:
        """The results of the work, by pod; a pod for which it fails is left out, alone."""
        done: dict[ObjectName, T] = {}
        for name in names:
            try:
                done[name] = work(name)
            except InputError as error:
                self._left_out.setdefault(name, error)
        return done

    def _remaining(self, names: Iterable[ObjectName]) -> list[ObjectName]:
        return [name for name in names if name not in self._left_out]

    def _document(self, name: ObjectName) -> Document:
        return self._objects[ObjectRef(_POD, name)]

    def _pod(self, name: ObjectName) -> Pod:
        return parse_pod(self._document(name).raw)[0]

    def _requests(self, pod: Pod) -> tuple[WrittenRequest, ...]:
        """The attachments in network-status, if the manifest has one; else the requested ones. All are defined."""
        document = self._document(pod.name)
        annotation = root(document).child("metadata").child("annotations").child(NETWORKS_ANNOTATION)
        requests = claims_of(pod, document) or parse_requests(annotation, pod.name.namespace)
        for request in requests:
            self._define(request)
        return requests

    def _define(self, request: WrittenRequest) -> None:
        """Parse a network in use. An unused network is not even parsed (S6)."""
        network = request.network
        document = self._objects.get(ObjectRef(_NETWORK, network))
        if document is None:
            raise request.source.wrong(
                f"there is no {_NETWORK} {network}: add its manifest, or correct the name in the annotation"
            )
        if network not in self._definitions:
            try:
                self._definitions[network] = parse_definition(document)
            except InputError as error:
                self._definitions[network] = error
        self._definition(network)

    def _definition(self, network: ObjectName) -> Definition:
        found = self._definitions[network]
        if isinstance(found, InputError):
            raise found
        return found


def _apply(work: Callable[[ObjectName, Sequence[WrittenRequest]], None], requests: Requests, name: ObjectName) -> None:
    work(name, requests[name])


def _asked(requests: Requests) -> dict[ObjectName, list[Address]]:
    """By network, the requested addresses of pods."""
    asked: dict[ObjectName, list[Address]] = defaultdict(list)
    for request in (request for made in requests.values() for request in made):
        asked[request.network] += [getattr(address, "ip", address) for address in request.addresses]
    return asked


def _links(pods: Mapping[ObjectName, PodPlan]) -> Iterable[tuple[PodPlan, PodLink]]:
    return ((pod, link) for pod in pods.values() for link in pod.links)


def _switches(pods: Iterable[PodPlan]) -> dict[str, Switch]:
    kinds: dict[str, set[LinkKind]] = defaultdict(set)
    for link in (link for pod in pods for link in pod.links):
        kinds[link.wire].add(link.kind)
    return {wire: Switch(wire=wire, kinds=frozenset(found)) for wire, found in sorted(kinds.items())}


def _notices(definitions: Mapping[ObjectName, Definition], pods: Mapping[ObjectName, PodPlan]) -> list[str]:
    """About the networks that something is attached to."""
    used = {link.network for _, link in _links(pods)}
    return [notice for network, definition in definitions.items() if network in used for notice in definition.notices]
