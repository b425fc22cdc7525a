"""Macvlan attachments: what the CNI plugin ``macvlan`` made in a pod, as the kernel sees it."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec
from mnp_macvlan.discoverer import MacvlanDiscoverer

__all__ = ["MacvlanDiscoverer", "mnp_register_interface_discoverers"]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim what the CNI plugin ``macvlan`` makes."""
    yield InterfaceDiscovererSpec(name="macvlan", cni_types=frozenset({"macvlan"}), factory=MacvlanDiscoverer)
