"""The stand-in of the meta-plugin: records attachments in each pod's annotation, and lets the pod run.

So the core reads the same in the lab as in a cluster (S3), and nothing else.
"""

import json
from collections.abc import Iterator, Sequence

from attrs import evolve

from mnp_core.model import Pod
from mnp_core.model.parsing import NETWORK_STATUS
from mnp_core.offline.admission import root, with_metadata
from mnp_core.offline.networks_annotation import WrittenRequest
from mnp_core.offline.strict_field import StrictField
from mnp_core.sources.manifests import Document
from mnp_lab.topology import PodLink


def claims_of(pod: Pod, document: Document) -> tuple[WrittenRequest, ...]:
    """The attachments that a manifest's own network-status claims, as the core reads them, each interface once.

    Those of the default network are not the lab's, nor are those without an interface of the kernel.

    Raises:
        InputError: The annotation is no list at all.
    """
    source = _annotation(document)
    list(_entries(document))  # else the lab would replace an unreadable annotation by its own
    claims = {
        status.interface: WrittenRequest(
            network=status.network,
            interface=status.interface,
            addresses=status.addresses,
            mac=status.mac,
            source=source,
        )
        for status in reversed(pod.statuses)
        if status.interface
    }
    return tuple(reversed(claims.values()))


def announce(document: Document, links: Sequence[PodLink]) -> Document:
    """The pod as it is once the meta-plugin is done with it.

    A network-status that the manifest has stays as it is, unless it leaves addresses to the lab.
    """
    running = _running(document)
    entries = tuple(_entries(document))
    defaults = {_name(entry) for entry in entries if entry.child("default").value is True}
    own = [entry for entry in entries if not _is_default(entry, defaults)]
    if not links or (own and all(entry.child("ips").value for entry in own)):
        return running
    made = [link.interface for link in links]
    others = [e.value for e in entries if _is_default(e, defaults) or e.child("interface").value not in made]
    annotations = root(document).child("metadata").child("annotations").mapping()
    status = json.dumps([*others, *map(_status, links)])
    return with_metadata(running, annotations={**annotations, NETWORK_STATUS: status})


def _annotation(document: Document) -> StrictField:
    return root(document).child("metadata").child("annotations").child(NETWORK_STATUS)


def _entries(document: Document) -> Iterator[StrictField]:
    annotation = _annotation(document)
    return (entry for entry in annotation.json().elements() if entry.mapping()) if annotation.text() else iter(())


def _name(entry: StrictField) -> str:
    name = entry.child("name").value
    return name if isinstance(name, str) else ""


def _is_default(entry: StrictField, defaults: set[str]) -> bool:
    """S3: also an entry with the name of the default network, of which primary user-defined networks have two."""
    return entry.child("default").value is True or not _name(entry) or _name(entry) in defaults


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
