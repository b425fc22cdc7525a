"""The agent's answer about a flow, the fate of a real packet, and the kernel's trace of it: all three are the truth.

A sample of the truth table (`mnp_core.testing.suites.truthtable`), judged by the naive reference.
"""

import random
from itertools import islice

import pytest
import yaml

from mnp_core.node.status.client import Agent
from mnp_core.sources.manifests import load_documents
from mnp_core.testing.suites.reference import naive
from mnp_core.testing.suites.truthtable.cluster import INTERFACE, NAMES, NAMESPACES, PORTS, address, base
from mnp_core.testing.suites.truthtable.generators import CATEGORIES
from tests.node.program import Node, served_lab

pytestmark = [pytest.mark.root, pytest.mark.full]
STEPS = 2  # of each category
FLOWS = 3  # of each step
ARRIVED = {"answered", "refused"}
SEED = 12


@pytest.fixture(params=["nftables"])
def node(request, tmp_path):
    """An agent with the nine pods of the truth table."""
    (tmp_path / "base.yaml").write_text(yaml.safe_dump_all(base()))
    with (
        served_lab(tmp_path, load_documents([tmp_path / "base.yaml"])) as (lab, server),
        Node(lab, server, tmp_path) as found,
    ):
        found.set(backend=request.param)
        found.start()
        yield found


def sampled_steps(chosen):
    """Steps that differ from the base by policies alone."""
    for category in ("targets", "rules", "peers", "ports", "conflicts"):
        steps = list(CATEGORIES[category]())
        yield from chosen.sample(
            [step for step in steps if not [each for each in base() if each not in step.objects]], STEPS
        )


def flows(chosen):
    pods = [(namespace, name) for namespace in NAMESPACES for name in NAMES]
    while True:
        source, destination = chosen.sample(pods, 2)
        yield source, destination, chosen.choice(("TCP", "UDP")), chosen.choice(PORTS)


def question(flow):
    source, destination, protocol, port = flow
    return {"from": "/".join(source), "to": "/".join(destination), "ports": [f"{protocol.lower()}:{port}"]}


def truth(step, flow):
    """By family."""
    source, destination, protocol, port = flow
    ends = {
        family: [naive.End(address(*pod, family), "/".join(pod), INTERFACE) for pod in (source, destination)]
        for family in (4, 6)
    }
    return {family: naive.allowed(step.objects, *pair, protocol, port) for family, pair in ends.items()}


def asked(node, request, arguments, part):
    return [item[part] for item in Agent(node.socket).ask(request, arguments) if part in item]


def family(text):
    return 6 if ":" in text else 4


def verdicts(node, flow):
    return {
        family(way["address"]): way["verdict"] == "allowed" for way in asked(node, "compare", question(flow), "way")
    }


def test_an_answer_a_packet_and_its_trace_agree_with_the_truth(node, figures):
    chosen, denied = random.Random(SEED), 0  # noqa: S311 - a sample
    present = []
    for step in sampled_steps(chosen):
        for name in present:
            node.server.delete("multi-networkpolicies", name["name"], name["namespace"])
        policies = [each for each in step.objects if each["kind"] == "MultiNetworkPolicy"]
        present = [each["metadata"] for each in policies]
        for each in policies:
            node.server.put("multi-networkpolicies", each)
        sample = list(islice(flows(chosen), FLOWS))
        expected = [truth(step, flow) for flow in sample]
        node.until(lambda: [verdicts(node, flow) for flow in sample] == expected)  # noqa: B023 - called here
        for flow, allowed in zip(sample, expected, strict=True):
            assert all(pod["in-force"] for pod in asked(node, "compare", question(flow), "pod")), step.name
            ways = asked(node, "probe", question(flow), "way")
            found = {family(way["address"]): way["probe"]["answer"] in ARRIVED for way in ways}
            assert found == allowed, (step.name, flow)
            assert {way["probe"]["agrees"] for way in ways} == {True}, (step.name, flow, ways)
            denied += [*allowed.values()].count(False)
        flow, allowed = sample[0], expected[0]
        packets = asked(node, "trace", {**question(flow), "probe": True, "seconds": 5, "packets": 3}, "packet")
        passed = {
            family(each["destination"]): each["verdict"] == "allowed"
            for each in packets
            if each["pod"] == question(flow)["to"]
        }
        assert {known: passed.get(known, False) for known in allowed} == allowed, (step.name, flow, packets)
    figures.append(f"sampled truth: {STEPS * 5} steps, {denied} denied packets of {STEPS * 5 * FLOWS * 2}")
    assert denied > STEPS
