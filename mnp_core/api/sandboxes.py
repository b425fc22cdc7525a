"""Sandboxes: a pod's network namespace, and how to find it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from mnp_core.classes import frozen
from mnp_core.model import Pod


@frozen(kw_only=True)
class Sandbox:
    """A pod's network namespace: a path to open, and the identity of the namespace there (nsfs).

    A path may come to mean another namespace (a reused pid, a re-created pod); device and inode reveal it.
    """

    path: str
    device: int
    inode: int


class SandboxLocator(Protocol):
    """Finds a pod's network namespace."""

    def locate(self, pod: Pod) -> Sandbox:
        """Find it.

        Raises:
            SandboxNotFoundError: Not there, or not yet.
        """


@frozen(kw_only=True)
class SandboxLocatorSpec:
    """Registers a `SandboxLocator`; the factory gets the settings that are meant for it."""

    name: str
    factory: Callable[[Mapping[str, str]], SandboxLocator]
