"""The annotation network-status: the attachments of a pod as reported by the meta-plugin (S3).

Format: NPWG multi-network de-facto standard, "Network Attachment Status Annotation". Who may edit the pod may write
anything here, so nothing is believed that could not be true.
"""

from collections.abc import Callable, Iterator

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.jsontext import decode_json
from mnp_core.model.parsing.names import is_device_name, is_interface_name, is_mac, is_pci_address
from mnp_core.model.parsing.pod_address import parse_pod_address
from mnp_core.model.parsing.scope import parse_network_name
from mnp_core.model.parsing.shared import shared_set, shared_text
from mnp_core.model.pod import NetworkStatus
from mnp_core.model.report import Reason

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"

NETWORK_STATUS_OF_OLD = "k8s.v1.cni.cncf.io/networks-status"
"""The key before version 3.7 of the meta-plugin."""

MOST = 256
"""As many attachments of a pod count, and as many addresses of each; no CNI plugin makes more."""

_REMEDY = "Let the meta-plugin write this annotation"


@frozen(kw_only=True)
class StatusAnnotation:
    """Entries of secondary networks, and interfaces of the default network."""

    statuses: tuple[NetworkStatus, ...] = ()
    default_interfaces: frozenset[str] = frozenset()


_NONE = StatusAnnotation()


def parse_status(annotation: Field, namespace: str) -> StatusAnnotation:
    """Read the annotation of a pod in `namespace`; entries that are malformed are reported and left out."""
    if annotation.is_missing:
        return _NONE
    entries = list(_bounded(_entries(annotation), annotation))
    marked = [entry.child("default").value is True for entry in entries]
    networks = [_network_name(entry, namespace) for entry in entries]
    default_networks = {network for network, is_marked in zip(networks, marked, strict=True) if is_marked} - {None}
    default = [
        is_marked or entry.child("name").value in (None, "") or network in default_networks
        for entry, is_marked, network in zip(entries, marked, networks, strict=True)
    ]
    defaults = shared_set(
        frozenset(
            interface
            for entry, is_default in zip(entries, default, strict=True)
            if is_default and isinstance(interface := entry.child("interface").value, str)
        )
    )
    statuses = (
        _status(entry, network, defaults)
        for entry, network, is_default in zip(entries, networks, default, strict=True)
        if not is_default
    )
    return StatusAnnotation(
        statuses=tuple(status for status in statuses if status is not None), default_interfaces=defaults
    )


def _entries(annotation: Field) -> list[Field]:
    """The entries that are objects, each with its place inside the annotation."""
    decoded = annotation.decoded(_decoded(annotation))
    elements = decoded.elements()
    if elements is None:
        _wrong(decoded, f"{decoded} is not a list: no attachment is known")
    for element in elements or ():
        if not element.is_mapping:
            _wrong(element, f"{element} is not an attachment: it is left out")
    return [element for element in elements or () if element.is_mapping]


def _decoded(annotation: Field) -> object:
    text = annotation.value
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    try:
        if isinstance(text, str):
            return decode_json(text)
        problem = f"{annotation} is not text"
    except ValueError as error:
        problem = str(error)
    _wrong(annotation, f"it is not JSON, no attachment is known ({problem})")
    return None


def _bounded(fields: list[Field], whole: Field) -> list[Field]:
    if len(fields) > MOST:
        _wrong(whole, f"there are {len(fields)} of them, only the first {MOST} count")
    return fields[:MOST]


def _network_name(entry: Field, namespace: str) -> ObjectName | None:
    name = entry.child("name").value
    return parse_network_name(name, namespace) if isinstance(name, str) else None


def _status(entry: Field, network: ObjectName | None, defaults: frozenset[str]) -> NetworkStatus | None:
    name = entry.child("name")
    if network is None:
        _wrong(name, f"{name} names no network: the attachment is left out")
        return None
    device = entry.child("device-info")
    pci = rdma = device
    if not device.is_missing:  # of most it is
        behind = device.child("vdpa" if device.child("type").value == "vdpa" else "pci")
        pci, rdma = behind.child("pci-address"), behind.child("rdma-device")
    return NetworkStatus(
        network=network,
        interface=_interface(entry.child("interface"), network, defaults),
        addresses=tuple(dict.fromkeys(_addresses(entry.child("ips")))),
        mac=_word(entry.child("mac"), is_mac, "a MAC address"),
        device_pci=_word(pci, is_pci_address, "a PCI address"),
        device_rdma=_word(rdma, is_device_name, "the name of a device"),
    )


def _interface(field: Field, network: ObjectName, defaults: frozenset[str]) -> str:
    """The interface, or empty: it is not enforced then, but its addresses still stand for the pod."""
    if not is_interface_name(field.value):
        _wrong(field, f"{field} cannot be the interface of {network}, which is not enforced")
        return ""
    name = shared_text(str(field.value))
    if name in defaults:
        _wrong(field, f"{field} is the interface of the default network, it is not enforced for {network}")
        return ""
    return name


def _addresses(field: Field) -> Iterator[Address]:
    elements = field.elements()
    if elements is None:
        _wrong(field, f"{field} is not a list of addresses: the attachment has none")
    for element in _bounded(elements or [], field):
        address = parse_pod_address(element.value)
        if address is None:
            _wrong(element, f"{element} is not an address that a pod can have: it is left out")
        else:
            yield address


def _word(field: Field, is_valid: Callable[[str], bool], wanted: str) -> str:
    if field.value in (None, ""):
        return ""
    word = field.value.lower() if isinstance(field.value, str) else ""
    if is_valid(word):
        return word
    _wrong(field, f"{field} is not {wanted}: it is left out")
    return ""


def _wrong(field: Field, problem: str) -> None:
    field.report(Reason.INVALID_STATUS, problem, _REMEDY)
