"""The attachments that a pod requests from the meta-plugin, as the core reads them (S64); unreadable ones end a lab."""

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, ObjectRef
from mnp_core.model.parsing import NETWORKS as NETWORKS_ANNOTATION
from mnp_core.model.parsing import Field, Findings
from mnp_core.model.parsing import parse_requests as parse_core_requests
from mnp_core.offline.strict_field import AddressInterface, StrictField

__all__ = ["NETWORKS_ANNOTATION", "NetworkRequest", "parse_requests"]


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
    source: StrictField


def parse_requests(annotation: StrictField, namespace: str) -> tuple[NetworkRequest, ...]:
    """Read the annotation of a pod in `namespace`.

    Raises:
        InputError: Something in it cannot be understood, or two attachments have one name.
    """
    findings = Findings(ObjectRef("Pod", ObjectName(namespace, "")))
    requests = parse_core_requests(Field(annotation.value, annotation.path, findings), namespace)
    for report in findings.reports():
        raise InputError(f"{report.message}: {report.remedy}", where=annotation.where, field=report.field)
    return tuple(
        NetworkRequest(
            network=request.network,
            interface=request.interface,
            addresses=request.addresses,
            mac=request.mac,
            source=annotation,
        )
        for request in requests
    )
