"""The kit's standard tests: what this plugin must do as every discoverer must."""

from mnp_core.model import Link
from mnp_core.testing.conformance import InterfaceDiscovererConformance
from mnp_core.testing.netns import End, macvlan, veth_pair
from mnp_macvlan import MacvlanDiscoverer


class TestMacvlan(InterfaceDiscovererConformance):
    def make_discoverer(self):
        return MacvlanDiscoverer()

    def cni_type(self):
        return "macvlan"

    def link(self):
        return Link(name="net1", index=2, kind="macvlan")

    def attach(self, node, pod, interface, addresses):
        veth_pair(End(node, "parent"), End(node, "switch"))
        macvlan(End(node, "parent"), End(pod, interface, addresses))
