"""What a pod asks the meta-plugin for: the annotation ``k8s.v1.cni.cncf.io/networks``.

The format is that of the multi-network de-facto standard (NPWG, section 4): a comma separated list of
``[namespace/]name[@interface]``, or a JSON list of objects.
"""

from collections.abc import Iterator

from attrs import frozen

from mnp_core.lab.field import AddressInterface, Field
from mnp_core.model import Address, ObjectName

NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"


@frozen(kw_only=True)
class NetworkRequest:
    """One attachment that a pod asks for.

    Attributes:
        network: The NetworkAttachmentDefinition.
        interface: Name in the pod; ``net1``, ``net2`` … by position if it was not given.
        addresses: Asked for explicitly; empty leaves it to the network's IPAM.
        mac: Asked for explicitly; may be empty.
        source: Where it is written.
    """

    network: ObjectName
    interface: str
    addresses: tuple[Address | AddressInterface, ...] = ()
    mac: str = ""
    source: Field


def parse_requests(annotation: Field, namespace: str) -> tuple[NetworkRequest, ...]:
    """Read the annotation of a pod in `namespace`.

    Raises:
        InputError: Something in it cannot be understood, or two attachments have one name.
    """
    text = annotation.text().strip()
    entries = _json_entries(annotation, namespace) if text.startswith("[") else _entries(annotation, namespace)
    requests = tuple(entries)
    seen: set[str] = set()
    for request in requests:
        if request.interface in seen:
            raise request.source.wrong(f"two attachments are called {request.interface}: give each its own interface")
        seen.add(request.interface)
    return requests


def _entries(annotation: Field, namespace: str) -> Iterator[NetworkRequest]:
    texts = [text.strip() for text in annotation.text().split(",")]
    for position, text in enumerate((text for text in texts if text), start=1):
        network, at, interface = text.partition("@")
        owner, slash, name = network.rpartition("/")
        yield NetworkRequest(
            network=ObjectName(_part(annotation, owner).name() if slash else namespace, _part(annotation, name).name()),
            interface=_part(annotation, interface).interface() if at else f"net{position}",
            source=annotation,
        )


def _part(annotation: Field, text: str) -> Field:
    return Field(value=text, where=annotation.where, path=annotation.path)


def _json_entries(annotation: Field, namespace: str) -> Iterator[NetworkRequest]:
    for position, entry in enumerate(annotation.json().elements(), start=1):
        owner = entry.child("namespace")
        interface = entry.child("interface")
        yield NetworkRequest(
            network=ObjectName(owner.name() if owner.text() else namespace, entry.child("name").name()),
            interface=interface.interface() if interface.text() else f"net{position}",
            addresses=tuple(ip.address_interface() for ip in entry.child("ips").elements()),
            mac=entry.child("mac").mac(),
            source=entry,
        )
