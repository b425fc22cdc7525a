"""`kubectl mnp top` with a stand-in for kubectl: one interval of all nodes, and streams of them."""

import json
import subprocess
import sys

import pytest

from tests.cli.schemas import faults


def rule(pod="shop/web", packets_per_second=1.0, **about):
    known = {"pod": pod, "interface": "net1", "direction": "Ingress", "rule": "shop/close[0]", "packets": 10}
    known |= {"bytes": 840, "packets-per-second": packets_per_second, "bytes-per-second": packets_per_second * 84}
    return known | about


def top(*rules):
    return {"seconds": 1.0, "rules": list(rules), "unread": []}


def test_busiest_rules_of_all_nodes_come_first(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=top(rule("shop/a", 5), rule("shop/b", 1)))
    kubectl.agent("beta", answer=top(rule("shop/c", 3000)))
    found = kubectl_mnp("top", "--once", "--interval", "0.5", "-n", "shop")
    assert (found.status, found.err) == (0, "")
    rows = [line.split() for line in found.out.splitlines()]
    assert rows[0][:3] == ["NODE", "POD", "INTERFACE"]
    assert [(row[0], row[1], row[4]) for row in rows[1:]] == [
        ("beta", "shop/c", "3k"),
        ("alpha", "shop/a", "5"),
        ("alpha", "shop/b", "1"),
    ]
    assert kubectl.calls()[1].endswith(" -- mnp top --output=json --interval=0.5 --namespace=shop --once")


def test_without_a_terminal_a_table_is_of_one_interval(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=top(rule()))
    assert kubectl_mnp("top").status == 0
    assert kubectl.calls()[1].endswith("--once")


@pytest.mark.parametrize(
    "answer",
    [{"rules": 7}, {"rules": [{}]}, top(rule(packets="many")), top(rule(packets=1e400)), [1], top(rule() | {"pod": 1})],
)
def test_answers_of_another_form_are_a_failure_of_their_node(kubectl, kubectl_mnp, answer):
    kubectl.agent("alpha", answer=top(rule("shop/a")))
    kubectl.agent("beta", answer=answer)
    found = kubectl_mnp("top", "--once")
    assert "shop/a" in found.out
    assert "Traceback" not in found.err
    assert found.status == (1 if "beta" in found.err else 0)


def test_text_of_nodes_cannot_steer_the_terminal(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=top(rule("shop/\x1b[2Ja\nbeta", rule="\u202e\x9b")))
    found = kubectl_mnp("top", "--once")
    assert found.status == 0, found.err
    assert len(found.out.splitlines()) == 2
    assert not set(found.out) & set("\x1b\x9b\u202e")


def test_json_of_one_interval_has_the_answers(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=top(rule()) | {"node": "beta"})
    kubectl.agent("gamma", "exit 1")
    found = kubectl_mnp("top", "--once", "-o", "json")
    assert faults("kubectl-mnp-top", found.out) == []
    assert found.status == 1
    value = json.loads(found.out)
    assert [each["node"] for each in value["nodes"]] == ["alpha"]
    assert value["unanswered"] == [{"node": "gamma", "reason": "it ended with status 1"}]


def test_intervals_follow_each_other_until_ctrl_c(kubectl):
    kubectl.agent("alpha", answer=top(rule()))
    kubectl.agent("beta", "sleep 0.05; exit 1")
    command = [sys.executable, "-c", "from mnp_core.cli.fleet.app import main; main()", "top", "-o", "json"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert [json.loads(program.stdout.readline())["node"] for _ in range(3)] == ["alpha"] * 3
    program.send_signal(2)
    _, err = program.communicate(timeout=10)
    assert program.returncode == 130
    assert "node beta does not answer" in err


def test_live_ends_when_no_node_answers(kubectl, kubectl_mnp):
    kubectl.agent("alpha", "exit 1")
    found = kubectl_mnp("top", "-o", "json")
    assert (found.status, found.err) == (2, "Warning: node alpha does not answer: it ended with status 1\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interval", "0"], "0.0 is not in the range"),
        (["--interval", "soon"], "'soon' is not a number of seconds"),
        (["-o", "yaml"], "'yaml' is not one of"),
        (["-n", "A B"], "is not the name of a namespace"),
        (["--node", "nowhere"], "there is no agent on node nowhere"),
    ],
)
def test_wrong_input_is_one_clear_message(kubectl, kubectl_mnp, arguments, message):
    kubectl.agent("alpha", answer=top(rule()))
    found = kubectl_mnp("top", "--once", *arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err
