"""Standard tests of each sort of plugin, as classes to inherit from.

    # tests/test_conformance.py
    from mnp_core.testing.conformance import BackendConformance
    from mnp_mine import MyApplier, MyRenderer

    class TestMine(BackendConformance):
        def make_renderer(self): return MyRenderer()
        def make_applier(self): return MyApplier()

Run it with ``pytest -p mnp_core.testing.plugin``, or with ``pytest_plugins = ["mnp_core.testing.plugin"]`` in
conftest.py. Tests that need root are skipped without it, with the reason.

A standard test is neither overridden nor dropped in silence: a class that does so is refused, unless it names the test
and the reason in `exceptions`, which the end of the report prints, as well as the reasons of tests left out by a mark.
Methods without ``test_`` in front are hooks: they supply the kit's missing knowledge of your plugin, and are there to
be overridden.
"""

from mnp_core.testing.conformance.addresssource import AddressSourceConformance
from mnp_core.testing.conformance.applier import ApplierConformance
from mnp_core.testing.conformance.backend import BackendConformance
from mnp_core.testing.conformance.base import Conformance
from mnp_core.testing.conformance.discoverer import InterfaceDiscovererConformance
from mnp_core.testing.conformance.drift import DriftConformance
from mnp_core.testing.conformance.gate import GateConformance
from mnp_core.testing.conformance.locator import SandboxLocatorConformance
from mnp_core.testing.conformance.policykind import PolicyKindConformance
from mnp_core.testing.conformance.renderer import RendererConformance
from mnp_core.testing.conformance.rules import ApplierHooks

__all__ = [
    "AddressSourceConformance",
    "ApplierConformance",
    "ApplierHooks",
    "BackendConformance",
    "Conformance",
    "DriftConformance",
    "GateConformance",
    "InterfaceDiscovererConformance",
    "PolicyKindConformance",
    "RendererConformance",
    "SandboxLocatorConformance",
]
