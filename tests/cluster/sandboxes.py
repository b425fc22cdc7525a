"""A pod's network namespace, found through the runtime's own records and not through the code under test."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import grpc

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.netns import identify, run_inside
from scripts.testbed import node, place, runtime
from scripts.testbed.kind import chosen
from tests.cluster.objects import Objects
from tests.cluster.own.runtime import MESSAGES, SERVICE
from tests.sandbox.cri.runtime import MESSAGES as LISTING

T = TypeVar("T")


class Sandboxes:
    """The network namespaces of the node's pods."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def locate(self, pod: ObjectName) -> Sandbox:
        """The namespace of the pod that the API server knows by this name now.

        Raises:
            SandboxNotFoundError: There is no such pod, or it has no sandbox.
        """
        found = self._objects.find("v1/Pod", pod.name, pod.namespace)
        if found is None:
            raise SandboxNotFoundError(f"{pod}: no such pod")
        path = next(_FINDERS[chosen().runtime](found["metadata"]["uid"]), None)
        if path is None:
            raise SandboxNotFoundError(f"{pod}: no sandbox")
        return identify(str(path))

    def stop(self, pod: ObjectName) -> None:
        """End the pod's sandboxes, as if they had crashed; the kubelet makes another one."""
        with grpc.insecure_channel(f"unix:{runtime.chosen().SOCKET_OUTSIDE}") as channel:
            for each in _call(channel, "ListPodSandbox", LISTING).items:
                if (each.metadata.namespace, each.metadata.name) == (pod.namespace, pod.name):
                    _call(channel, "StopPodSandbox", MESSAGES, pod_sandbox_id=each.id)

    def run(self, pod: ObjectName, work: Callable[[], T]) -> T:
        """Call a function in the pod's network namespace."""
        return run_inside(self.locate(pod), work)

    def execute(self, pod: ObjectName, *command: str) -> str:
        """Run a program of this machine in the pod's network namespace; return its output."""
        nsenter = ("nsenter", f"--net={self.locate(pod).path}", "--")
        return subprocess.run((*nsenter, *command), check=True, capture_output=True, text=True).stdout


def _call(channel: grpc.Channel, method: str, messages: Mapping[str, Any], **fields: Any) -> Any:
    request, response = messages[f"{method}Request"], messages[f"{method}Response"]
    ask = channel.unary_unary(f"/{SERVICE}/{method}", request.SerializeToString, response.FromString)
    return ask(request(**fields), timeout=60)


def _in_containerd(uid: str) -> Iterator[Path]:
    """The namespace of the sandbox's first process; containers' configurations have containerd's annotations."""
    for folder in (place.NODE_FILES / "run-containerd/io.containerd.runtime.v2.task/k8s.io").glob("*"):
        with suppress(FileNotFoundError, ValueError):  # it goes, or is not quite there
            annotations = json.loads((folder / "config.json").read_text()).get("annotations", {})
            logs = annotations.get("io.kubernetes.cri.sandbox-log-directory", "")
            if annotations.get("io.kubernetes.cri.container-type") == "sandbox" and logs.endswith(f"_{uid}"):
                yield Path(f"/proc/{int((folder / 'init.pid').read_text())}/ns/net")


def _in_crio(uid: str) -> Iterator[Path]:
    """The namespace that a sandbox's configuration names; the sandbox has no process of its own."""
    for file in (place.NODE_FILES / "run-containers/storage/overlay-containers").glob("*/userdata/config.json"):
        with suppress(FileNotFoundError, ValueError):
            config = json.loads(file.read_text())
            annotations = config.get("annotations", {})
            sandbox = annotations.get("io.kubernetes.cri-o.ContainerType") == "sandbox"
            if sandbox and annotations.get("io.kubernetes.pod.uid") == uid:
                namespaces = {each["type"]: each.get("path") for each in config["linux"]["namespaces"]}
                # /var/run leads to /run by an absolute link, which from outside is another /run
                path = node.prefix() / str(namespaces["network"]).removeprefix("/var").lstrip("/")
                if path.exists():
                    yield path


_FINDERS = {"containerd": _in_containerd, "crio": _in_crio}
