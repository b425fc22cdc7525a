"""What the broken plugins of this folder would be if they were right, shown so by `test_sound.py`."""

from contextlib import contextmanager

from mnp_core.api import PolicyKindSpec
from mnp_core.discovery import compare
from mnp_core.model import Link
from mnp_core.model.parsing import parse_policy
from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import (
    InterfaceDiscovererConformance,
    PolicyKindConformance,
    SandboxLocatorConformance,
)
from mnp_core.testing.conformance.locator import Located
from mnp_core.testing.netns import End, veth_pair
from mnp_lab.locator import LabLocator
from mnp_lab.namespaces import AnonymousNamespaces, pod_key


class Discoverer:
    """Of interfaces that are veths."""

    def discover(self, claim, links):
        return compare(claim, links, kinds={"veth"})


class DiscovererTests(InterfaceDiscovererConformance):
    def make_discoverer(self):
        return Discoverer()

    def cni_type(self):
        return "veth"

    def link(self):
        return Link(name="net1", index=2, kind="veth")

    def attach(self, node, pod, interface, addresses):
        veth_pair(End(node, "host"), End(pod, interface, addresses))


class LocatorTests(SandboxLocatorConformance):
    def make_locator(self, spaces):
        return LabLocator(lambda name: spaces.find(pod_key(name)))

    @contextmanager
    def located(self):
        spaces, there = AnonymousNamespaces(), pod("there")
        key = pod_key(there.name)

        def remake():
            spaces.drop(key)
            return spaces.make(key)

        try:
            yield Located(locator=self.make_locator(spaces), pod=there, sandbox=spaces.make(key), remake=remake)
        finally:
            spaces.close()


EXAMPLE = {
    "apiVersion": "k8s.cni.cncf.io/v1beta2",
    "kind": "MultiNetworkPolicy",
    "metadata": {
        "name": "example",
        "namespace": "demo",
        "annotations": {"k8s.v1.cni.cncf.io/policy-for": "data, other/storage"},
    },
    "spec": {
        "podSelector": {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}],
        },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {
                        "podSelector": {"matchLabels": {"app": "client"}},
                        "namespaceSelector": {"matchLabels": {"a": "b"}},
                    },
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ],
                "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 5000, "endPort": 6000}],
            }
        ],
        "egress": [{"to": [{"ipBlock": {"cidr": "fd00::/8"}}], "ports": [{"protocol": "TCP", "port": "http"}]}],
    },
}


class PolicyKindTests(PolicyKindConformance):
    def make_spec(self):
        return PolicyKindSpec(
            name="multi-networkpolicies",
            group="k8s.cni.cncf.io",
            versions=("v1beta2", "v1beta1"),
            kind="MultiNetworkPolicy",
            plural="multi-networkpolicies",
            parse=self.parse_it,
        )

    def parse_it(self, raw):
        return parse_policy(raw)

    def example(self):
        return EXAMPLE
