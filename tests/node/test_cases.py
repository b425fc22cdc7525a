"""Manifests from the field in the running node: rules and reports (tests/cases/table.py)."""

from contextlib import suppress

import pytest

from mnp_core.model import Isolated, Link, Network, ObjectRef, Pod, Severity
from mnp_core.offline.definition import parse_definition
from mnp_core.settings import Settings
from mnp_core.sources.decode import Decoder
from mnp_core.testing.fakes import FakeKernel
from mnp_lab.plan import plan_lab
from tests.cases.table import CASES
from tests.cli.fixtures import registry as registry  # noqa: PLC0414 - a fixture
from tests.node.test_loop import Running, eventually

LO = Link(name="lo", index=1, loopback=True)
ETH0 = Link(name="eth0", index=2, kind="veth", parent=9, parent_inside=False)


class Wired(FakeKernel):
    """A kernel in memory with interfaces in its sandboxes."""

    def __init__(self):
        super().__init__()
        self.links = {}

    def read_links(self):
        (pod,) = (name for name, namespace in self.namespaces.items() if namespace is self.inside)
        return LO, ETH0, *self.links[pod]


def made_by_cni(pod, definitions):
    """The interfaces that CNI plugins make for network-status to be true."""
    for index, status in enumerate(pod.statuses, start=3):
        definition = definitions.get(status.network)
        yield Link(
            name=status.interface,
            index=index,
            kind=definition.node_kind if definition else "veth",
            mode=definition.node_mode if definition else "",
            mac=status.mac,
            addresses=status.addresses,
            device=status.device_pci,
            parent=100 + index,
            parent_inside=False,
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_node_enforces_and_reports_the_table(registry, case):
    """S1-S6, S21, S30, S64."""
    plan = plan_lab(case.documents())
    documents = plan.objects
    changes = Decoder(tuple(registry.policy_kinds.values())).decode_all(d.raw for d in documents.values())
    objects = [change.object for change in changes]
    kernel, definitions = Wired(), {}
    for network in (each for each in objects if isinstance(each, Network)):
        definitions[network.name] = parse_definition(documents[ObjectRef("NetworkAttachmentDefinition", network.name)])
    pods = [each for each in objects if isinstance(each, Pod)]
    for pod in pods:
        kernel.add(pod.name)
        kernel.links[pod.name] = case.links.get(str(pod.name), tuple(made_by_cni(pod, definitions)))
    claimed = Settings(network_plugins=case.network_plugins).enforced_types(registry.claimed_types)
    discoverers = registry.make_discoverers()
    with Running(kernel, claimed, discoverers, read_links=kernel.read_links) as node:
        node.deliver(*changes)
        node.source.complete = True
        eventually(lambda: ("sync_started",) in node.observer.told and node.agent.synced_once)

        def observed():
            return set(problems(node)), set(enforced(node, pods)), set(isolated(node, pods))

        wanted = case.problems | case.on_nodes, case.attachments, case.isolated
        with suppress(AssertionError):  # the comparison below says more
            eventually(lambda: observed() == wanted)
        assert observed() == wanted


def problems(node):
    for report in node.agent.reports():
        if report.severity is Severity.PROBLEM:
            yield f"{report.reason.value} {report.about}"


def enforced(node, pods):
    for pod in pods:
        for attachment in node.agent.attachments(pod.name):
            yield f"{pod.name} {attachment.interface} {attachment.kind}"


def isolated(node, pods):
    for pod in pods:
        sandbox = node.agent.cluster.sandbox_policy(pod.name)
        for each in sandbox.interfaces if sandbox else ():
            for direction in ("ingress", "egress"):
                if isinstance(getattr(each, direction), Isolated):
                    yield f"{pod.name} {each.interface} {direction}"
