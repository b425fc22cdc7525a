"""Attachments of pods that carry no network-status: those that `mnp lab` would give them.

Offline commands judge objects and build nothing. An attachment lacks a missing input alone (S6): without a definition
it has an interface and no address, and its reports are those of a node.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface

from attrs import evolve, field

from mnp_core.classes import define, frozen
from mnp_core.errors import InputError
from mnp_core.model import (
    Address,
    Change,
    Cidr,
    NetworkStatus,
    ObjectName,
    ObjectRef,
    Pod,
    Reason,
    Report,
    Severity,
)
from mnp_core.offline.admission import root
from mnp_core.offline.definition import Definition, parse_definition
from mnp_core.offline.ipam import IPAM_TYPES
from mnp_core.offline.networks_annotation import NETWORKS_ANNOTATION, parse_requests
from mnp_core.offline.strict_field import AddressInterface
from mnp_core.offline.wires import join
from mnp_core.sources.manifests import Document

_NETWORK = "NetworkAttachmentDefinition"


@frozen(kw_only=True)
class Assumed:
    """Pods with their attachments.

    Attributes:
        pods: Those of which something had to be assumed, with all of their attachments.
        reports: Why something could not be.
        wires: By network, the layer 2 that its attachments are on; a network that is missing has its own.
        unleased: Networks whose IPAM gives addresses that are not known here.
        subnets: By network, the subnets that its addresses are in; a network that is missing has unknown ones.
    """

    pods: Mapping[ObjectName, Pod]
    reports: tuple[Report, ...]
    wires: Mapping[ObjectName, str]
    unleased: frozenset[ObjectName]
    subnets: Mapping[ObjectName, tuple[Cidr, ...]]


def assume(
    changes: Iterable[Change],
    documents: Mapping[ObjectRef, Document],
    earlier: Mapping[ObjectName, Pod] | None = None,
) -> Assumed:
    """Complete the pods.

    Args:
        changes: All objects.
        documents: How they were written.
        earlier: Completed pods of an earlier state; those that stay keep their addresses.
    """
    assumption = _Assumption(documents, earlier or {})
    pods = {change.object.name: change.object for change in changes if isinstance(change.object, Pod)}
    return assumption.complete({name: pod for name, pod in sorted(pods.items()) if pod.counts})


@define
class _Assumption:
    """One assumption about all pods in the making."""

    _documents: Mapping[ObjectRef, Document]
    _earlier: Mapping[ObjectName, Pod]
    _definitions: dict[ObjectName, Definition] = field(factory=dict, init=False)
    _reports: set[Report] = field(factory=set, init=False)
    _unleased: set[ObjectName] = field(factory=set, init=False)

    def complete(self, pods: Mapping[ObjectName, Pod]) -> Assumed:
        statuses = {name: pod.statuses or tuple(self._asked(pod)) for name, pod in pods.items()}
        everything = [status for each in statuses.values() for status in each]
        self._define({status.network for status in everything})
        written: dict[ObjectName, list[Address]] = defaultdict(list)
        for status in everything:
            written[status.network] += status.addresses
        wires, _ = join({name: found.wire for name, found in self._definitions.items()}, written)
        taken: dict[str, set[Address]] = defaultdict(set)
        for network, addresses in written.items():
            taken[wires.get(network, str(network))].update(addresses)
        kept_first = sorted(statuses, key=lambda name: name not in self._earlier)
        done = {name: tuple(self._addressed(name, statuses[name], wires, taken)) for name in kept_first}
        return Assumed(
            pods={name: evolve(pod, statuses=done[name]) for name, pod in pods.items() if done[name] != pod.statuses},
            reports=tuple(sorted(self._reports)),
            wires=wires,
            unleased=frozenset(self._unleased | {status.network for status in everything} - self._definitions.keys()),
            subnets={name: found.ipam.subnets for name, found in self._definitions.items()},
        )

    def _asked(self, pod: Pod) -> Iterator[NetworkStatus]:
        """The attachments that the meta-plugin would make."""
        ref = ObjectRef("Pod", pod.name)
        try:
            annotation = root(self._documents[ref]).child("metadata").child("annotations").child(NETWORKS_ANNOTATION)
            requests = parse_requests(annotation, pod.name.namespace)
        except InputError as error:
            self._reports.add(_report(ref, error, "the pod has no attachments"))
            return
        for request in requests:
            addresses = tuple(getattr(address, "ip", address) for address in request.addresses)
            yield NetworkStatus(
                network=request.network, interface=request.interface, addresses=addresses, mac=request.mac
            )

    def _define(self, used: Iterable[ObjectName]) -> None:
        """Look at the networks that are used; of those that are not there a report is made elsewhere (S64)."""
        for name in sorted(used):
            ref = ObjectRef(_NETWORK, name)
            try:
                if ref in self._documents:
                    self._definitions[name] = parse_definition(self._documents[ref])
            except InputError as error:
                self._reports.add(_report(ref, error, "no addresses are assumed on it"))

    def _addressed(
        self,
        pod: ObjectName,
        statuses: Iterable[NetworkStatus],
        wires: Mapping[ObjectName, str],
        taken: Mapping[str, set[Address]],
    ) -> Iterator[NetworkStatus]:
        for status in statuses:
            definition = self._definitions.get(status.network)
            if status.addresses or definition is None:
                yield status
                continue
            others = taken[wires[status.network]]
            addresses = self._leased(definition, others, self._kept(pod, status))
            others.update(addresses)
            yield evolve(status, addresses=addresses)

    def _kept(self, pod: ObjectName, status: NetworkStatus) -> tuple[AddressInterface, ...]:
        before = self._earlier[pod].statuses if pod in self._earlier else ()
        same = (each for each in before if (each.network, each.interface) == (status.network, status.interface))
        return tuple(ip_interface(address) for each in same for address in each.addresses)

    def _leased(
        self, definition: Definition, taken: set[Address], kept: tuple[AddressInterface, ...]
    ) -> tuple[Address, ...]:
        ref = ObjectRef(_NETWORK, definition.name)
        self._unleased.add(definition.name)
        try:
            ipam = definition.ipam.source.child("type").text()
            if ipam and ipam not in IPAM_TYPES:
                self._reports.add(_unknown(ref, ipam))
                return ()
            addresses = tuple(address.ip for address in definition.ipam.allocate(taken, kept))
        except InputError as error:
            self._reports.add(_report(ref, error, "some attachments have no address"))
            return ()
        self._unleased.discard(definition.name)
        return addresses


def _report(ref: ObjectRef, error: InputError, effect: str) -> Report:
    wrong, _, remedy = error.message.partition(": ")
    return Report(
        about=ref,
        field=error.field,
        reason=Reason.MALFORMED,
        message=f"{wrong}, {effect}",
        remedy=(remedy or "Correct it").capitalize(),
    )


def _unknown(ref: ObjectRef, ipam: str) -> Report:
    return Report(
        about=ref,
        field="spec.config",
        reason=Reason.NO_ADDRESS,
        message=f"the addresses that ipam type {ipam[:80]!r} gives are not known without network-status",
        remedy="Take pods from the cluster, with network-status, or give them ips in their networks annotation",
        severity=Severity.HINT,
    )
