"""Pods (core/v1 Pod): what policy needs of them, and nothing else is looked at."""

from collections.abc import Mapping

from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import annotation, open_object, parse_ref, read_labels
from mnp_core.model.parsing.port import parse_container_ports
from mnp_core.model.parsing.status import NETWORK_STATUS, parse_status
from mnp_core.model.pod import Pod
from mnp_core.model.port import ContainerPort
from mnp_core.model.report import Reason, Report

MIRROR = "kubernetes.io/config.mirror"
_PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})


def parse_pod(raw: Mapping[str, object]) -> tuple[Pod, tuple[Report, ...]]:
    """Read a pod.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "Pod")
    root = open_object(raw, ref)
    spec, phase = root.child("spec"), root.child("status").child("phase").text(wanted="a phase")
    status = parse_status(annotation(root, NETWORK_STATUS), ref.name.namespace)
    mirror = root.child("metadata").child("annotations").entry(MIRROR)
    pod = Pod(
        name=ref.name,
        uid=root.child("metadata").child("uid").text(wanted="a UID"),
        static_uid=mirror.text(wanted="the UID of a static pod"),
        labels=read_labels(root),
        node=spec.child("nodeName").text(wanted="the name of a node"),
        phase=phase if phase in _PHASES else "",
        terminating=root.child("metadata").child("deletionTimestamp").value is not None,
        host_network=_flag(spec.child("hostNetwork")),
        ports=tuple(_ports(spec)),
        statuses=status.statuses,
        default_interfaces=status.default_interfaces,
    )
    return pod, root.findings.reports()


def _flag(field: Field) -> bool:
    if not isinstance(field.value, bool | None):
        field.report(Reason.MALFORMED, f"{field} is neither true nor false: false is assumed", "Write true or false")
    return field.value is True


def _ports(spec: Field) -> list[ContainerPort]:
    """Ports of containers, and of init containers that keep running (KEP-753, sidecars)."""
    sidecars = (c for c in _containers(spec.child("initContainers")) if c.child("restartPolicy").value == "Always")
    containers = (*_containers(spec.child("containers")), *sidecars)
    return [port for container in containers for port in parse_container_ports(container)]


def _containers(field: Field) -> list[Field]:
    elements = field.elements()
    if elements is None:
        field.report(Reason.MALFORMED, f"{field} is not a list: no port is known", "Write a list of containers")
    return elements or []
