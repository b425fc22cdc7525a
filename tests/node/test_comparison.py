"""The comparison of verdicts with kernels, on a kernel in memory whose rules a test changes behind the agent's back."""

import threading

import pytest
from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.node.status.comparison import Comparison
from mnp_core.node.status.flow import parse_flow_question
from mnp_core.testing.builders import named
from tests.agent.test_agent import FROM_ALL, Node, start

FLOW = {"from": "default/b", "to": "default/a", "ports": ["tcp:80"]}


@pytest.fixture
def node():
    """An agent that answers, and repairs nothing."""
    found, ends = Node(), threading.Event()
    start(found, FROM_ALL)

    def serve():
        while not ends.is_set():
            found.agent.process(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    yield found
    ends.set()
    thread.join()


def compared(node, **arguments):
    items = list(Comparison(agent=node.agent, pool=node.kernel, pause=0.01).answer({**FLOW, **arguments}))
    pods = {item["pod"]["name"]: item["pod"] for item in items if "pod" in item}
    return pods, [item["way"] for item in items if "way" in item]


def tamper(node, change):
    namespace = node.kernel.namespaces[named("a")]
    namespace.ruleset = change(namespace.ruleset)


def test_equal_rules_are_told_and_the_rule_that_decides_is_named(node):
    pods, (way,) = compared(node)
    assert {name: pod["in-force"] for name, pod in pods.items()} == {"a": True, "b": True}
    assert pods["a"]["wanted-digest"] == pods["a"]["kernel-digest"]
    assert way["verdict"] == "allowed"
    assert way["ingress"]["counter"] == "MultiNetworkPolicy default/p ingress[0]"
    assert (way["egress"]["standing"], way["egress"]["counter"]) == ("open", "")


def test_a_denied_flow_is_counted_as_denied(node):
    _, (way,) = compared(node, **{"from": "192.0.2.1"})
    assert (way["verdict"], way["ingress"]["counter"], way["egress"]) == ("denied", "denied", None)


def test_missing_and_extra_members_of_a_group_are_named(node):
    tamper(node, lambda rules: evolve(rules, sets={name: frozenset({"10.9.9.9"}) for name in rules.sets}))
    pods, _ = compared(node)
    (found,) = pods["a"]["sets"]
    assert pods["a"]["in-force"] is False
    assert (found["missing"], found["extra"]) == (2, 1)
    assert (found["missing-members"], found["extra-members"]) == (["10.0.0.1", "10.0.0.2"], ["10.9.9.9"])
    assert pods["b"]["in-force"] is True


def test_other_rules_and_no_rules_differ(node):
    tamper(node, lambda rules: evolve(rules, digest="other"))
    assert compared(node)[0]["a"].items() >= {"in-force": False, "kernel-digest": "other", "sets": []}.items()
    tamper(node, lambda _: None)
    assert compared(node)[0]["a"].items() >= {"in-force": False, "kernel-digest": "", "error": ""}.items()


def test_a_kernel_that_cannot_be_read_is_told_with_the_reason(node):
    del node.kernel.namespaces[named("a")]
    found = compared(node)[0]["a"]
    assert found["in-force"] is False
    assert found["error"]


def test_unknown_pods_are_refused(node):
    with pytest.raises(InputError, match="knows no pod default/nobody"):
        compared(node, **{"from": "default/nobody"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"from": "a"}, "'a' is neither NAMESPACE/POD nor an address"),
        ({"from": "a/b/c"}, "neither"),
        ({"to": ""}, "neither"),
        ({"from": 7}, "must be a string"),
        ({"ports": ["tcp"]}, "none of tcp:80"),
        ({"ports": ["tcp:0"]}, "none of tcp:80"),
        ({"ports": ["udp:65536"]}, "none of tcp:80"),
        ({"ports": ["tcp:²"]}, "none of tcp:80"),
        ({"ports": ["tcp:80"] * 65}, "at most 64"),
        ({"seconds": 11}, "0 to 10"),
        ({"seconds": True}, "0 to 10"),
        ({"seconds": "1"}, "0 to 10"),
        ({"color": 1}, "no argument 'color'"),
    ],
)
def test_wrong_questions_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        parse_flow_question({**FLOW, **arguments})


def test_questions_are_understood():
    question = parse_flow_question({**FLOW, "ports": ["ICMP", "SCTP:99"], "seconds": 0.5})
    assert (question.source, question.seconds) == (ObjectName("default", "b"), 0.5)
    assert [str(flow) for flow in question.flows] == ["ICMP", "SCTP/99"]
