"""`kubectl mnp explain --node` with real agents: kernels of pods on two nodes, real packets between them.

kubectl is a stand-in that runs the real `mnp` with the socket of the agent; tests/cluster has the real one.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from mnp_core.model import ObjectName
from tests.cli.fixtures import registry  # noqa: F401 - pytest finds fixtures by name
from tests.cli.fleet.fixtures import kubectl, kubectl_mnp  # noqa: F401 - likewise
from tests.cli.schemas import faults
from tests.node.program import WEB, Node, served_lab

pytestmark = [pytest.mark.root, pytest.mark.full]  # tests/cli/fleet has stand-ins of agents
FLOW = ("--to", "demo/web", "--port", "tcp:80")


@pytest.fixture
def nodes(tmp_path):
    """web on the node `here`, all other pods on `there`."""
    with (
        served_lab(tmp_path, node_of=lambda pod: "here" if pod == "web" else "there") as (lab, server),
        ExitStack() as stack,
    ):
        found = []
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(Node(lab, server, tmp_path / name, name)))
        for each in found:
            each.start()
        yield found


@pytest.fixture
def explain(nodes, kubectl, kubectl_mnp, tmp_path):  # noqa: F811 - fixtures
    """`explain("client", ...)`: the status and the answer, or the words."""
    mnp = Path(sys.executable).with_name("mnp")
    for node in nodes:
        kubectl.agent(
            node.name,
            f'while [ "$1" != mnp ]; do shift; done; shift\nexec {mnp} "$@" --socket {node.socket}',
        )
    server = nodes[0].server
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": server.url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}],
        "current-context": "fake",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))

    def run(source, *options):
        ended = kubectl_mnp("explain", "--kubeconfig", path, "--from", f"demo/{source}", *FLOW, *options)
        if "json" not in options or ended.status == 2:
            return ended
        assert faults("kubectl-mnp-explain", ended.out) == []
        return ended.status, json.loads(ended.out)

    return run


def test_kernels_of_two_nodes_and_a_packet_between_them_agree_with_the_objects(nodes, explain):
    """S11: the end of the destination decides, on its node; the packet is sent on that of the source."""
    here, there = nodes
    expected = {"client": ("allowed", "refused"), "stranger": ("denied", "silent")}
    for source, (verdict, answer) in expected.items():
        status, found = explain(source, "--node", "--probe", "-o", "json")
        compared = found["compared"]
        assert (status, compared["differences"], compared["unanswered"]) == (0, [], [])
        assert {(pod["node"], pod["name"], pod["in-force"]) for pod in compared["pods"]} == {
            ("here", "web", True),
            ("there", source, True),
        }
        assert compared["ways"]
        for way in compared["ways"]:
            assert (way["verdict"], way["probe"]["answer"], way["probe"]["agrees"]) == (verdict, answer, True)
            assert way["ingress"]["after"]["packets"] == (way["ingress"]["before"] or {"packets": 0})["packets"] + 1
            assert way["egress"]["standing"] == "open"
    assert "probe packet sent" in there.log.read_text()
    assert "probe packet sent" not in here.log.read_text()
    words = explain("stranger", "--node", "--probe")
    assert words.status == 0
    assert "here: demo/web: the kernel has the rules that policy wants" in words.out
    assert "a real packet was sent from" in words.out
    assert words.out.endswith("The kernels agree with the objects.\n")
    assert explain("client", "-o", "json")[1]["compared"] is None


def test_what_differs_is_said(nodes, explain):
    here, there = nodes
    here.process.send_signal(subprocess.signal.SIGSTOP)
    silent = explain("client", "--node", "--timeout", "2")
    assert (silent.status, "node here does not answer" in silent.err) == (1, True), silent.err
    here.process.send_signal(subprocess.signal.SIGCONT)
    rules = "table inet mesh {\n chain in {\n  type filter hook prerouting priority -160;\n  tcp dport 80 drop\n }\n}\n"
    here.inside(WEB, lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True))
    lost = explain("client", "--node", "--probe")
    assert lost.status == 0
    assert "no answer; this does not tell whether it was let through" in lost.out
    rules = rules.replace("prerouting priority -160", "output priority 0").replace(
        "drop", "reject with icmpx admin-prohibited"
    )
    client = ObjectName("demo", "client")
    there.inside(client, lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True))
    status, found = explain("client", "--node", "--probe", "-o", "json")
    assert status == 1
    assert "the policies say allowed, but the packet was" in " ".join(found["compared"]["differences"])


def test_wrong_questions_are_refused(explain, kubectl, tmp_path):  # noqa: F811 - a fixture
    for options, words in (
        (("--probe",), "add --node"),
        (("--node", str(tmp_path)), "leave out the manifests"),
        (("--node", "--agent-container", "A B"), "is not the name of a container"),
    ):
        ended = explain("client", *options)
        assert (ended.status, words in ended.err) == (2, True), ended.err
    assert not (kubectl.folder / "calls").exists()
    nobody = explain("nobody", "--node")
    assert (nobody.status, "there is no pod demo/nobody" in nobody.err) == (2, True)
