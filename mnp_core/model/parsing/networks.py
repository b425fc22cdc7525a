"""The annotation networks: attachments that a pod requests from the meta-plugin (S64).

Format: NPWG multi-network de-facto standard, section 4: a comma separated list of ``[namespace/]name[@interface]``, or
a JSON list of objects. Who may edit the pod may write anything here.
"""

import re
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_interface

from mnp_core.model.address import parse_address
from mnp_core.model.names import ObjectName
from mnp_core.model.parsing.field import Field, accepted, shown
from mnp_core.model.parsing.jsontext import decode_json
from mnp_core.model.parsing.names import is_interface_name, is_mac, is_object_name
from mnp_core.model.parsing.scope import parse_network_name
from mnp_core.model.parsing.shared import shared_requests, shared_text
from mnp_core.model.pod import NetworkRequest, RequestedAddress
from mnp_core.model.report import Reason

NETWORKS = "k8s.v1.cni.cncf.io/networks"

MOST = 256
"""As many attachments of a pod count."""

_EFFECT = "this attachment is not known by it"
_REMEDY = "Write net, namespace/net or namespace/net@interface, separated by commas, or a JSON list of objects"
_PREFIX = re.compile(r"[0-9]{1,3}")


def parse_requests(annotation: Field, namespace: str) -> tuple[NetworkRequest, ...]:
    """Read the annotation of a pod in `namespace`.

    An entry that is malformed is reported and left out, and so is one with the interface of another. An interface
    without a name is ``net1``, ``net2`` … by the position of its entry, as the meta-plugin has it.
    """
    if annotation.is_missing:
        return ()
    found = accepted(_entries, annotation, "no attachment is known by it") or []
    if len(found) > MOST:
        annotation.report(Reason.MALFORMED, f"there are {len(found)} of them, only the first {MOST} count", _REMEDY)
    requests: dict[str, NetworkRequest] = {}
    for position, entry in enumerate(found[:MOST], start=1):
        request = accepted(partial(_request, position=position, namespace=namespace), entry, _EFFECT)
        if request is not None and request.interface in requests:
            problem = f"two attachments are called {request.interface}: the second is left out"
            entry.report(Reason.MALFORMED, problem, "Give each attachment an interface of its own")
        elif request is not None:
            requests[request.interface] = request
    return shared_requests(tuple(requests.values()))


def _entries(annotation: Field) -> list[Field]:
    """Each attachment: a mapping, from whichever form."""
    if not isinstance(annotation.value, str):
        raise annotation.refusal(Reason.MALFORMED, f"{annotation} is not text", _REMEDY)
    text = annotation.value.strip()
    if not text.startswith("["):
        return [annotation.decoded(_split(part.strip())) for part in text.split(",") if part.strip()]
    try:
        elements = annotation.decoded(decode_json(text)).elements()
    except ValueError as error:
        raise annotation.refusal(Reason.MALFORMED, f"it is not JSON ({error})", _REMEDY) from None
    return elements or []


def _split(text: str) -> dict[str, object]:
    network, at, interface = text.partition("@")
    return {"name": network.strip(), **({"interface": interface.strip()} if at else {})}


def _request(entry: Field, position: int, namespace: str) -> NetworkRequest:
    if not entry.is_mapping:
        raise entry.refusal(Reason.MALFORMED, f"{entry} is no attachment", _REMEDY)
    return NetworkRequest(
        network=_network(entry, namespace),
        interface=_interface(entry.child("interface"), position),
        addresses=tuple(_addresses(entry.child("ips"))),
        mac=_mac(entry.child("mac")),
        claim=_claim(entry.child("ipam-claim-reference")),
    )


def _network(entry: Field, namespace: str) -> ObjectName:
    owner, name = entry.child("namespace"), entry.child("name")
    for field in (owner, name):
        if not isinstance(field.value, str | None):
            raise field.refusal(Reason.MALFORMED, f"{field} is not text", _REMEDY)
    network = parse_network_name(str(name.value or ""), str(owner.value or "") or namespace)
    if network is None:
        raise name.refusal(Reason.MALFORMED, f"{name} names no network", _REMEDY)
    return network


def _interface(field: Field, position: int) -> str:
    if field.value in (None, ""):
        return shared_text(f"net{position}")
    if not is_interface_name(field.value):
        raise field.refusal(Reason.MALFORMED, f"{field} is not a name that the kernel takes", _REMEDY)
    return shared_text(str(field.value))


def _addresses(field: Field) -> Iterator[RequestedAddress]:
    elements = field.elements()
    if elements is None:
        raise field.refusal(Reason.MALFORMED, f"{field} is not a list of addresses", _REMEDY)
    for element in elements[:MOST]:
        try:
            yield _address(element.value)
        except ValueError:
            problem = f"{shown(element.value)} is not an IP address such as 10.0.0.5/24"
            raise element.refusal(Reason.MALFORMED, problem, _REMEDY) from None


def _address(value: object) -> RequestedAddress:
    host, slash, length = value.partition("/") if isinstance(value, str) else (value, "", "")
    address = parse_address(host)
    if not slash:
        return address
    if not _PREFIX.fullmatch(length):
        raise ValueError(length)
    return ip_interface(f"{host}/{length}")


def _mac(field: Field) -> str:
    if field.value in (None, ""):
        return ""
    mac = field.value.lower() if isinstance(field.value, str) else ""
    if not is_mac(mac):
        raise field.refusal(Reason.MALFORMED, f"{field} is not a MAC address such as 02:00:00:00:00:01", _REMEDY)
    return mac


def _claim(field: Field) -> str:
    """The name of an IPAMClaim. A bad one costs addresses that are learned by it, and not the attachment."""
    if field.value in (None, ""):
        return ""
    if is_object_name(field.value):
        return str(field.value)
    field.report(Reason.MALFORMED, f"{field} names no IPAMClaim: no address is learned by it", _REMEDY)
    return ""
