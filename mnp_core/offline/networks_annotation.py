"""The attachments that a pod requests from the meta-plugin, as the core reads them (S64); unreadable ones end a lab."""

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import NetworkRequest, ObjectName, ObjectRef
from mnp_core.model.parsing import NETWORKS as NETWORKS_ANNOTATION
from mnp_core.model.parsing import Field, Findings
from mnp_core.model.parsing import parse_requests as parse_core_requests
from mnp_core.offline.strict_field import StrictField

__all__ = ["NETWORKS_ANNOTATION", "WrittenRequest", "parse_requests"]


@frozen(kw_only=True)
class WrittenRequest(NetworkRequest):
    """A request with its place in a manifest.

    Attributes:
        source: The annotation.
    """

    source: StrictField


def parse_requests(annotation: StrictField, namespace: str) -> tuple[WrittenRequest, ...]:
    """Read the annotation of a pod in `namespace`.

    Raises:
        InputError: Something in it cannot be understood, or two attachments have one name.
    """
    findings = Findings(ObjectRef("Pod", ObjectName(namespace, "")))
    requests = parse_core_requests(Field(annotation.value, annotation.path, findings), namespace)
    for report in findings.reports():
        raise InputError(f"{report.message}: {report.remedy}", where=annotation.where, field=report.field)
    return tuple(
        WrittenRequest(
            network=request.network,
            interface=request.interface,
            addresses=request.addresses,
            mac=request.mac,
            claim=request.claim,
            source=annotation,
        )
        for request in requests
    )
