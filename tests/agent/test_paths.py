"""Interfaces whose packets pass the IP layer by: found, and kept by a fresh process (S60, S62)."""

from attrs import evolve

from mnp_core.api import Discovery, Result
from mnp_core.backend import Backend
from mnp_core.errors import SandboxError
from mnp_core.model import LinkPath
from mnp_core.testing.fakes import FakeApplier, FakeKernel, FakeRenderer
from tests.agent.test_agent import FROM_ALL, Node, results, start


class Bridged:
    """A discoverer that finds every interface behind a port of a bridge, or none."""

    is_port = True

    def discover(self, claim, links):  # noqa: ARG002 - the Protocol's signature
        if not self.is_port:
            return Discovery(attachment=claim)
        bridged = evolve(claim, path=LinkPath.BRIDGED, carrier="net1-nic")
        return Discovery(attachment=bridged, unenforceable="it is a port of a bridge", binding="bridge")


class Reaching(FakeApplier):
    """An applier for frames; rules for them show in the text."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.kernel = kernel

    def obstacle(self, _path):
        return ""

    def installed_paths(self):
        ruleset = self.kernel.inside.ruleset
        return frozenset({LinkPath.BRIDGED} if ruleset is not None and "net1-nic" in ruleset.text else ())


def bridged_node(kernel=None, **options):
    node = Node(kernel or FakeKernel(), **{"discoverer": Bridged()} | options)
    node.choice.backend = Backend(name="reach", renderer=FakeRenderer(), applier=Reaching(node.kernel))
    node.choice.obstacle = lambda _attachments, _path: ""
    return node


def text(node, name):
    return next(space.ruleset.text for pod, space in node.kernel.namespaces.items() if pod.name == name)


def test_a_bridged_interface_gets_its_rules_when_it_is_found():
    node = bridged_node()
    start(node, FROM_ALL)
    assert node.writes("a") == ["apply", "apply"]  # by name first
    assert "net1-nic" in text(node, "a")


def test_a_fresh_process_looks_before_it_takes_rules_away():
    """S62: nothing is written, and the rules for frames stay."""
    node = bridged_node()
    start(node, FROM_ALL)
    before = text(node, "a")
    heir = bridged_node(node.kernel)
    assert results(start(heir, FROM_ALL)) == {"default/a": Result.UNCHANGED, "default/b": Result.UNCHANGED}
    assert node.writes("a") == ["apply", "apply"]
    assert text(heir, "a") == before


def test_a_fresh_process_that_cannot_look_leaves_the_rules_as_they_are():
    node = bridged_node()
    start(node, FROM_ALL)
    before = text(node, "a")

    def refuse():
        raise SandboxError("change faster than they can be read")

    heir = bridged_node(node.kernel, links=refuse)
    assert results(start(heir, FROM_ALL)) == {"default/a": Result.FAILED, "default/b": Result.FAILED}
    assert text(heir, "a") == before


def test_a_port_that_leaves_the_bridge_keeps_its_rules():
    """It may be back before anybody looks again."""
    discoverer = Bridged()
    node = bridged_node(discoverer=discoverer)
    start(node, FROM_ALL)
    before = text(node, "a")
    discoverer.is_port = False
    node.look_again(list(node.kernel.namespaces))
    assert text(node, "a") == before
