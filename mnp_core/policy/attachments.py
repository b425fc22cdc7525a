"""The attachments of a pod, from its annotations and the network definitions.

Two questions are answered separately: on which interfaces the pod is enforced, and which addresses it brings into the
groups that others' rules refer to. Whatever is doubtful is enforced, and is reported.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from mnp_core.classes import frozen
from mnp_core.model import (
    UNKNOWN_KIND,
    Address,
    AddressRecord,
    Attachment,
    Network,
    NetworkRequest,
    ObjectName,
    ObjectRef,
    Pod,
    Reason,
    Report,
)
from mnp_core.model.gated import Gated
from mnp_core.model.parsing.field import shown
from mnp_core.policy.gated import outranked
from mnp_core.policy.recorded import with_recorded

_FIELD = "metadata.annotations[k8s.v1.cni.cncf.io/network-status]"
_REQUESTS_FIELD = "metadata.annotations[k8s.v1.cni.cncf.io/networks]"


@frozen(kw_only=True)
class Problem:
    """A report about a pod, and the attachment that it is about; None if it may be any of them."""

    report: Report
    attachment: Attachment | None = None


@frozen(kw_only=True)
class Claims:
    """A pod's attachments as its annotations claim them, in the order of the annotation (S3, S64).

    Attributes:
        enforced: Those whose interface policies are enforced on.
        peers: Those whose addresses stand for the pod in others' rules: `enforced` and some more (S21).
        problems: Of the pod; each is about an interface that is not enforced, or whose kind is not known, or that
            network-status lacks.
    """

    enforced: tuple[Attachment, ...] = ()
    peers: tuple[Attachment, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def reports(self) -> tuple[Report, ...]:
        """The problems, without their subjects."""
        return tuple(problem.report for problem in self.problems)


def claim_attachments(
    pod: Pod,
    networks: Mapping[ObjectName, Network],
    claimed: Collection[str],
    gated: Gated | None = None,
    records: Sequence[AddressRecord] = (),
) -> Claims:
    """Work out a pod's attachments.

    Args:
        pod: The pod; one that policies cannot select has no attachments, one that is over has no peers (S5).
        networks: All network attachment definitions.
        claimed: The CNI types that are enforced (S4).
        gated: A gate's description of its attachments, if there is one.
        records: Addresses where network-status has none, the most believed first (S75).
    """
    if not pod.is_target:
        return Claims()
    peers: list[Attachment] = []
    enforced: list[Attachment] = []
    problems: list[Problem] = []
    if gated is not None:
        pod, differences = outranked(pod, gated)
        problems += [Problem(report=report) for report in differences]
    requests = _absent(pod) if gated is not None else _unanswered(pod) if pod.attached else ()
    attachments = (*announced(pod, networks, claimed), *_requested(pod, requests, networks, claimed))
    for attachment in with_recorded(pod, attachments, records) if records else attachments:
        network = networks.get(attachment.network)
        peers.append(attachment)
        obstacle = _obstacle(pod, attachment, network, claimed)
        if obstacle is None:
            enforced.append(attachment)
        found = (obstacle or _doubt(pod, attachment, network), _loss(pod, attachment) if obstacle is None else None)
        problems += [Problem(report=report, attachment=attachment) for report in found if report is not None]
    one = tuple(enforced)
    counted = one if len(one) == len(peers) else tuple(peers)  # mostly all: they share a tuple
    return Claims(enforced=one, peers=counted if pod.counts else (), problems=tuple(problems))


def announced(pod: Pod, networks: Mapping[ObjectName, Network], claimed: Collection[str]) -> Iterator[Attachment]:
    """Attachments in network-status, one for each entry; arguments as of `claim_attachments`."""
    for status in pod.statuses:
        yield Attachment(
            pod=pod.name,
            network=status.network,
            interface=status.interface,
            addresses=status.addresses,
            kind=_kind(networks.get(status.network), claimed),
            mac=status.mac,
            device=status.device_pci,
            rdma=status.device_rdma,
        )


def _requested(
    pod: Pod,
    requests: Iterable[NetworkRequest],
    networks: Mapping[ObjectName, Network],
    claimed: Collection[str],
) -> Iterator[Attachment]:
    """Attachments that the pod requests and network-status lacks, enforced as they were requested.

    Once the meta-plugin is done with the pod they are lost: status is written once, by others, and gets lost (S64).
    """
    for request in requests:
        yield Attachment(
            pod=pod.name,
            network=request.network,
            interface=request.interface,
            addresses=tuple(_hosts(request)),
            kind=_kind(networks.get(request.network), claimed),
            mac=request.mac,
            lost=pod.attached,
        )


def _unanswered(pod: Pod) -> Iterable[NetworkRequest]:
    """An entry answers the request with its interface, else one for its network."""
    taken = {(status.network, status.interface) for status in pod.statuses}
    others = [status.network for status in pod.statuses]
    remaining: list[NetworkRequest] = []
    for request in pod.requests:
        if (request.network, request.interface) in taken:
            others.remove(request.network)
        else:
            remaining.append(request)
    for request in remaining:
        if request.network in others:
            others.remove(request.network)
        elif request.network != pod.default_network and request.interface not in pod.default_interfaces:
            yield request


def _absent(pod: Pod) -> Iterable[NetworkRequest]:
    """Requests whose interface has no entry. Where a gate speaks, an entry for another interface answers none."""
    present = {status.interface for status in pod.statuses} | pod.default_interfaces
    return (request for request in pod.requests if request.interface not in present)


def _hosts(request: NetworkRequest) -> Iterator[Address]:
    for address in request.addresses:
        yield getattr(address, "ip", address)


def _kind(network: Network | None, claimed: Collection[str]) -> str:
    return (network.kind(claimed) if network is not None else None) or UNKNOWN_KIND


def _obstacle(pod: Pod, attachment: Attachment, network: Network | None, claimed: Collection[str]) -> Report | None:
    """Why the interface is not enforced, or None."""
    interface = shown(attachment.interface)
    if not attachment.interface:  # the parser has reported which name it refused
        return _report(
            pod,
            Reason.UNENFORCEABLE,
            f"no interface is known for {attachment.network}: the pod's interface there is not enforced",
            "Let the meta-plugin write this annotation",
        )
    if attachment.interface in pod.default_interfaces:
        return _report(
            pod,
            Reason.INVALID_STATUS,
            f"{attachment.network} claims {interface}, the interface of the default network, which is not enforced",
            "Give the attachment an interface of its own",
        )
    if network is not None and network.cni_types and attachment.kind == UNKNOWN_KIND:
        return _report(
            pod,
            Reason.UNCLAIMED_TYPE,
            f"{interface} on {attachment.network} is not enforced: {unenforced_type(network, claimed)}",
            UNENFORCED_REMEDY,
        )
    return None


UNENFORCED_REMEDY = (
    "Install the plugin for this type of attachment, or name the type in the setting network-plugins, or leave the"
    " network out of policies"
)


def unenforced_type(network: Network, claimed: Collection[str]) -> str:
    """Why nothing is enforced on a network of such a type, whether a plugin is missing or a setting leaves it out."""
    return f"its CNI type is {', '.join(network.cni_types)}, enforced are {', '.join(sorted(claimed)) or 'none'}"


def _doubt(pod: Pod, attachment: Attachment, network: Network | None) -> Report | None:
    """Why the interface's kind is not known, or None. It is enforced by its name all the same."""
    if network is not None and network.cni_types:
        return None
    missing = "does not exist" if network is None else "holds no configuration"
    return _report(
        pod,
        Reason.UNKNOWN_NETWORK,
        f"the definition of {attachment.network} {missing}: {shown(attachment.interface)} is of unknown kind",
        "Create the NetworkAttachmentDefinition with the configuration that the pod was attached with",
    )


def _loss(pod: Pod, attachment: Attachment) -> Report | None:
    if not attachment.lost:
        return None
    return Report(
        about=ObjectRef("Pod", pod.name),
        field=_REQUESTS_FIELD,
        reason=Reason.INVALID_STATUS,
        message=f"it asks for {attachment.network} as {shown(attachment.interface)}, which network-status does not"
        " list: policies are enforced on the interface of that name, and no address but one asked for stands for it",
        remedy="Find the writer that removed the entry from network-status, or create the pod again",
    )


def _report(pod: Pod, reason: Reason, message: str, remedy: str) -> Report:
    return Report(about=ObjectRef("Pod", pod.name), field=_FIELD, reason=reason, message=message, remedy=remedy)
