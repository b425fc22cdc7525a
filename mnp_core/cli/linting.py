"""The findings about the objects of a command: reports, and doubts."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from mnp_core.cli.objects import Objects
from mnp_core.errors import InputError
from mnp_core.model import Address, Namespace, ObjectName, ObjectRef, Pod, Policy, parse_address
from mnp_core.offline.definition import parse_definition
from mnp_core.offline.facts import network_facts
from mnp_core.policy.lint import Finding, NetworkFacts, Snapshot, lint
from mnp_core.sources.manifests import Document

_NETWORK = "NetworkAttachmentDefinition"


def doubts(objects: Objects, *, complete: bool) -> tuple[Finding, ...]:
    """Findings about valid objects.

    Args:
        objects: The objects.
        complete: Whether they are all of a cluster.
    """
    return lint(snapshot_of(objects, complete=complete))


def snapshot_of(objects: Objects, *, complete: bool) -> Snapshot:
    """The objects as rules look at them."""
    policies, pods = tuple(objects.of(Policy)), tuple(objects.of(Pod))
    return Snapshot(
        policies=policies,
        pods=pods,
        attachments={pod.name: objects.attachments(pod) for pod in pods},
        namespaces=tuple(objects.of(Namespace)),
        networks=frozenset(objects.networks),
        facts=dict(_facts(objects, policies)),
        nameservers=dict(_nameservers(objects, pods)),
        sandbox=objects.cluster.sandbox_policy,
        written={policy.ref: objects.documents[policy.ref].raw for policy in policies},
        complete=complete,
    )


def _facts(objects: Objects, policies: tuple[Policy, ...]) -> Iterator[tuple[ObjectName, NetworkFacts]]:
    scopes = [policy.scope.networks for policy in policies]
    named = {name for scope in scopes for name in scope or ()}
    for name in objects.networks.keys() if None in scopes else named & objects.networks.keys():
        with suppress(InputError):  # reported where addresses are assumed
            definition = parse_definition(objects.documents[ObjectRef(_NETWORK, name)])
            yield name, network_facts(definition, objects.wires.get(name, ""))


def _nameservers(objects: Objects, pods: tuple[Pod, ...]) -> Iterator[tuple[ObjectName, tuple[Address, ...]]]:
    for pod in pods:
        document = objects.documents.get(ObjectRef("Pod", pod.name))
        found = tuple(_of_pod(document)) if document is not None else ()
        if found:
            yield pod.name, found


def _of_pod(document: Document) -> Iterator[Address]:
    """``spec.dnsConfig.nameservers`` (core/v1 PodDNSConfig), as far as they are addresses."""
    value: object = document.raw
    for key in ("spec", "dnsConfig", "nameservers"):
        value = value.get(key) if isinstance(value, Mapping) else None
    for server in value if isinstance(value, list) else ():
        with suppress(ValueError):
            yield parse_address(server)
