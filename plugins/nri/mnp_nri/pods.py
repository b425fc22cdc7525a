"""Pods as NRI describes them, and the fields that a gatekeeper gets."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from mnp_core.api import PodStart
from mnp_core.model import ObjectName

_DOMAIN: Final = "k8s.v1.cni.cncf.io/"
_DEFAULT_NETWORK: Final = "v1.multus-cni.io/default-network"


@frozen(kw_only=True)
class Described:
    """A sandbox as the runtime describes it.

    Attributes:
        id: The runtime's name for it.
        start: For the gatekeeper; its path is empty if there is none.
        namespaced: Whether it may have a network namespace of its own.
        alive: Whether it has a process.
    """

    id: str
    start: PodStart
    namespaced: bool
    alive: bool


def describe(pod: Any) -> Described:
    """Read a ``PodSandbox``.

    A pod on the host's network lists namespaces, but none for the network (containerd), or the host's own, which the
    agent recognises (CRI-O). With a runtime that lists none at all, the namespace of the pod's process is the right
    one, too.
    """
    namespaces = {each.type: each.path for each in pod.linux.namespaces}
    namespaced = "network" in namespaces or not namespaces
    path = namespaces.get("network", "") or (f"/proc/{pod.pid}/ns/net" if namespaced and pod.pid else "")
    return Described(
        id=pod.id,
        start=PodStart(
            pod=ObjectName(pod.namespace, pod.name),
            uid=pod.uid,
            netns=path if path.startswith("/") else "",
            annotations=_annotations(pod.annotations),
        ),
        namespaced=namespaced,
        alive=bool(pod.pid),
    )


def running(pods: Iterable[Described]) -> tuple[PodStart, ...]:
    """The pods with a network namespace; of a pod with several sandboxes, those that live, if any do.

    Sandboxes that have stopped are listed until the kubelet removes them.
    """
    known = tuple(each for each in pods if each.start.netns)
    living = {_owner(each) for each in known if each.alive}
    return tuple(each.start for each in known if each.alive or _owner(each) not in living)


def _owner(described: Described) -> tuple[ObjectName, str]:
    return described.start.pod, described.start.uid


def _annotations(found: Mapping[str, str]) -> Mapping[str, str]:
    """The annotations about networks: the rest can be large and is not needed."""
    return {key: text for key, text in found.items() if key.startswith(_DOMAIN) or key == _DEFAULT_NETWORK}
