"""`kubectl mnp status` with a stand-in for kubectl that answers, hangs, fails, and lies."""

import json
import time

import pytest

from tests.cli.fleet.fixtures import pod, status
from tests.cli.schemas import faults

ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\u009b31m"


def test_every_node_has_a_line(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha", [pod("web")]))
    kubectl.agent("beta", answer=status("beta", ready=False, readiness="FirstSync"))
    found = kubectl_mnp("status")
    assert (found.status, found.err) == (0, "")
    heads, alpha, beta = [line.split() for line in found.out.splitlines()]
    assert heads[:4] == ["NODE", "STATE", "PODS", "ENFORCED"]
    assert alpha == ["alpha", "ready", "1", "1", "0", "0", "nftables", "0.1.0", "3m", "mnp-node-0"]
    assert beta[:2] == ["beta", "not-ready(FirstSync)"]


def test_mnp_runs_in_the_agents_containers(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha"))
    options = ("--kubeconfig", "/a b", "--context", "c", "--agent-namespace", "mnp", "--agent-container", "agent")
    found = kubectl_mnp("status", *options, "--agent-selector", "app=mnp", "--agent-socket", "/run/x", "-n", "shop")
    assert found.status == 0, found.err
    get, run = kubectl.calls()
    assert get.startswith(
        "--kubeconfig=/a b --context=c get pods --namespace=mnp --selector=app=mnp --output=jsonpath="
    )
    assert run == (
        "--kubeconfig=/a b --context=c exec --namespace=mnp --container=agent mnp-node-0 --"
        " mnp status --output=json --namespace=shop --socket=/run/x"
    )


def test_environment_names_the_agents(kubectl, kubectl_mnp, monkeypatch):
    monkeypatch.setenv("MNP_AGENT_NAMESPACE", "mnp")
    monkeypatch.setenv("MNP_AGENT_SELECTOR", "app=mnp")
    monkeypatch.setenv("MNP_AGENT_CONTAINER", "agent")
    kubectl.agent("alpha", answer=status("alpha"))
    assert kubectl_mnp("status").status == 0
    assert "--namespace=mnp --selector=app=mnp" in kubectl.calls()[0]
    assert "--container=agent" in kubectl.calls()[1]


def test_wide_and_single_nodes_show_pods(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha", [pod("web")]))
    kubectl.agent("beta", answer=status("beta", [pod("db", condition="Failed", error="no netlink")]))
    wide = kubectl_mnp("status", "-o", "wide")
    assert "shop/web" in wide.out
    assert "shop/db: Failed: no netlink" in wide.out
    one = kubectl_mnp("status", "--node", "alpha")
    assert one.out.startswith("alpha: ready, backend nftables")
    assert "shop/web" in one.out
    assert "shop/db" not in one.out


def test_a_pod_is_asked_about_on_its_node_alone(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha", [pod("web")]))
    kubectl.agent("beta", "exit 1")
    kubectl.get(f'case "$*" in *--selector*) cat "{kubectl.folder}/pods";; *) printf alpha;; esac\n')
    found = kubectl_mnp("status", "--pod", "web", "--namespace", "shop")
    assert (found.status, "shop/web" in found.out) == (0, True), found.err
    assert kubectl.calls()[1].endswith("--namespace=shop --output=jsonpath={.spec.nodeName} -- web")
    assert kubectl.calls()[2].endswith("mnp-node-0 -- mnp status --output=json --pod=shop/web")
    assert len(kubectl.calls()) == 3


def test_json_has_answers_and_those_that_are_missing(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha", [pod("web")]))
    kubectl.agent("beta", "echo 'error: unable to upgrade connection' >&2; exit 1")
    found = kubectl_mnp("status", "-o", "json")
    assert faults("kubectl-mnp-status", found.out) == []
    value = json.loads(found.out)
    assert found.status == 1
    assert [(each["node"], each["agent"]) for each in value["nodes"]] == [("alpha", "mnp-node-0")]
    assert value["nodes"][0]["status"]["pods"][0]["name"] == "web"
    assert value["unanswered"] == [{"node": "beta", "reason": "error: unable to upgrade connection"}]


# --- nodes that do not answer ---------------------------------------------------------------------------------------


def test_nodes_that_do_not_answer_are_named_and_the_others_shown(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha"))
    kubectl.agent("hangs", "sleep 60")
    kubectl.agent("fails", "echo 'Error from server: error dialing backend' >&2; exit 1")
    kubectl.agent(
        "old", "echo \"Error: No such command 'status'.\" >&2; echo 'command terminated with exit code 2' >&2; exit 2"
    )
    kubectl.agent("garbage", "printf '\\033[2Jhello'")
    kubectl.agent("list", answer=[1, 2])
    kubectl.agent("shape", answer={"node": [], "pods": {}})
    kubectl.agent("pending", phase="Pending")
    began = time.monotonic()
    found = kubectl_mnp("status", "--timeout", "1")
    assert time.monotonic() - began < 8
    assert found.status == 1
    assert [line.split()[0] for line in found.out.splitlines()] == ["NODE", "alpha"]
    assert found.err.splitlines() == [
        "Warning: node fails does not answer: Error from server: error dialing backend",
        r"Warning: node garbage does not answer: its answer is no JSON: \x1b[2Jhello",
        "Warning: node hangs does not answer: no answer within 1 seconds, or within 120 for all",
        "Warning: node list does not answer: its answer is not the one of an agent",
        "Warning: node old does not answer: Error: No such command 'status'.",
        "Warning: node pending does not answer: its agent's pod mnp-node-7 is Pending",
        "Warning: node shape does not answer: its answer is not that of mnp status",
    ]


def test_no_answer_at_all_is_no_result(kubectl, kubectl_mnp):
    kubectl.agent("alpha", "exit 1")
    found = kubectl_mnp("status")
    assert (found.status, found.out) == (2, "")


@pytest.mark.parametrize("output", ["table", "wide"])
def test_answers_cannot_steer_the_terminal_or_speak_for_other_nodes(kubectl, kubectl_mnp, output):
    evil = pod(f"web{ESCAPES}\nbeta ready", condition=f"Failed{ESCAPES}", error=f"no{ESCAPES}\nForged: line")
    kubectl.agent("alpha", answer=status("beta", [evil], version=f"9{ESCAPES}", readiness=ESCAPES))
    kubectl.agent("gamma", answer=status("gamma"))
    found = kubectl_mnp("status", "-o", output)
    assert found.status == 0, found.err
    assert not set(found.out) & set("\x1b\x07\x9b\u202e")
    assert not any(line.startswith(("beta", "Forged")) for line in found.out.splitlines())


@pytest.mark.parametrize(
    "pods",
    [
        [{"groups": [{"members": "many"}]}],
        [{"interfaces": [{"ingress": {"isolated": True, "policies": 7}}]}],
        [{"last-change": {"seconds": 1e400}}],
        ["web"],
    ],
)
def test_values_of_another_type_are_a_failure_of_that_node_alone(kubectl, kubectl_mnp, pods):
    kubectl.agent("alpha", answer=status("alpha"))
    kubectl.agent("beta", answer=status("beta") | {"pods": pods})
    found = kubectl_mnp("status", "-o", "wide")
    assert "Traceback" not in found.err
    assert found.status in {0, 1}
    assert "alpha: ready" in found.out


def test_nesting_without_end_is_no_answer(kubectl, kubectl_mnp):
    kubectl.agent("alpha", "yes '[' | tr -d '\\n' | head -c 200000")
    assert "its answer is no JSON" in kubectl_mnp("status").err


# --- which agents ---------------------------------------------------------------------------------------------------


def test_of_two_agents_on_a_node_the_one_that_stays_is_asked(kubectl, kubectl_mnp):
    kubectl.agent("alpha", "exit 1", deleted="2026-01-31T12:00:00Z")
    kubectl.agent("alpha", answer=status("alpha"))
    kubectl.agent("alpha", "exit 1", phase="Failed")
    found = kubectl_mnp("status")
    assert found.status == 0, found.err
    assert kubectl.calls()[-1].count("mnp-node-1 -- mnp status") == 1


def test_lines_that_are_no_pods_are_never_arguments(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=status("alpha"))
    kubectl.get(
        f"printf -- '--server=evil\\tbeta\\tRunning\\t\\nx y\\tgamma\\tRunning\\t\\n'; cat {kubectl.folder}/pods\n"
    )
    assert kubectl_mnp("status").status == 0
    assert len(kubectl.calls()) == 2


def test_without_agents_the_labels_are_named(kubectl_mnp, kubectl):
    assert kubectl.agents == []
    found = kubectl_mnp("status")
    assert found.status == 2
    assert "kube-system has no pods with the labels app.kubernetes.io/name=mnp-node" in found.err
    assert "--agent-namespace" in found.err


def test_missing_permissions_and_other_words_of_kubectl_are_passed_on(kubectl, kubectl_mnp):
    words = 'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods"'
    kubectl.get(f"echo '{words}' >&2; exit 1\n")
    found = kubectl_mnp("status")
    assert (found.status, found.err) == (2, f"Error: kubectl get pods failed: {words}\n")


def test_kubectl_that_hangs_is_given_up(kubectl, kubectl_mnp):
    kubectl.get("sleep 60\n")
    found = kubectl_mnp("status", "--timeout", "0.3")
    assert (found.status, "no answer within 0.3 seconds" in found.err) == (2, True)


def test_without_kubectl_there_is_no_way(kubectl_mnp, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = kubectl_mnp("status")
    assert (found.status, "there is no kubectl on PATH" in found.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--node", "nowhere"], "there is no agent on node nowhere: there are on alpha"),
        (["--pod", "a/b/c"], "is not a name"),
        (["--agent-namespace", "A B"], "is not the name of a namespace"),
        (["--agent-container", "-x"], "is not the name of a container"),
        (["--agent-selector", " "], "it is empty"),
        (["--context", ""], "it is empty"),
        (["--at-once", "0"], "0 is not in the range"),
        (["--timeout", "nan"], "is not a number of seconds"),
        (["--total-timeout", "-1"], "-1.0 is not in the range"),
        (["-o", "csv"], "'csv' is not one of"),
        (["alpha"], "unexpected extra argument"),
    ],
)
def test_wrong_input_is_one_clear_message(kubectl, kubectl_mnp, arguments, message):
    kubectl.agent("alpha", answer=status("alpha"))
    found = kubectl_mnp("status", *arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err
    assert "Traceback" not in found.err


# --- many -----------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_two_hundred_nodes_are_asked_at_once(kubectl, kubectl_mnp, figures):
    """Each takes 0.3 s, as a kubectl exec does: one after the other that would be a minute."""
    for number in range(197):
        kubectl.agent(f"node-{number:03}", answer=status(f"node-{number:03}", [pod("web")]))
    for number in range(197, 200):
        kubectl.agent(f"node-{number:03}", "sleep 60")
    for path in kubectl.folder.glob("exec-*"):
        path.write_text(f"sleep 0.3\n{path.read_text()}")
    began = time.monotonic()
    found = kubectl_mnp("status", "--at-once", "50", "--timeout", "10", "--total-timeout", "15")
    took = time.monotonic() - began
    figures += [f"kubectl mnp status: 200 nodes of which 3 hang (limit 10 s), 50 at once, 0.3 s each: {took:.1f} s"]
    assert found.status == 1
    assert len(found.out.splitlines()) == 198
    assert found.err.count("does not answer") == 3
    assert took < 30
