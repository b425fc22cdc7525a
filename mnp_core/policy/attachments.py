"""What a pod's annotations and the network definitions together say of its attachments.

Two questions are answered separately: on which interfaces the pod is policed, and which addresses it brings into the
groups that others' rules refer to. Whatever is doubtful is policed, and is reported.
"""

from collections.abc import Container, Mapping

from attrs import frozen

from mnp_core.model import (
    UNKNOWN_KIND,
    Attachment,
    Network,
    NetworkStatus,
    ObjectName,
    ObjectRef,
    Pod,
    Reason,
    Report,
)

_FIELD = "metadata.annotations[k8s.v1.cni.cncf.io/network-status]"


@frozen(kw_only=True)
class Claims:
    """A pod's attachments as its network-status claims them, in the order of the annotation (S3).

    Attributes:
        policed: Those whose interface policies are enforced on.
        peers: Those whose addresses stand for the pod in others' rules: `policed` and some more (S21).
        reports: About the pod; each is about an interface that is not policed, or whose kind is not known.
    """

    policed: tuple[Attachment, ...] = ()
    peers: tuple[Attachment, ...] = ()
    reports: tuple[Report, ...] = ()


def claim_attachments(pod: Pod, networks: Mapping[ObjectName, Network], claimed: Container[str]) -> Claims:
    """Work out a pod's attachments.

    Args:
        pod: The pod; one that does not count has no attachments (S5).
        networks: All network attachment definitions.
        claimed: The CNI types that loaded plugins claim (S4).
    """
    if not pod.counts:
        return Claims()
    peers: list[Attachment] = []
    policed: list[Attachment] = []
    reports: list[Report] = []
    for status in pod.statuses:
        network = networks.get(status.network)
        attachment = _attachment(pod, status, _kind(network, claimed))
        peers.append(attachment)
        obstacle = _obstacle(pod, status, network, attachment.kind)
        if obstacle is None and status.interface:  # the parser has reported an interface name that it refused
            policed.append(attachment)
        report = obstacle or _doubt(pod, status, network)
        if report is not None:
            reports.append(report)
    return Claims(policed=tuple(policed), peers=tuple(peers), reports=tuple(reports))


def _kind(network: Network | None, claimed: Container[str]) -> str:
    return (network.kind(claimed) if network is not None else None) or UNKNOWN_KIND


def _attachment(pod: Pod, status: NetworkStatus, kind: str) -> Attachment:
    return Attachment(
        pod=pod.name,
        network=status.network,
        interface=status.interface,
        addresses=status.addresses,
        kind=kind,
        mac=status.mac,
        device=status.device_pci,
        rdma=status.device_rdma,
    )


def _obstacle(pod: Pod, status: NetworkStatus, network: Network | None, kind: str) -> Report | None:
    """Why the interface is not policed although its name is fine, or None."""
    if status.interface in pod.default_interfaces:
        return _report(
            pod,
            Reason.INVALID_STATUS,
            f"{status.network} claims {status.interface}, the interface of the default network, which is not policed",
            "Give the attachment an interface of its own",
        )
    if network is not None and network.cni_types and kind == UNKNOWN_KIND:
        types = ", ".join(network.cni_types)
        return _report(
            pod,
            Reason.UNCLAIMED_TYPE,
            f"{status.interface} on {status.network} is not policed: no loaded plugin claims its CNI type ({types})",
            "Install the plugin for this type of attachment, or leave the network out of policies",
        )
    return None


def _doubt(pod: Pod, status: NetworkStatus, network: Network | None) -> Report | None:
    """Why the interface's kind is not known, or None. It is policed by its name all the same."""
    if network is not None and network.cni_types:
        return None
    missing = "does not exist" if network is None else "holds no configuration"
    return _report(
        pod,
        Reason.UNKNOWN_NETWORK,
        f"the definition of {status.network} {missing}: {status.interface or 'its interface'} is of unknown kind",
        "Create the NetworkAttachmentDefinition with the configuration that the pod was attached with",
    )


def _report(pod: Pod, reason: Reason, message: str, remedy: str) -> Report:
    return Report(about=ObjectRef("Pod", pod.name), field=_FIELD, reason=reason, message=message, remedy=remedy)
