"""The sandboxes that gates have described."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import evolve

from mnp_core.api import GateInterface, PodStart, Sandbox, SandboxLocator
from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Link, NetworkRequest, ObjectName, ObjectRef, Pod
from mnp_core.model.gated import Gated, GatedInterface
from mnp_core.model.parsing import NETWORKS, Field, Findings, parse_requests
from mnp_core.model.parsing.names import is_interface_name, is_namespace_name, is_object_name
from mnp_core.model.parsing.scope import parse_network_name
from mnp_core.policy.gated import DEFAULT_INTERFACE
from mnp_core.sandbox.host import HostFilesystem
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import identify, is_there

_MOST_INTERFACES = 256  # of a pod


@frozen(kw_only=True)
class DescribedPod:
    """A pod with its sandbox and attachments."""

    uid: str
    sandbox: Sandbox
    gated: Gated

    @property
    def interfaces(self) -> frozenset[str]:
        """All known secondary interfaces."""
        requested = {request.interface for request in self.gated.requests or ()}
        made = {interface.name for interface in self.gated.interfaces}
        return frozenset((requested | made) - {DEFAULT_INTERFACE})

    @property
    def networks(self) -> frozenset[ObjectName]:
        """All known networks."""
        requested = {request.network for request in self.gated.requests or ()}
        return frozenset(requested | {each.network for each in self.gated.interfaces if each.network is not None})


class Described:
    """All sandboxes that gates have described, and the locator of the node: it asks the other one for the rest.

    Thread safe.
    """

    def __init__(
        self,
        other: SandboxLocator,
        host: HostFilesystem,
        run: Callable[[Sandbox, Callable[[], Sequence[Link]]], Sequence[Link]],
        *,
        looks_at_all: bool,
    ) -> None:
        """Begin with none.

        Args:
            other: Locates pods that no gate has described.
            host: Resolves paths of the host.
            run: Runs a function inside a sandbox.
            looks_at_all: Whether the links of every sandbox are read, not only where no attachment is known.
        """
        self._other = other
        self._host = host
        self._run = run
        self._looks_at_all = looks_at_all
        self._lock = threading.Lock()
        self._pods: dict[ObjectName, DescribedPod] = {}

    def put(self, start: PodStart) -> DescribedPod | None:
        """Record a description, in addition to earlier ones of the same sandbox; None for the host's own namespace.

        Raises:
            InputError: The pod has an impossible name.
            SandboxNotFoundError: There is no network namespace at the path.
            UnsupportedError: This process may not look at it.
        """
        _check_name(start.pod)
        sandbox = identify(self._host.path(start.netns))
        if self._host.owns(sandbox):
            return None
        gated = _gated(start)
        with self._lock:
            known = self._pods.get(start.pod)
            if known is not None and known.sandbox == sandbox and known.uid == start.uid:
                gated = _joined(known.gated, gated)
            self._pods[start.pod] = described = DescribedPod(uid=start.uid, sandbox=sandbox, gated=gated)
        return described

    def locate(self, pod: Pod) -> Sandbox:
        """Find a pod's sandbox.

        Raises:
            SandboxNotFoundError: As the other locator.
        """
        with self._lock:
            known = self._pods.get(pod.name)
        if known is not None and known.uid in {"", pod.uid, pod.static_uid} and is_there(known.sandbox):
            return known.sandbox
        return self._other.locate(pod)

    def unclaimed(self, pod: DescribedPod) -> frozenset[str]:
        """Interfaces that lead out of the pod and that neither a gate nor the pod's requests claim.

        Read only where no attachment is known, or everything unclaimed is denied; else empty.

        Raises:
            MnpError: The sandbox cannot be read.
        """
        if pod.interfaces and not self._looks_at_all:
            return frozenset()
        links = self._run(pod.sandbox, read_links)
        return frozenset(_outlets(links) - pod.interfaces)

    def networks(self, pod: ObjectName) -> Iterable[ObjectName]:
        """The known networks of a pod."""
        with self._lock:
            known = self._pods.get(pod)
        return known.networks if known is not None else ()

    def discard(self, pod: ObjectName, uid: str, netns: str = "") -> bool:
        """Forget a sandbox that has ended; whether it was the pod's current one. Without a path, any of this UID."""
        path = self._host.path(netns) if netns else ""
        with self._lock:
            known = self._pods.get(pod)
            if known is None or known.uid != uid or path not in {"", known.sandbox.path}:
                return False
            del self._pods[pod]
            return True

    def forget_gone(self) -> list[ObjectName]:
        """Forget all sandboxes that are no more; returns their pods."""
        with self._lock:
            pods = dict(self._pods)
        gone = [name for name, pod in pods.items() if not is_there(pod.sandbox)]
        return [name for name in gone if self.discard(name, pods[name].uid)]


def _check_name(pod: ObjectName) -> None:
    if not (is_namespace_name(pod.namespace) and is_object_name(pod.name)):
        raise InputError(f"{pod!s:.200} is not the name of a pod", where="gate")


def _outlets(links: Iterable[Link]) -> set[str]:
    return {link.name for link in links if link.up and not link.loopback and link.leads_out} - {DEFAULT_INTERFACE}


def _gated(start: PodStart) -> Gated:
    interfaces = (_interface(each, start.pod.namespace) for each in start.interfaces[:_MOST_INTERFACES])
    return Gated(
        uid=start.uid,
        interfaces=tuple(each for each in interfaces if each is not None),
        requests=_requests(start.annotations, start.pod) if start.annotations is not None else None,
    )


def _requests(annotations: Mapping[str, str], pod: ObjectName) -> tuple[NetworkRequest, ...]:
    """The annotation ``networks``; its mistakes are reported where the pod is read from the API server."""
    field = Field(annotations.get(NETWORKS), NETWORKS, Findings(ObjectRef("Pod", pod)))
    return parse_requests(field, pod.namespace)


def _interface(interface: GateInterface, namespace: str) -> GatedInterface | None:
    if not is_interface_name(interface.name):
        return None
    network = parse_network_name(interface.network, namespace) if interface.network else None
    return GatedInterface(name=interface.name, network=network, addresses=interface.addresses, mac=interface.mac)


def _joined(before: Gated, now: Gated) -> Gated:
    interfaces = {each.name: each for each in (*before.interfaces, *now.interfaces)}
    requests = now.requests if now.requests is not None else before.requests
    return evolve(now, interfaces=tuple(interfaces.values())[:_MOST_INTERFACES], requests=requests)
