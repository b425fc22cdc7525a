"""What is to be known of a pod because policies select it."""

from collections.abc import Collection, Iterator

from mnp_core.model import ObjectRef, Pod, Reason, Report, Severity
from mnp_core.policy.compile import CompiledPolicy


def selection_reports(
    pod: Pod, selecting: Collection[CompiledPolicy], covering: Collection[CompiledPolicy]
) -> Iterator[Report]:
    """Report what limits the policies of a pod.

    Args:
        pod: A local pod.
        selecting: Policies whose podSelector matches it.
        covering: Those of them that are about one of its attachments.
    """
    about = ObjectRef("Pod", pod.name)
    if first := _first_on_default_network(pod, selecting):
        yield Report(
            about=about,
            field="metadata.annotations[v1.multus-cni.io/default-network]",
            reason=Reason.DEFAULT_NETWORK,
            message=f"{pod.default_network} is the default network of this pod, on which {first} enforces nothing",
            remedy="Attach the network as a secondary one, or use NetworkPolicy of the cluster's default network",
        )
    if pod.net_admin and covering:
        yield Report(
            about=about,
            field="spec",
            reason=Reason.NETWORK_ADMIN,
            message="policies select it, and a container has NET_ADMIN or is privileged: a process in it can undo or"
            " pass by what is enforced in the pod's network namespace",
            remedy="Take NET_ADMIN from the pod, or do not rely on policies that are to confine it",
            severity=Severity.HINT,
        )


def _first_on_default_network(pod: Pod, selecting: Collection[CompiledPolicy]) -> ObjectRef | None:
    """The first by name of the policies that name the pod's default network."""
    default = pod.default_network
    if default is None:
        return None
    return min((c.policy.ref for c in selecting if default in (c.policy.scope.networks or ())), default=None)
