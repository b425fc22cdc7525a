"""Offline evaluation of manifests, without a cluster and without privileges.

Pods without network-status get the addresses that the lab would give them, so that offline results are those of
`mnp lab run`. Beyond that objects are judged, and nothing is built.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from attrs import evolve, field

from mnp_core.api import InterfaceDiscoverer
from mnp_core.classes import frozen
from mnp_core.cli.assumed import assume
from mnp_core.cli.unenforced import unenforced
from mnp_core.cluster import ClusterState
from mnp_core.errors import InputError
from mnp_core.model import (
    Address,
    Attachment,
    Change,
    Cidr,
    Namespace,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    Reason,
    Report,
    SandboxPolicy,
)
from mnp_core.model.parsing import NAME_LABEL
from mnp_core.offline import identities
from mnp_core.offline.recorded import complete
from mnp_core.offline.workloads import represent
from mnp_core.plugins import Registry
from mnp_core.policy.attachments import claim_attachments
from mnp_core.policy.ends import Host
from mnp_core.policy.validate import validate
from mnp_core.settings import Settings
from mnp_core.sources.decode import UNNAMED, Decoder, last_of_each
from mnp_core.sources.manifests import Document, Place, ReadFile, load_manifests
from mnp_core.sources.placement import applied, default, place

_T = TypeVar("_T", Pod, Policy, Namespace, Network)


@frozen(kw_only=True, slots=False)
class Objects:
    """The objects of some manifests.

    Attributes:
        changes: Each object, with its own errors.
        documents: The source document of each.
        settings: The node's settings.
        claimed: The CNI types that are enforced (S4).
        wires: By network, the layer 2 that its attachments are on; a network that is missing has its own.
        subnets: By network, the subnets that its addresses are in; a network that is missing has unknown ones.
        unleased: Networks whose IPAM gives addresses that are not known here.
        record_labels: Kinds of address record, see `ClusterState`.
        discoverers: By CNI type, the discoverers of a node; none where real ones are in use (the lab).
        flaws: Problems of the manifests as a whole.
        skipped: Number of documents without a meaning here: objects of other kinds, and malformed ones.
        unknown: Addresses that stand for unknown ones.
        workloads: By pod, the workload that it stands for.
        files: The files that were read.
        unread: Number of files of folders that hold no objects by themselves.
    """

    changes: tuple[Change, ...]
    documents: Mapping[ObjectRef, Document]
    settings: Settings
    claimed: frozenset[str]
    wires: Mapping[ObjectName, str] = field(factory=dict)
    subnets: Mapping[ObjectName, tuple[Cidr, ...]] = field(factory=dict)
    unleased: frozenset[ObjectName] = frozenset()
    record_labels: Mapping[str, str] = field(factory=dict)
    discoverers: Mapping[str, InterfaceDiscoverer] = field(factory=dict)
    flaws: tuple[Report, ...] = ()
    skipped: int = 0
    unknown: frozenset[Address] = frozenset()
    workloads: Mapping[ObjectName, ObjectRef] = field(factory=dict)
    files: tuple[ReadFile, ...] = ()
    unread: int = 0
    _of_reports: Mapping[Report, Place] = field(factory=dict)
    _of_others: Mapping[ObjectRef, Document] = field(factory=dict)

    @cached_property
    def cluster(self) -> ClusterState:
        """The consequences of the objects for every pod."""
        cluster = ClusterState(
            common=self.settings.common,
            claimed=self.claimed,
            record_labels=self.record_labels,
            budgets=self.settings.budgets,
            logs_annotated=self.settings.denied.only_annotated,
        )
        cluster.apply(self.changes)
        return cluster

    @cached_property
    def pods(self) -> Mapping[ObjectName, Pod]:
        """The pods by name."""
        return {pod.name: pod for pod in self.of(Pod)}

    @cached_property
    def networks(self) -> Mapping[ObjectName, Network]:
        """The network attachment definitions by name."""
        return {network.name: network for network in self.of(Network)}

    def host(self, name: ObjectName) -> Host:
        """A pod as one end of a flow.

        Raises:
            InputError: There is no such pod.
        """
        pod = self.pods.get(name)
        if pod is None:
            known = ", ".join(map(str, sorted(self.pods))) or "no pods at all"
            raise InputError(f"there is no pod {name}: there are {known:.500}")
        return Host(pod=name, attachments=self.attachments(pod), sandbox=self._enforced(name))

    def owners(self, address: Address) -> tuple[Host, ...]:
        """The pods that have an address, each as if it had no other."""
        return tuple(
            Host(pod=name, attachments=(evolve(attachment, addresses=(address,)),), sandbox=sandbox)
            for name, pod in self.pods.items()
            for attachment in self.attachments(pod)
            if address in attachment.addresses
            for sandbox in [self._enforced(name)]
        )

    def _enforced(self, name: ObjectName) -> SandboxPolicy | None:
        """The part of a pod's policy that a node could really enforce."""
        sandbox = self.cluster.sandbox_policy(name)
        without = {claim.interface for claim, _ in self._unenforced if claim.pod == name}
        if sandbox is None or not without:
            return sandbox
        return evolve(sandbox, interfaces=tuple(each for each in sandbox.interfaces if each.interface not in without))

    @cached_property
    def _unenforced(self) -> tuple[tuple[Attachment, Report], ...]:
        if not self.discoverers:
            return ()
        policies = {name: self.cluster.sandbox_policy(name) for name in self.pods}
        sandboxes = {name: sandbox for name, sandbox in policies.items() if sandbox is not None}
        attachments = {name: self.cluster.claims(name) for name in sandboxes}
        return unenforced(sandboxes, attachments, self.documents, self.discoverers)

    def attachments(self, pod: Pod) -> tuple[Attachment, ...]:
        """The attachments of a pod, enforced or not."""
        return claim_attachments(pod, self.networks, self.claimed).peers

    def reports(self) -> tuple[Report, ...]:
        """Everything that is wrong, with single objects and with all of them together."""
        alone = (report for change in self.changes for report in change.reports)
        together = validate(
            policies=self.of(Policy),
            pods=self.of(Pod),
            namespaces=self.of(Namespace),
            networks=self.of(Network),
            claimed=self.claimed,
            unleased=self.unleased,
        )
        unenforced_ones = (report for _, report in self._unenforced)
        # An address that only a cluster knows is missing here, and there alone it is known whether it is missing there.
        of_pods = (report for report in self.cluster.reports() if report.reason is not Reason.NO_ADDRESS)
        found = (*self.flaws, *alone, *together, *of_pods, *unenforced_ones)
        # The reporter makes no difference.
        return tuple(sorted({evolve(each, about=self.as_written(each.about), exposed=False) for each in found}))

    def place(self, about: ObjectRef, report: Report | None = None) -> Place | None:
        """The place of an object as it was written, or of the document that a report is about; None if unknown."""
        if report is not None and report in self._of_reports:
            return self._of_reports[report]
        ref = ObjectRef("Pod", self._represented[about]) if about in self._represented else about
        document = self.documents.get(ref) or self._of_others.get(ref)
        return document.place if document is not None else None

    @cached_property
    def _represented(self) -> Mapping[ObjectRef, ObjectName]:
        return {ref: pod for pod, ref in self.workloads.items()}

    def as_written(self, ref: ObjectRef) -> ObjectRef:
        """The object in the manifests: a workload for the pod that stands for it."""
        return self.workloads.get(ref.name, ref) if ref.kind == "Pod" else ref

    def of(self, kind: type[_T]) -> list[_T]:
        """The valid objects of a kind."""
        return [change.object for change in self.changes if isinstance(change.object, kind)]


def read_objects(  # noqa: PLR0913 # each is a choice of its own
    paths: Iterable[Path],
    registry: Registry,
    settings: Settings,
    namespace: str | None = None,
    *,
    identify: bool = False,
    pick: bool = False,
    earlier: Mapping[ObjectName, Pod] | None = None,
    beneath: Iterable[Document] = (),
    context_namespace: str | None = None,
) -> Objects:
    """Read manifests, or a dump of a whole cluster.

    An invalid object is reported and affects itself alone (S6): no content of an object is an error here.

    Args:
        paths: Files and folders.
        registry: The plugins.
        settings: The node's settings.
        namespace: Where objects are that name no namespace; None for ``default``.
        pick: Whether files of folders that hold no objects by themselves are left out, and counted.
        identify: Whether pods whose addresses are not known get others in their place.
        earlier: The pods of an earlier state; those that stay keep the addresses that they were assumed to have.
        beneath: Objects that are there already, of a live cluster; manifests replace those of their names.
        context_namespace: Where objects are that name no namespace, while others may name any; as `namespace` is not.

    Raises:
        InputError: A file cannot be read, or an object names another namespace than the given one.
    """
    manifests = load_manifests(paths, pick=pick)
    placed = place(manifests.documents, namespace) if namespace else default(manifests.documents, context_namespace)
    represented = represent(applied(placed, beneath))
    objects = decode_objects(represented.documents, registry, settings)
    assumed = assume(objects.changes, objects.documents, earlier)
    attached = tuple(_with_attachments(change, assumed.pods) for change in objects.changes)
    changes = complete(attached, objects.record_labels)
    unknown: frozenset[Address] = frozenset()
    if identify:
        pods = (change.object for change in changes if isinstance(change.object, Pod) and change.object.counts)
        identified, unknown = identities.identify(pods, assumed.unleased)
        changes = tuple(_with_attachments(change, identified) for change in changes)
    flaws = {_flaw(error): place for error, place in zip(manifests.rejected, manifests.places, strict=True)}
    return evolve(
        objects,
        changes=(*changes, *_implied(changes)),
        wires=assumed.wires,
        subnets=assumed.subnets,
        unleased=assumed.unleased,
        discoverers=registry.make_discoverers(),
        flaws=(*assumed.reports, *represented.reports, *flaws),
        of_reports={**objects._of_reports, **flaws},  # noqa: SLF001 # a copy of the same class
        of_others=represented.malformed,
        files=manifests.files,
        unread=len(manifests.unread),
        workloads=represented.workloads,
        skipped=objects.skipped + manifests.foreign,
        unknown=unknown,
    )


def decode_objects(
    documents: Iterable[Document],
    registry: Registry,
    settings: Settings,
    wires: Mapping[ObjectName, str] | None = None,
) -> Objects:
    """Decode manifests; pods have the attachments of their network-status, and the addresses of records of them.

    Raises:
        InputError: The setting guest-addresses cannot be used.
        PluginError: It names a source that is not there.
    """
    sources = registry.addresses_from(settings.guest_addresses)
    labels = {source.kind: source.pod_label for source in sources}
    decoder = Decoder(tuple(registry.policy_kinds.values()), sources)
    decoded = [(decoder.decode(document.raw), document) for document in documents]
    read = [(change, document) for change, document in decoded if change is not None]
    return Objects(
        changes=complete(last_of_each(change for change, _ in read), labels),
        record_labels=labels,
        documents={change.ref: document for change, document in read},
        settings=settings,
        claimed=settings.enforced_types(registry.claimed_types),
        wires=wires or {},
        skipped=sum(change is None and not _is_ours(document) for change, document in decoded),
        of_reports={
            report: document.place
            for change, document in read
            if change.ref.name.name == UNNAMED and document.place is not None
            for report in change.reports
        },
    )


def _is_ours(document: Document) -> bool:
    """Whether it is an object of the lab's own, such as expectations."""
    return bool(document.raw["apiVersion"].startswith("mnp.lab/"))


def _with_attachments(change: Change, pods: Mapping[ObjectName, Pod]) -> Change:
    known = pods.get(change.ref.name) if isinstance(change.object, Pod) else None
    return change if known is None else evolve(change, object=known)


def _implied(changes: Iterable[Change]) -> Iterator[Change]:
    """The namespaces that objects are in and no manifest declares, as the API server would show them."""
    declared = {change.ref.name.name for change in changes if change.ref.kind == "Namespace"}
    used = {change.ref.name.namespace for change in changes if change.object is not None}
    for name in sorted(used - declared - {""}):
        namespace = Namespace(name=name, labels={NAME_LABEL: name})
        yield Change(ref=ObjectRef("Namespace", ObjectName("", name)), object=namespace)


def _flaw(error: InputError) -> Report:
    wrong, _, remedy = error.message.partition(": ")
    return Report(
        about=ObjectRef("Manifest", ObjectName("", error.where)),
        field=error.field,
        reason=Reason.MALFORMED,
        message=f"{wrong}, the document does not count",
        remedy=(remedy or "Correct it").capitalize(),
    )
