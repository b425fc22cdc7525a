"""Pods (core/v1 Pod): only the fields that policy needs."""

from collections.abc import Iterable, Iterator, Mapping

from mnp_core.model.names import ObjectName
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import open_object, parse_ref, read_annotations, read_labels
from mnp_core.model.parsing.networks import NETWORKS, parse_requests
from mnp_core.model.parsing.port import parse_container_ports
from mnp_core.model.parsing.shared import shared_text
from mnp_core.model.parsing.status import NETWORK_STATUS, NETWORK_STATUS_OF_OLD, parse_status
from mnp_core.model.pod import Pod
from mnp_core.model.port import ContainerPort
from mnp_core.model.report import Reason, Report

MIRROR = "kubernetes.io/config.mirror"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
META_NAMESPACE = "kube-system"
"""Where the meta-plugin looks for a default network without a namespace."""

PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})
"""Of a pod; another one counts as none."""


def parse_pod(raw: Mapping[str, object]) -> tuple[Pod, tuple[Report, ...]]:
    """Read a pod.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "Pod")
    root = open_object(raw, ref)
    metadata, spec, state = root.child("metadata"), root.child("spec"), root.child("status")
    annotations, phase = read_annotations(metadata), state.child("phase").text(wanted="a phase")
    announced = _status_annotation(annotations)
    status = parse_status(announced, ref.name.namespace)
    containers, init_containers = spec.child("containers"), spec.child("initContainers")
    phase = shared_text(phase) if phase in PHASES else ""
    pod = Pod(
        name=ref.name,
        uid=metadata.child("uid").text(wanted="a UID"),
        static_uid=annotations.entry(MIRROR).text(wanted="the UID of a static pod"),
        labels=read_labels(root),
        node=shared_text(spec.child("nodeName").text(wanted="the name of a node")),
        phase=phase,
        terminating=metadata.child("deletionTimestamp").value is not None,
        host_network=_flag(spec.child("hostNetwork")),
        ports=tuple(_ports(containers, init_containers)),
        statuses=status.statuses,
        default_interfaces=status.default_interfaces,
        default_network=_default_network(annotations.entry(DEFAULT_NETWORK)),
        requests=parse_requests(annotations.entry(NETWORKS), ref.name.namespace),
        attached=announced.value not in (None, "") or phase not in {"", "Pending"} or _has_address(state),
        net_admin=any(
            map(_may_administrate, _all_containers(containers, init_containers, spec.child("ephemeralContainers")))
        ),
    )
    return pod, root.findings.reports()


def _status_annotation(annotations: Field) -> Field:
    """The annotation of old meta-plugins counts if it is the only one; some versions wrote both."""
    present, of_old = annotations.entry(NETWORK_STATUS), annotations.entry(NETWORK_STATUS_OF_OLD)
    return of_old if present.value in (None, "") and not of_old.is_missing else present


def _default_network(field: Field) -> ObjectName | None:
    """In each form that the annotation ``networks`` has; the meta-plugin takes one entry and no more."""
    requests = parse_requests(field, META_NAMESPACE)
    return requests[0].network if requests else None


def _has_address(status: Field) -> bool:
    return bool(status.child("podIP").value or status.child("podIPs").value)


def _all_containers(*sorts: Field) -> Iterator[Field]:
    """Containers of every sort. Anything but a list is reported elsewhere, or irrelevant to policy."""
    for sort in sorts:
        yield from sort.elements() or ()


def _may_administrate(container: Field) -> bool:
    """Whether it has CAP_NET_ADMIN over the pod's network namespace, which a user namespace of the pod owns, too."""
    context = container.child("securityContext")
    if context.is_missing:  # of most
        return False
    added = context.child("capabilities").child("add").elements() or ()
    names = (each.value for each in added if isinstance(each.value, str))
    return context.child("privileged").value is True or gives_net_admin(names)


def gives_net_admin(capabilities: Iterable[str]) -> bool:
    """Whether CAP_NET_ADMIN is among added capabilities: runtimes take names in any case, and without the prefix."""
    return not {name.upper().removeprefix("CAP_") for name in capabilities}.isdisjoint({"NET_ADMIN", "ALL"})


def _flag(field: Field) -> bool:
    if not isinstance(field.value, bool | None):
        field.report(Reason.MALFORMED, f"{field} is neither true nor false: false is assumed", "Write true or false")
    return field.value is True


def _ports(containers: Field, init_containers: Field) -> list[ContainerPort]:
    """Ports of containers, and of init containers that keep running (KEP-753, sidecars)."""
    sidecars = [c for c in _containers(init_containers) if c.child("restartPolicy").value == "Always"]
    return [port for each in (*_containers(containers), *sidecars) for port in parse_container_ports(each)]


def _containers(field: Field) -> list[Field]:
    elements = field.elements()
    if elements is None:
        field.report(Reason.MALFORMED, f"{field} is not a list: no port is known", "Write a list of containers")
    return elements or []
