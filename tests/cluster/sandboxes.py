"""Where a pod's network namespace is, by what containerd keeps about its containers and not by the code under test."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.netns import identify, run_inside
from scripts.testbed import place
from tests.cluster.objects import Objects

_TASKS = place.NODE_FILES / "run-containerd/io.containerd.runtime.v2.task/k8s.io"
T = TypeVar("T")
_PREFIX = "io.kubernetes.cri."


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
        pid = next(self._pids(found["metadata"]["uid"]), None)
        if pid is None:
            raise SandboxNotFoundError(f"{pod}: no sandbox")
        return identify(f"/proc/{pid}/ns/net")

    def run(self, pod: ObjectName, work: Callable[[], T]) -> T:
        """Call a function in the pod's network namespace."""
        return run_inside(self.locate(pod), work)

    def execute(self, pod: ObjectName, *command: str) -> str:
        """Run a program of this machine in the pod's network namespace, and return what it prints."""
        nsenter = ("nsenter", f"--net={self.locate(pod).path}", "--")
        return subprocess.run((*nsenter, *command), check=True, capture_output=True, text=True).stdout

    @staticmethod
    def _pids(uid: str) -> Iterator[int]:
        for folder in _TASKS.glob("*"):
            pid = _pid_of_sandbox(folder, uid)
            if pid is not None:
                yield pid


def _pid_of_sandbox(folder: Path, uid: str) -> int | None:
    """The first process of a container if it is the sandbox of the pod with this uid."""
    try:
        annotations = json.loads((folder / "config.json").read_text()).get("annotations", {})
        logs = annotations.get(f"{_PREFIX}sandbox-log-directory", "")
        if annotations.get(f"{_PREFIX}container-type") == "sandbox" and logs.endswith(f"_{uid}"):
            return int((folder / "init.pid").read_text())
    except (FileNotFoundError, ValueError):  # it goes, or is not quite there
        return None
    return None
