"""Ipvlan attachments: interfaces of the CNI plugin ``ipvlan``, as the kernel sees them."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec
from mnp_ipvlan.discoverer import IpvlanDiscoverer

__all__ = ["IpvlanDiscoverer", "mnp_register_interface_discoverers"]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim the CNI type ``ipvlan``."""
    yield InterfaceDiscovererSpec(name="ipvlan", cni_types=frozenset({"ipvlan"}), factory=IpvlanDiscoverer)
