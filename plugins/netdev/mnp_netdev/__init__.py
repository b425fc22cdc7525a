"""Attachments that are ordinary devices of the pod's kernel, and need nothing but the comparison with the claim."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec
from mnp_netdev.discoverer import KINDS, NetdevDiscoverer

__all__ = ["KINDS", "NetdevDiscoverer", "mnp_register_interface_discoverers"]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim each CNI type by itself: another plugin that claims one of them too takes nothing of the others."""
    for cni_type in KINDS:
        yield InterfaceDiscovererSpec(name=cni_type, cni_types=frozenset({cni_type}), factory=NetdevDiscoverer)
