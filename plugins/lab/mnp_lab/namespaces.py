"""Where a lab's network namespaces are kept: by this process alone, or by name in the file system."""

from pathlib import Path
from typing import Protocol

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.created import NetworkNamespace, new_namespace, pin, unpin
from mnp_core.sandbox.netns import identify

SWITCHES = Path("switches")
"""The key of the one namespace in which the networks' bridges are."""


def pod_key(pod: ObjectName) -> Path:
    """The key of a pod's namespace; the parts of its name are checked when manifests are read."""
    return Path("pods", pod.namespace, pod.name)


class NamespaceStore(Protocol):
    """Network namespaces by key, a relative path."""

    def make(self, key: Path) -> Sandbox:
        """Make one; the key is not in use."""

    def find(self, key: Path) -> Sandbox:
        """Find one; raises SandboxNotFoundError."""

    def drop(self, key: Path) -> None:
        """Drop one; a missing one is no error."""

    def close(self) -> None:
        """Release the resources of this process; pinned namespaces stay."""


class AnonymousNamespaces:
    """Namespaces held by open files of this process: they vanish with it, even after SIGKILL."""

    def __init__(self) -> None:
        self._held: dict[Path, NetworkNamespace] = {}

    def make(self, key: Path) -> Sandbox:
        """Make one."""
        self._held[key] = new_namespace()
        return self._held[key].sandbox

    def find(self, key: Path) -> Sandbox:
        """Find one."""
        if key not in self._held:
            raise SandboxNotFoundError(f"{key}: no such network namespace in this lab")
        return self._held[key].sandbox

    def drop(self, key: Path) -> None:
        """Drop one."""
        if key in self._held:
            self._held.pop(key).close()

    def close(self) -> None:
        """Drop all."""
        while self._held:
            self._held.popitem()[1].close()


class PinnedNamespaces:
    """Pinned to files below a directory: they stay until they are dropped, or the machine restarts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self, key: Path) -> Sandbox:
        """Make one; the leftover of a killed process is removed before."""
        path = self._directory / key
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unpin(path)
        with new_namespace() as namespace:
            return pin(namespace.sandbox, path)

    def find(self, key: Path) -> Sandbox:
        """Find one; a key that leads out of the directory is not found."""
        if key.is_absolute() or ".." in key.parts:
            raise SandboxNotFoundError(f"{key}: no such network namespace in this lab")
        return identify(str(self._directory / key))

    def drop(self, key: Path) -> None:
        """Drop one."""
        unpin(self._directory / key)

    def close(self) -> None:
        """Nothing is held."""
