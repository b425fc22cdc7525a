"""Network attachment definitions: the part that decides the kind of attachments."""

from collections.abc import Container

from mnp_core.classes import frozen
from mnp_core.model.names import ObjectName


@frozen(kw_only=True)
class Network:
    """A NetworkAttachmentDefinition (k8s.cni.cncf.io/v1).

    Attributes:
        name: Namespace and name, as policy-for and network-status write it.
        cni_types: The ``type`` of a single configuration, or of each plugin of a list, in order; empty if the
            definition holds no configuration (it may lie in a file on the node).
    """

    name: ObjectName
    cni_types: tuple[str, ...]

    def kind(self, claimed: Container[str]) -> str | None:
        """The first CNI type with a claiming plugin, or None (S4)."""
        return next((cni_type for cni_type in self.cni_types if cni_type in claimed), None)
