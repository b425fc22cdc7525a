"""Ipvlan attachments: what the CNI plugin ``ipvlan`` made in a pod, as the kernel sees it."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec
from mnp_ipvlan.discoverer import IpvlanDiscoverer

__all__ = ["IpvlanDiscoverer", "mnp_register_interface_discoverers"]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim what the CNI plugin ``ipvlan`` makes."""
    yield InterfaceDiscovererSpec(name="ipvlan", cni_types=frozenset({"ipvlan"}), factory=IpvlanDiscoverer)
