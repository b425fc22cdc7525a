"""Find a pod's network namespace through the container runtime's sandbox of the pod.

Of the sandbox itself, never of a container: containers come and go, and there may be none yet while init containers are
enforced already (S5).
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from mnp_core.api import Sandbox
from mnp_core.errors import InputError, SandboxError, SandboxNotFoundError
from mnp_core.model import ObjectName, Pod
from mnp_core.sandbox.cri.info import SandboxInfo
from mnp_core.sandbox.cri.runtime import Runtime
from mnp_core.sandbox.cri.wire import RuntimeSandbox
from mnp_core.sandbox.host import HostFilesystem, host_filesystem
from mnp_core.sandbox.netns import identify

ENDPOINT: Final = "container-runtime-endpoint"
"""The setting that names the runtime's socket."""

USUAL_ENDPOINTS: Final = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/run/cri-dockerd.sock",
)

_PLAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")  # names and UIDs of Kubernetes are


_NAMESPACE: Final = "io.kubernetes.pod.namespace"
_NAME: Final = "io.kubernetes.pod.name"


class _HostsOwnError(SandboxError):
    """A pod is on the host's network."""


class CriLocator:
    """A `mnp_core.api.SandboxLocator` over CRI v1. Thread safe; each call to the runtime has a time limit."""

    def __init__(self, endpoints: Sequence[str] = USUAL_ENDPOINTS, host: HostFilesystem = HostFilesystem()) -> None:  # noqa: B008 # frozen
        """Make a locator.

        Args:
            endpoints: Paths of sockets as the host has them; the first that is there when it is needed is used.
            host: The host.
        """
        self._endpoints = endpoints
        self._host = host

    def locate(self, pod: Pod) -> Sandbox:
        """Find it.

        Raises:
            SandboxNotFoundError: The runtime has no running sandbox of the pod.
            SandboxError: The runtime is unreachable, or its answer is invalid.
            UnsupportedError: This process may not look at namespaces.
        """
        labels = _labels(pod)
        runtime = self._runtime()
        sandbox = _newest(pod, labels, runtime.sandboxes(labels))
        return self._identify(pod.name, runtime.sandbox_info(sandbox.id))

    def running(self, namespace: str, name: str = "") -> Iterator[tuple[ObjectName, Sandbox]]:
        """Running sandboxes of a namespace's pods, or of one with any UID: for callers without an API server.

        Pods on the host's network have no sandbox of their own and are passed over, like those that end meanwhile.

        Raises:
            SandboxError: The runtime is unreachable, or its answer is invalid.
            UnsupportedError: This process may not look at namespaces.
        """
        runtime = self._runtime()
        labels = {_NAMESPACE: namespace, **({_NAME: name} if name else {})}
        for each in runtime.sandboxes(labels):
            if each.ready and each.namespace == namespace and name in {"", each.name}:
                pod = ObjectName(each.namespace, each.name)
                with suppress(SandboxNotFoundError, _HostsOwnError):
                    yield pod, self._identify(pod, runtime.sandbox_info(each.id))

    def _runtime(self) -> Runtime:
        return Runtime(self._choose())

    def _choose(self) -> str:
        paths = [self._host.path(endpoint) for endpoint in self._endpoints]
        there = [path for path in paths if os.path.exists(path)]  # noqa: PTH110 # a socket's path, a string all along
        if len(paths) == 1 or there:
            return (there or paths)[0]  # the only one is waited for: the runtime may be about to start
        raise SandboxError(
            f"no container runtime found: there is none of {', '.join(paths)}: mount the directory of its socket, or "
            f"name the socket by the setting {ENDPOINT}"
        )

    def _identify(self, pod: ObjectName, where: SandboxInfo) -> Sandbox:
        """By the path that the runtime keeps, else by the process; both may be unreachable from here."""
        if where.closed:
            raise SandboxNotFoundError(f"pod {pod}: the runtime has closed its network namespace")
        paths = self._paths(where)
        if not paths:
            raise SandboxError(
                f"pod {pod}: the container runtime gives neither path nor process of its network namespace: "
                "use the sandbox locator 'proc'"
            )
        tried = []
        for path in paths:
            try:
                sandbox = identify(path)
            except SandboxNotFoundError as error:
                tried.append(str(error))
            else:
                return self._refuse_the_hosts(pod, sandbox)
        raise SandboxNotFoundError(f"pod {pod}: {'; '.join(tried)}")

    def _refuse_the_hosts(self, pod: ObjectName, sandbox: Sandbox) -> Sandbox:
        if self._host.owns(sandbox):
            raise _HostsOwnError(f"pod {pod}: {sandbox.path} is the host's own network namespace, which is no pod's")
        return sandbox

    def _paths(self, where: SandboxInfo) -> list[str]:
        by_name = [self._host.path(where.path)] if where.path.startswith("/") else []
        return [*by_name, *([self._host.namespace_of(where.pid)] if where.pid else [])]


def make_cri_locator(settings: Mapping[str, str]) -> CriLocator:
    """Make a locator from the settings.

    Args:
        settings: ``container-runtime-endpoint``, a path or ``unix://`` and a path, as the host has it;
            ``host-prefix``. Both may be left out.

    Raises:
        InputError: One of them is invalid.
    """
    endpoint = settings.get(ENDPOINT, "")
    path = endpoint.removeprefix("unix://")
    if endpoint and not path.startswith("/"):
        raise InputError(
            f"{endpoint!r:.80} is not the path of a unix socket: write it as {USUAL_ENDPOINTS[0]}", field=ENDPOINT
        )
    return CriLocator((path,) if path else USUAL_ENDPOINTS, host_filesystem(settings))


def _labels(pod: Pod) -> Mapping[str, str]:
    """The kubelet's own labels of the pod's sandbox, which win over labels of the same names that a user wrote.

    All three have to match: a mirror pod claims its UID by an annotation that any user can write, but the name of a
    static pod is unique on its node.
    """
    labels = {
        _NAMESPACE: pod.name.namespace,
        _NAME: pod.name.name,
        "io.kubernetes.pod.uid": pod.static_uid or pod.uid,
    }
    for key, value in labels.items():
        if not _PLAIN.fullmatch(value):
            raise SandboxNotFoundError(f"pod {pod.name!s:.200}: no sandbox has {value!r:.80} as {key}")
    return labels


def _newest(pod: Pod, labels: Mapping[str, str], sandboxes: Sequence[RuntimeSandbox]) -> RuntimeSandbox:
    """Older ones remain of a recreated sandbox. The owner is checked, filtered or not."""
    wanted = tuple(labels.values())
    own = [sandbox for sandbox in sandboxes if (sandbox.namespace, sandbox.name, sandbox.uid) == wanted]
    running = [sandbox for sandbox in own if sandbox.ready]
    if not running:
        what = "its sandbox has stopped" if own else "there is no sandbox of it (yet)"
        raise SandboxNotFoundError(f"pod {pod.name} (uid {wanted[-1]}): {what}")
    return max(running, key=lambda sandbox: sandbox.created)
