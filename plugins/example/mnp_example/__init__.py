"""The smallest honest plugin: a backend that runs the nft program, and a kind of attachment."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import InterfaceDiscovererSpec, PolicyRendererSpec, RuleApplierSpec
from mnp_example.applier import ExampleApplier
from mnp_example.discoverer import CNI_TYPE, ExampleDiscoverer
from mnp_example.renderer import DIALECT, REFUSES, ExampleRenderer


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """Offer a language in which policy is written."""
    yield PolicyRendererSpec(name="example", dialect=DIALECT, factory=ExampleRenderer, refuses=REFUSES)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """Offer the way of that language into the kernel."""
    yield RuleApplierSpec(name="example", dialect=DIALECT, factory=ExampleApplier, rank=1)


@hookimpl
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:
    """Offer a kind of attachment."""
    yield InterfaceDiscovererSpec(name="example", cni_types=frozenset({CNI_TYPE}), factory=ExampleDiscoverer)
