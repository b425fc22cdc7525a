"""Isolated attachments that a node could not enforce policy on (S64), as far as objects show.

A node looks at the links in a pod. Here each attachment is shown to the same discoverers with the link that its
network's CNI plugin makes: a refusal here is a refusal on every node.
"""

import traceback
from collections.abc import Iterable, Mapping

from mnp_core.api import InterfaceDiscoverer
from mnp_core.errors import InputError
from mnp_core.model import Attachment, Audited, Isolated, Link, ObjectName, ObjectRef, Reason, Report, SandboxPolicy
from mnp_core.offline.definition import Definition, parse_definition
from mnp_core.sources.manifests import Document

_NETWORK = "NetworkAttachmentDefinition"


def unenforced(
    sandboxes: Mapping[ObjectName, SandboxPolicy],
    attachments: Mapping[ObjectName, Iterable[Attachment]],
    documents: Mapping[ObjectRef, Document],
    discoverers: Mapping[str, InterfaceDiscoverer],
) -> tuple[tuple[Attachment, Report], ...]:
    """Find them, with a report for each.

    Args:
        sandboxes: The policies, by pod.
        attachments: By pod.
        documents: The source documents of the network definitions.
        discoverers: By CNI type.
    """
    claims = [
        claim
        for pod, sandbox in sandboxes.items()
        for claim in attachments[pod]
        if claim.kind in discoverers and _is_isolated(sandbox, claim.interface)
    ]
    definitions = {network: _definition(documents, network) for network in {claim.network for claim in claims}}
    found = []
    for claim in claims:
        definition = definitions[claim.network]
        reason = _refusal(claim, definition, discoverers[claim.kind]) if definition is not None else ""
        if reason:
            found.append((claim, _report(claim, reason)))
    return tuple(found)


def _is_isolated(sandbox: SandboxPolicy, interface: str) -> bool:
    policies = [policy for policy in sandbox.interfaces if policy.interface == interface]
    return any(isinstance(way, Isolated | Audited) for policy in policies for way in (policy.ingress, policy.egress))


def _definition(documents: Mapping[ObjectRef, Document], network: ObjectName) -> Definition | None:
    document = documents.get(ObjectRef(_NETWORK, network))
    try:
        return parse_definition(document) if document is not None else None
    except InputError:  # it is reported where addresses are assumed
        return None


def _refusal(claim: Attachment, definition: Definition, discoverer: InterfaceDiscoverer) -> str:
    link = Link(
        name=claim.interface,
        index=2,
        kind=definition.node_kind,
        mode=definition.node_mode,
        mac=claim.mac,
        addresses=claim.addresses,
        device=claim.device,
    )
    try:
        return discoverer.discover(claim, [link]).unenforceable
    except Exception as error:  # noqa: BLE001 # a plugin may raise any error; it concerns this attachment alone (S6)
        return f"the plugin that looks at it failed ({traceback.format_exception_only(error)[-1].strip():.200})"


def _report(claim: Attachment, reason: str) -> Report:
    return Report(
        about=ObjectRef("Pod", claim.pod),
        field="metadata.annotations[k8s.v1.cni.cncf.io/network-status]",
        reason=Reason.UNENFORCEABLE,
        message=f"interface {claim.interface} on network {claim.network}: {reason.rstrip('.')}",
        remedy="Take the network out of the policy, or attach the pod by a kind that can be enforced",
    )
