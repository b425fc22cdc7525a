"""Pods in which there is nothing to report: nearly all that an API server gives.

They are decoded straight into their types, which costs a fifth of looking at every field by itself: a start reads
thousands. A pod with anything else in a field that is read is no ordinary one, and `parse_pod` says what is wrong with
it. Of an ordinary one it makes the same pod.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Literal, TypeVar

import msgspec

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef, Pod
from mnp_core.model.kinds import POD
from mnp_core.model.parsing.field import Field, Findings
from mnp_core.model.parsing.metadata import DEFAULT_NAMESPACE, checked_ref
from mnp_core.model.parsing.names import is_port_name
from mnp_core.model.parsing.networks import NETWORKS, parse_requests
from mnp_core.model.parsing.pod import DEFAULT_NETWORK, META_NAMESPACE, MIRROR, PHASES, gives_net_admin
from mnp_core.model.parsing.shared import shared_labels, shared_text
from mnp_core.model.parsing.status import NETWORK_STATUS, NETWORK_STATUS_OF_OLD, StatusAnnotation, parse_status
from mnp_core.model.pod import NetworkRequest
from mnp_core.model.port import ContainerPort, Protocol

_Parsed = TypeVar("_Parsed")


class _OddError(Exception):
    """There is something to report."""


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    """Null means the same as missing."""


class _Port(_Struct, frozen=True):
    container_port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    name: str | None = None


class _Capabilities(_Struct, frozen=True):
    add: list[str] | None = None


class _SecurityContext(_Struct, frozen=True):
    privileged: bool | None = None
    capabilities: _Capabilities | None = None


class _Container(_Struct, frozen=True):
    ports: list[_Port] | None = None
    restart_policy: str | None = None
    security_context: _SecurityContext | None = None


class _Spec(_Struct, frozen=True):
    node_name: str | None = None
    host_network: bool | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    ephemeral_containers: list[_Container] | None = None


class _Status(_Struct, frozen=True):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[msgspec.Raw] | None = msgspec.field(default=None, name="podIPs")


class _Annotations(_Struct, frozen=True):
    status: str | None = msgspec.field(default=None, name=NETWORK_STATUS)
    status_of_old: str | None = msgspec.field(default=None, name=NETWORK_STATUS_OF_OLD)
    networks: str | None = msgspec.field(default=None, name=NETWORKS)
    default_network: str | None = msgspec.field(default=None, name=DEFAULT_NETWORK)
    mirror: str | None = msgspec.field(default=None, name=MIRROR)


class _Metadata(_Struct, frozen=True):
    name: str
    namespace: str
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: _Annotations | None = None


class _OrdinaryPod(_Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec
    status: _Status


_NO_ANNOTATIONS = _Annotations()
_NO_STATUS = StatusAnnotation()
_decoder = msgspec.json.Decoder(_OrdinaryPod)
_encode = msgspec.msgpack.Encoder().encode


def read_ordinary_pod(raw: bytes | msgspec.Raw, uid: str) -> tuple[Pod, bytes] | None:
    """Read a pod.

    Args:
        raw: The object, as JSON.
        uid: Its UID, which was read before.

    Returns:
        The pod, and all that was read of it, as bytes that are equal for equal pods; None if it is no ordinary one.
    """
    try:
        found = _decoder.decode(raw)
        return _pod(found, uid), uid.encode() + _encode(found)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, InputError, _OddError):
        return None


def _pod(found: _OrdinaryPod, uid: str) -> Pod:
    metadata, spec, status = found.metadata, found.spec, found.status
    ref = checked_ref(POD.kind, metadata.namespace or DEFAULT_NAMESPACE, metadata.name)
    containers, init_containers = spec.containers or (), spec.init_containers or ()
    phase = shared_text(status.phase) if status.phase in PHASES else ""
    annotations = metadata.annotations or _NO_ANNOTATIONS
    announced = _announced(annotations)
    statuses = _statuses(announced, ref)
    return Pod(
        name=ref.name,
        uid=uid,
        static_uid=annotations.mirror or "",
        labels=shared_labels(metadata.labels) if metadata.labels else {},
        node=shared_text(spec.node_name or ""),
        phase=phase,
        terminating=metadata.deletion_timestamp is not None,
        host_network=bool(spec.host_network),
        ports=tuple(_ports(containers, init_containers)),
        statuses=statuses.statuses,
        default_interfaces=statuses.default_interfaces,
        default_network=_default_network(annotations, ref),
        requests=_requests(annotations.networks, ref, ref.name.namespace),
        attached=bool(announced) or phase not in {"", "Pending"} or bool(status.pod_ip or status.pod_ips),
        net_admin=any(
            _may_administrate(each.security_context)
            for each in chain(containers, init_containers, spec.ephemeral_containers or ())
            if each.security_context is not None
        ),
    )


def _announced(annotations: _Annotations) -> str:
    """The annotation of old meta-plugins counts if it is the only one."""
    return annotations.status or annotations.status_of_old or ""


def _statuses(announced: str, ref: ObjectRef) -> StatusAnnotation:
    if not announced:
        return _NO_STATUS
    findings = Findings(ref)
    return _without_reports(findings, parse_status(Field(announced, "", findings), ref.name.namespace))


def _requests(text: str | None, ref: ObjectRef, namespace: str) -> tuple[NetworkRequest, ...]:
    if text is None:
        return ()
    findings = Findings(ref)
    return _without_reports(findings, parse_requests(Field(text, "", findings), namespace))


def _default_network(annotations: _Annotations, ref: ObjectRef) -> ObjectName | None:
    requests = _requests(annotations.default_network, ref, META_NAMESPACE)
    return requests[0].network if requests else None


def _without_reports(findings: Findings, parsed: _Parsed) -> _Parsed:
    if findings.reports():
        raise _OddError
    return parsed


def _ports(containers: Sequence[_Container], init_containers: Sequence[_Container]) -> Iterator[ContainerPort]:
    """Ports of containers, and of init containers that keep running (KEP-753, sidecars)."""
    sidecars = (each for each in init_containers if each.restart_policy == "Always")
    for port in (port for each in chain(containers, sidecars) for port in each.ports or ()):
        if port.name and not is_port_name(port.name):
            raise _OddError
        yield ContainerPort(name=port.name or "", protocol=Protocol[port.protocol or "TCP"], port=port.container_port)


def _may_administrate(context: _SecurityContext) -> bool:
    added = (context.capabilities.add if context.capabilities is not None else None) or ()
    return context.privileged is True or gives_net_admin(added)
