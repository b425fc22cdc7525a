"""Locates the sandboxes that gates have described, without a query to the runtime."""

import threading
from typing import Final

from mnp_core.api import Sandbox, SandboxLocator
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName, Pod
from mnp_core.sandbox.netns import is_there

_REMEDY: Final = "name a sandbox locator that asks the runtime, such as cri, if this lasts"


class GatesOnly:
    """The locator for nodes where a gate describes every sandbox: it finds no other."""

    def locate(self, pod: Pod) -> Sandbox:
        """Raise SandboxNotFoundError."""
        raise SandboxNotFoundError(f"pod {pod.name} (uid {pod.uid}): no gate has described its sandbox; {_REMEDY}")


class GatedLocator:
    """The sandboxes described by gates first, then those of another locator. Thread safe."""

    def __init__(self, other: SandboxLocator) -> None:
        """Begin with none.

        Args:
            other: Locates pods that no gate has described.
        """
        self._other = other
        self._lock = threading.Lock()
        self._sandboxes: dict[ObjectName, tuple[str, Sandbox]] = {}  # with the pod's UID

    def put(self, pod: ObjectName, uid: str, sandbox: Sandbox) -> None:
        """Record a pod's sandbox in place of an earlier one."""
        with self._lock:
            self._sandboxes[pod] = uid, sandbox

    def discard(self, pod: ObjectName, uid: str, path: str = "") -> bool:
        """Forget a sandbox; whether it was the pod's current one. Without a path, any of this UID."""
        with self._lock:
            known = self._sandboxes.get(pod)
            if known is None or known[0] != uid or path not in {"", known[1].path}:
                return False
            del self._sandboxes[pod]
            return True

    def locate(self, pod: Pod) -> Sandbox:
        """Find a pod's sandbox.

        Raises:
            SandboxNotFoundError: As the other locator.
        """
        with self._lock:
            uid, sandbox = self._sandboxes.get(pod.name, ("", None))
        if sandbox is not None and uid in {"", pod.uid, pod.static_uid} and is_there(sandbox):
            return sandbox
        return self._other.locate(pod)
