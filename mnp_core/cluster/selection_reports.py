"""Reports about a pod that only matter because policies select it."""

from collections.abc import Collection, Iterator

from mnp_core.model import ObjectName, ObjectRef, Pod, Reason, Report, Severity
from mnp_core.policy.compile import CompiledPolicy


def selection_reports(
    pod: Pod, selecting: Collection[CompiledPolicy], covering: Collection[CompiledPolicy]
) -> Iterator[Report]:
    """Report the limits of enforcement in a pod.

    Args:
        pod: A local pod.
        selecting: Policies whose podSelector matches it.
        covering: Those of them that cover one of its attachments.
    """
    network = pod.default_network
    if network is not None:
        naming = (c.policy.ref for c in selecting if network in (c.policy.scope.networks or ()))
        if first := min(naming, default=None):
            yield _default_network(pod, network, first)
    if pod.net_admin and covering:
        yield _net_admin(pod)


def _default_network(pod: Pod, network: ObjectName, policy: ObjectRef) -> Report:
    return Report(
        about=ObjectRef("Pod", pod.name),
        field="metadata.annotations[v1.multus-cni.io/default-network]",
        reason=Reason.DEFAULT_NETWORK,
        message=f"{network} is the default network of this pod, on which {policy} enforces nothing",
        remedy="Attach the network as a secondary one, or use NetworkPolicy of the cluster's default network",
    )


def _net_admin(pod: Pod) -> Report:
    return Report(
        about=ObjectRef("Pod", pod.name),
        field="spec",
        reason=Reason.NETWORK_ADMIN,
        message="policies select it, and a container has NET_ADMIN or is privileged: a process in it can undo or"
        " pass by what is enforced in the pod's network namespace",
        remedy="Take NET_ADMIN from the pod, or do not rely on policies that are to confine it",
        severity=Severity.HINT,
    )
