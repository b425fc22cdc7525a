"""The kit's standard tests: duties of every discoverer and policy kind."""

from mnp_core.model import Link
from mnp_core.testing.conformance import InterfaceDiscovererConformance, PolicyKindConformance
from mnp_core.testing.netns import End, macvlan, veth_pair
from mnp_macvlan import MacvlanDiscoverer, mnp_register_policy_kinds


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


class TestMacvlanNetworkPolicy(PolicyKindConformance):
    def make_spec(self):
        [spec] = mnp_register_policy_kinds()
        return spec

    def example(self):
        peers = [{"podSelector": {"matchLabels": {"app": "client"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]
        return {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "MacvlanNetworkPolicy",
            "metadata": {
                "name": "example",
                "namespace": "demo",
                "annotations": {"k8s.v1.cni.cncf.io/policy-for": "data"},
            },
            "spec": {
                "podSelector": {"matchLabels": {"app": "web"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}]}],
            },
        }
