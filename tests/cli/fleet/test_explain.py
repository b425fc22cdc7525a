"""`kubectl mnp explain --node` with agents that agree, differ, lie and are silent; tests/node has real ones."""

import json

import pytest

from tests.cli.schemas import faults
from tests.cli.test_live import kubeconfig, running, server  # noqa: F401 - pytest finds fixtures by name

FLOW = ("--from", "demo/b", "--to", "demo/a", "--port", "tcp:80")
PROBE = {"source": "10.10.0.3", "answer": "silent", "detail": "", "agrees": None}


@pytest.fixture
def ask(kubectl_mnp, kubeconfig, server):  # noqa: F811 - fixtures
    """`ask("--node", ...)`, with pod a on the node alpha and pod b on beta."""
    for name, address, node in (("a", "10.10.0.2", "alpha"), ("b", "10.10.0.3", "beta")):
        pod = running(name, address)
        pod["spec"]["nodeName"] = node
        server.put("pods", pod)
    return lambda *options: kubectl_mnp("explain", "--kubeconfig", kubeconfig, *FLOW, *options)


@pytest.fixture
def way(ask):
    """The answer of objects: b is denied at a."""
    (found,) = json.loads(ask("-o", "json").out)["explanations"]
    assert found["verdict"] == "denied"
    return found


def pod(name, **about):
    known = {"namespace": "demo", "name": name, "backend": "nftables", "in-force": True, "error": "", "sets": []}
    return known | {"wanted-digest": "d", "kernel-digest": "d"} | about


def side(found, before=3, after=3):
    counts = {"before": {"packets": before, "bytes": 0}, "after": {"packets": after, "bytes": 0}}
    return {**found, "counter": "denied" if found["policies"] else "", **counts}


def far(way, **about):
    """The answer of the destination's node."""
    ways = [{**way, "egress": None, "ingress": side(way["ingress"]), "probe": None} | about]
    return {"pods": [pod("a")], "ways": ways}


def near(way, probe=None, **about):
    """That of the source's."""
    ways = [{**way, "egress": side(way["egress"]), "ingress": None, "probe": probe} | about]
    return {"pods": [pod("b")], "ways": ways}


def test_agents_that_agree(kubectl, ask, way):
    kubectl.agent("alpha", answer=far(way))
    kubectl.agent("beta", answer=near(way))
    kubectl.agent("gamma", "exit 9")
    found = ask("--node", "-o", "json")
    assert (found.status, found.err) == (0, "")
    assert faults("kubectl-mnp-explain", found.out) == []
    compared = json.loads(found.out)["compared"]
    assert [(each["node"], each["name"]) for each in compared["pods"]] == [("alpha", "a"), ("beta", "b")]
    assert [each["verdict"] for each in compared["ways"]] == ["denied"]
    assert (compared["differences"], compared["unanswered"]) == ([], [])
    asked = [line for line in kubectl.calls() if " exec " in f" {line}"]
    command = "mnp compare --output=json --from=demo/b --to=demo/a --port=tcp:80"
    assert [line.partition("-- ")[2] for line in asked] == [command, command]
    assert ask("--node").out.endswith("The kernels agree with the objects.\n")


def test_a_packet_is_sent_on_the_sources_node_between_two_readings_on_the_others(kubectl, ask, way):
    name = kubectl.agent("alpha")
    for number, packets in enumerate((3, 4)):
        answer = far(way, ingress=side(way["ingress"], packets, packets))
        (kubectl.folder / f"answer-{number}").write_text(json.dumps(answer))
    folder = kubectl.folder
    (folder / f"exec-{name}").write_text(f'cat "{folder}/answer-0"; cp "{folder}/answer-1" "{folder}/answer-0"\n')
    kubectl.agent("beta", answer=near(way, PROBE))
    found = ask("--node", "--probe", "-o", "json")
    assert found.status == 0, found.err
    assert faults("kubectl-mnp-explain", found.out) == []
    (judged,) = json.loads(found.out)["compared"]["ways"]
    assert [judged["ingress"][when]["packets"] for when in ("before", "after")] == [3, 4]
    assert judged["probe"]["agrees"] is True
    asked = [line.rpartition("-- ")[2] for line in kubectl.calls() if " exec " in f" {line}"]
    assert [line.endswith(" --probe") for line in asked] == [False, True, False]


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (lambda way: {**far(way), "pods": [pod("a", **{"in-force": False})]}, near, "has not the wanted rules"),
        (
            lambda way: far(way, ingress=side(way["ingress"] | {"verdict": "allowed"})),
            near,
            "the agent of alpha allowed",
        ),
        (lambda way: far(way, ingress=side(way["ingress"] | {"policies": []})), near, "has other policies for demo/a"),
        (lambda way: far(way, ingress=None), near, "the agent of alpha has no rules for demo/a"),
        (far, lambda way: near(way, PROBE | {"answer": "answered"}), "say denied, but the packet was answered"),
    ],
)
def test_each_difference_is_said(kubectl, ask, way, theirs, ours, words):
    kubectl.agent("alpha", answer=theirs(way))
    kubectl.agent("beta", answer=ours(way))
    found = ask("--node")
    assert found.status == 1
    assert words in found.out.partition("DIFFERS: ")[2], found.out


@pytest.mark.parametrize(
    "answer",
    [
        {"pods": [], "ways": {}},
        {"pods": [7], "ways": []},
        {"pods": [], "ways": [{"egress": 7}]},
        {"pods": [], "ways": [{"network": []}]},
        {"pods": [], "ways": [{"ingress": {"counter": "x", "before": {"packets": "1"}}}]},
        [],
    ],
)
def test_what_is_no_answer_is_none(kubectl, ask, way, answer):
    kubectl.agent("alpha", answer=answer)
    kubectl.agent("beta", answer=near(way))
    found = ask("--node")
    assert (found.status, "node alpha does not answer" in found.err) == (1, True)


def test_answers_cannot_steer_a_terminal(kubectl, ask, way):
    kubectl.agent("alpha", answer={**far(way), "pods": [pod("a\x1b[2J", error="\x1b]0;x\x07", **{"in-force": False})]})
    kubectl.agent("beta", answer=near(way))
    found = ask("--node")
    assert "\x1b" not in found.out + found.err


def test_exit_status_without_answers(kubectl, ask, way):
    kubectl.agent("alpha", "echo broken >&2; exit 3")
    kubectl.agent("beta", "exit 1")
    none = ask("--node")
    assert (none.status, "node alpha does not answer: broken" in none.err) == (2, True)
    assert way


def test_wrong_questions_are_refused(kubectl, kubectl_mnp, ask, kubeconfig, tmp_path):  # noqa: F811 - fixtures
    kubectl.agent("alpha", "exit 9")
    for options, words in (
        (("--probe",), "add --node"),
        (("--node", tmp_path), "leave out the manifests"),
        (("--node", "--agent-container", "A B"), "is not the name of a container"),
        (("--node", "--timeout", "soon"), "'soon' is not a number of seconds"),
        (("--node",), "there is no agent on node beta"),
    ):
        found = ask(*options)
        assert (found.status, words in found.err) == (2, True), found.err
    outside = ("explain", "--kubeconfig", kubeconfig, "--from", "192.0.2.1", "--to", "demo/a", "--node", "--probe")
    assert "192.0.2.1 is none" in kubectl_mnp(*outside).err
