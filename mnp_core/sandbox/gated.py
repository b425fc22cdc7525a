"""The locator of a node whose sandboxes gates describe: no runtime is asked."""

from typing import Final

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import Pod

_REMEDY: Final = "name a sandbox locator that asks the runtime, such as cri, if this lasts"


class GatesOnly:
    """Finds none: described sandboxes are located without it (`mnp_core.node.described`)."""

    def locate(self, pod: Pod) -> Sandbox:
        """Raise SandboxNotFoundError."""
        raise SandboxNotFoundError(f"pod {pod.name} (uid {pod.uid}): no gate has described its sandbox; {_REMEDY}")
