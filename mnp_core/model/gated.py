"""A gate's description of a pod's attachments."""

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName
from mnp_core.model.pod import NetworkRequest


@frozen(kw_only=True)
class GatedInterface:
    """An interface from the result of its CNI plugin; `network` is None if the gate does not know it."""

    name: str
    network: ObjectName | None = None
    addresses: tuple[Address, ...] = ()
    mac: str = ""


@frozen(kw_only=True)
class Gated:
    """A pod's attachments as the container runtime or CNI describes them; they outrank the pod's annotations.

    Attributes:
        uid: Of the pod; empty if unknown.
        interfaces: Interfaces made so far.
        requests: The attachments that the pod asked for at the creation of its sandbox; None if unknown.
    """

    uid: str = ""
    interfaces: tuple[GatedInterface, ...] = ()
    requests: tuple[NetworkRequest, ...] | None = None
