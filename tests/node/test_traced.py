"""A packet's steps in the words of policies."""

import socket

import pytest

from mnp_core.model import ObjectName, RulePlace
from mnp_core.netfilter.tracing import Step, StepKind
from mnp_core.node.status.traced import TracedPacket, by_place, identity

POD = ObjectName("demo", "web")
OURS = RulePlace(
    table="mnp", chain="ingress-net1", handle=7, position=2, interface="net1", direction="Ingress", label="denied"
)
LEGACY = RulePlace(family=4, table="filter", chain="MNP-I-net1", position=2, interface="net1", direction="Ingress")
BRIDGED = RulePlace(bridged=True, table="mnp", chain="ingress-net1", handle=7, label="denied-vlan")
ALLOWED = RulePlace(family=6, table="filter", chain="MNP-I-net1", position=2, label="accept-icmp")


def packet(*steps, rules=(OURS, LEGACY, ALLOWED, BRIDGED)):
    made = TracedPacket(POD, by_place(rules) if rules is not None else None, 0.0)
    for step in steps:
        made.add(step, 1.0)
    return made.as_json()


def rule(table, chain, *, family=1, handle=0, position=0, verdict="", kind=StepKind.RULE):
    return Step(family=family, table=table, chain=chain, kind=kind, handle=handle, position=position, verdict=verdict)


@pytest.mark.parametrize(
    ("step", "label"),
    [
        (rule("mnp", "ingress-net1", handle=7, verdict="drop"), "denied"),
        (rule("mnp", "ingress-net1", handle=8), None),
        (rule("mnp", "ingress-net1", family=7, handle=7, verdict="drop"), "denied-vlan"),
        (rule("mnp", "ingress-net1", family=7, handle=8), None),
        (rule("mnp", "egress-net1", handle=7), None),
        (rule("filter", "MNP-I-net1", family=socket.AF_INET, position=2), ""),
        (rule("filter", "MNP-I-net1", family=socket.AF_INET6, position=2), "accept-icmp"),
        (rule("mnp", "ingress-net1", handle=7, kind=StepKind.POLICY), None),
    ],
)
def test_rules_are_found_by_their_place(step, label):
    (found,) = packet(step)["steps"]
    assert (found["ours"], found["rule"]) == (label is not None, label or "")


def test_the_verdict_is_that_of_any_rule_and_of_ours_where_the_kernel_tells_none():
    foreign = rule("filter", "INPUT", handle=3, verdict="drop")
    silent = rule("mnp", "ingress-net1", handle=7)
    accepted = rule("filter", "INPUT", verdict="accept", kind=StepKind.POLICY)
    assert [packet(each)["verdict"] for each in (foreign, silent, accepted)] == ["denied", "denied", "allowed"]
    assert packet(silent, accepted)["verdict"] == "allowed"
    assert [packet(each, rules=None)["verdict"] for each in (foreign, accepted)] == ["denied", "unknown"]


def test_the_tables_of_the_trace_itself_are_left_out():
    assert packet(rule("mnp-trace-00000000", "prerouting"))["steps"] == []


def test_steps_have_a_limit():
    assert len(packet(*[rule("filter", "loop")] * 1000)["steps"]) == 200


@pytest.mark.parametrize("data", [b"E", b"\x60", b"\x4f" + bytes(3), b"\0"])
def test_identities_of_short_packets(data):
    assert len(identity(data)) <= 12
