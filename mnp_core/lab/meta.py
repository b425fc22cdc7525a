"""The stand-in of the meta-plugin: tells in each pod's annotation what was attached, and lets the pod run.

So the core reads in the lab exactly what it reads in a cluster (S3), and nothing else.
"""

import json
from collections.abc import Iterator, Sequence

from attrs import evolve

from mnp_core.lab.admission import root, with_metadata
from mnp_core.lab.field import Field
from mnp_core.lab.request import NetworkRequest
from mnp_core.lab.topology import PodLink
from mnp_core.model import ObjectName
from mnp_core.sources.manifests import Document

STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status"


def parse_claims(document: Document, namespace: str) -> tuple[NetworkRequest, ...]:
    """The attachments that a manifest's own network-status claims; those of the default network are not the lab's.

    Raises:
        InputError: The annotation cannot be understood.
    """
    return tuple(_claim(entry, namespace) for entry in _entries(document) if not _is_default(entry))


def announce(document: Document, links: Sequence[PodLink]) -> Document:
    """The pod as it is once the meta-plugin is done with it.

    A network-status that the manifest has stays as it is, unless it leaves addresses to the lab.
    """
    running = _running(document)
    entries = tuple(_entries(document))
    own = [entry for entry in entries if not _is_default(entry)]
    if not links or (own and all(entry.child("ips").value for entry in own)):
        return running
    status = [entry.value for entry in entries if _is_default(entry)] + [_status(link) for link in links]
    annotations = root(document).child("metadata").child("annotations").mapping()
    return with_metadata(running, annotations={**annotations, STATUS_ANNOTATION: json.dumps(status)})


def _entries(document: Document) -> Iterator[Field]:
    annotation = root(document).child("metadata").child("annotations").child(STATUS_ANNOTATION)
    return annotation.json().elements() if annotation.text() else iter(())


def _is_default(entry: Field) -> bool:
    return entry.child("default").value is True or not entry.child("name").text()


def _claim(entry: Field, namespace: str) -> NetworkRequest:
    name = entry.child("name")
    owner, slash, bare = name.text().rpartition("/")
    return NetworkRequest(
        network=ObjectName(
            evolve(name, value=owner).name() if slash else namespace,
            evolve(name, value=bare).name(),
        ),
        interface=entry.child("interface").interface(),
        addresses=tuple(ip.address_interface() for ip in entry.child("ips").elements()),
        mac=entry.child("mac").mac(),
        source=entry,
    )


def _status(link: PodLink) -> dict[str, object]:
    return {
        "name": str(link.network),
        "interface": link.interface,
        "ips": [str(address.ip) for address in link.addresses],
        "mac": link.mac,
        "default": False,
        "dns": {},
    }


def _running(document: Document) -> Document:
    status = root(document).child("status").mapping()
    return evolve(document, raw={**document.raw, "status": {"phase": "Running", **status}})
