"""The sound originals of this folder's broken plugins; `test_sound.py` proves them."""

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress

from attrs import evolve

from mnp_core.api import PolicyKindSpec
from mnp_core.discovery import compare
from mnp_core.model import Link
from mnp_core.model.parsing import parse_policy
from mnp_core.plugins import load_plugins
from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import (
    AddressSourceConformance,
    GateConformance,
    InterfaceDiscovererConformance,
    PolicyKindConformance,
    SandboxLocatorConformance,
)
from mnp_core.testing.conformance.gate import Gated, Start
from mnp_core.testing.conformance.locator import Located
from mnp_core.testing.netns import End, veth_pair
from mnp_lab.locator import LabLocator
from mnp_lab.namespaces import AnonymousNamespaces, pod_key

SOURCES = load_plugins().address_sources


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


class AddressSourceTests(AddressSourceConformance):
    source, origin = "kubevirt", "domain, multus-status"

    def make_spec(self):
        return evolve(SOURCES.require(self.source), parse=self.parse_it)

    def parse_it(self, raw):
        return SOURCES.require(self.source).parse(raw)

    def example(self):
        entry = {"name": "blue", "infoSource": self.origin, "ipAddress": "10.9.0.5", "mac": "02:00:00:00:00:05"}
        entry |= {"ipAddresses": ["10.9.0.5", "fd00:9::5"], "podInterfaceName": "net1"}
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "vm", "namespace": "demo", "uid": "1"},
            "spec": {"networks": [{"name": "blue", "multus": {"networkName": "blue"}}]},
            "status": {"interfaces": [entry]},
        }


class Porch:
    """A runtime within the process, which asks the gate that stands before it, but waits a limited time only."""

    limit = 1.0

    def __init__(self):
        self.up, self.gate = True, None

    def start(self, start):
        done = Future()
        threading.Thread(target=lambda: done.set_result(self.run(start)), daemon=True).start()
        return done

    def run(self, start):
        if self.gate is None:
            return Start(admitted=True)
        try:
            return self.gate.ask(start).result(self.limit)
        except TimeoutError:
            return Start(admitted=True)

    def stop(self, start):
        if self.gate is not None:
            self.gate.forget(start)

    @contextmanager
    def outage(self):
        self.up, self.gate = False, None
        try:
            yield
        finally:
            self.up = True


class Door:
    """A gate before a porch: a thread that stands there whenever it can, and one for each pod that waits."""

    def __init__(self, porch):
        self.porch, self.keeper, self.closed = porch, None, threading.Event()
        self.waiting, self.threads = [], []

    def open(self, keeper):
        self.keeper = keeper
        self.run(self.stand)

    def run(self, work):
        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()

    def stand(self):
        while not self.closed.wait(0.01):
            if self.porch.up:
                self.porch.gate = self

    @property
    def problem(self):
        return "" if self.porch.up and self.porch.gate is self else "there is no runtime: start it"

    def ask(self, start):
        answer = Future()
        self.waiting.append(answer)
        self.run(lambda: self.end(answer, self.decide(start)))
        self.run(lambda: self.closed.wait(self.porch.limit * 0.8) or self.end(answer, Start(admitted=False)))
        return answer

    def decide(self, start):
        decision = self.keeper.admit(start, seconds=self.porch.limit * 0.7)
        return Start(decision.admitted, decision.reason)

    def end(self, answer, start):
        with suppress(InvalidStateError):  # something else has
            answer.set_result(start)

    def forget(self, start):
        self.keeper.stopped(start.pod, start.uid, start.netns)

    def close(self):
        self.closed.set()
        for answer in self.waiting:
            self.end(answer, Start(admitted=False))
        for thread in self.threads:
            thread.join()


class GateTests(GateConformance):
    door = Door

    @contextmanager
    def gated(self):
        porch = Porch()
        yield Gated(gate=self.door(porch), start=porch.start, stop=porch.stop, outage=porch.outage, limit=porch.limit)
