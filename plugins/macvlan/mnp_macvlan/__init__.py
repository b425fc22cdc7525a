"""Macvlan attachments: interfaces of the CNI plugin ``macvlan``, and policies for these alone."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec, PolicyKindSpec
from mnp_macvlan.discoverer import MacvlanDiscoverer
from mnp_macvlan.policy import parse_macvlan_policy

__all__ = [
    "MacvlanDiscoverer",
    "mnp_register_interface_discoverers",
    "mnp_register_policy_kinds",
    "parse_macvlan_policy",
]


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Claim the CNI type ``macvlan``."""
    yield InterfaceDiscovererSpec(name="macvlan", cni_types=frozenset({"macvlan"}), factory=MacvlanDiscoverer)


@hookimpl
def mnp_register_policy_kinds() -> Iterable[PolicyKindSpec]:
    """Read MacvlanNetworkPolicy (deploy/macvlan-networkpolicies.yml)."""
    yield PolicyKindSpec(
        name="macvlan-networkpolicies",
        group="k8s.cni.cncf.io",
        versions=("v1",),
        kind="MacvlanNetworkPolicy",
        plural="macvlan-networkpolicies",
        parse=parse_macvlan_policy,
    )
