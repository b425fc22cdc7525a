"""SR-IOV attachments: virtual functions that CNI plugins move into pods, or leave to a driver in user space."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec
from mnp_sriov.discoverer import CNI_TYPES, SriovDiscoverer
from mnp_sriov.function import Function, read_function

__all__ = ["CNI_TYPES", "Function", "SriovDiscoverer", "mnp_register_interface_discoverers", "read_function"]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim each CNI type by itself: another plugin that claims one of them too takes nothing of the others."""
    for cni_type in CNI_TYPES:
        yield InterfaceDiscovererSpec(name=cni_type, cni_types=frozenset({cni_type}), factory=SriovDiscoverer)
