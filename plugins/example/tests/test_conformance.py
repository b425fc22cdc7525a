"""The kit's standard tests: all that it takes to know that the plugin is right."""

import pytest

from mnp_core.model import Link
from mnp_core.testing.conformance import BackendConformance, InterfaceDiscovererConformance
from mnp_core.testing.netns import End, veth_pair
from mnp_example import ExampleApplier, ExampleDiscoverer, ExampleRenderer
from mnp_example.renderer import REFUSES


@pytest.mark.full
class TestBackend(BackendConformance):
    refuses = REFUSES

    def make_renderer(self):
        return ExampleRenderer()

    def make_applier(self):
        return ExampleApplier()


class TestDiscoverer(InterfaceDiscovererConformance):
    def make_discoverer(self):
        return ExampleDiscoverer()

    def cni_type(self):
        return "example"

    def link(self):
        return Link(name="net1", index=2, kind="veth")

    def attach(self, node, pod, interface, addresses):
        veth_pair(End(node, "host"), End(pod, interface, addresses))
