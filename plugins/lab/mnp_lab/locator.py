"""Finds the network namespaces of a lab's pods."""

from collections.abc import Callable, Mapping

from mnp_core.api import Sandbox, SandboxLocator
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, Pod
from mnp_lab.namespaces import pod_key
from mnp_lab.nodeview import NodeView
from mnp_lab.state import LabDirectory


class LabLocator:
    """A `SandboxLocator` over the namespaces of a lab."""

    def __init__(self, find: Callable[[ObjectName], Sandbox], view: NodeView | None = None) -> None:
        """Start.

        Args:
            find: From a pod's name to its namespace; raises SandboxNotFoundError.
            view: The view of the discoverers; None for the real links.
        """
        self._find = find
        self.view = view or NodeView()

    def locate(self, pod: Pod) -> Sandbox:
        """Find it; raises SandboxNotFoundError."""
        return self._find(pod.name)


def make_lab_locator(settings: Mapping[str, str]) -> SandboxLocator:
    """The locator of a lab that is up, for an agent that runs beside it.

    Args:
        settings: ``lab``, the name of the lab.

    Raises:
        InputError: It is not given, or cannot be one.
    """
    if not settings.get("lab"):
        raise InputError("the sandbox locator 'lab' needs the setting 'lab': the name of a lab that is up")
    spaces = LabDirectory(settings["lab"]).namespaces
    return LabLocator(lambda pod: spaces.find(pod_key(pod)))
