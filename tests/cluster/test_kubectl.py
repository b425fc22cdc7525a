"""`kubectl mnp` by the real kubectl: objects against packets, agents through exec, and the rights that it takes."""

import json
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from attrs import frozen

from scripts.testbed import place
from tests.cluster.manifests import from_pods, pod, policy
from tests.cluster.nodeagent import NAME, NAMESPACE, environment, kubectl
from tests.deploy.test_agent import build

NODE = "testbed"


@frozen
class Ended:
    status: int
    out: str
    err: str


def ask(*words, kubeconfig=place.KUBECONFIG, patience=60):
    """`kubectl mnp`, found by kubectl on PATH."""
    known = environment() | {"KUBECONFIG": str(kubeconfig), "COLUMNS": "200"}
    program = ("kubectl", "mnp", *map(str, words))
    done = subprocess.run(program, env=known, capture_output=True, text=True, timeout=patience, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def closed(agent, scene):
    """Of web, client and stranger the client alone reaches web, as packets show."""
    assert agent
    scene.run(*(pod(name, "red", labels={"app": name}) for name in ("web", "client", "stranger")))
    scene.apply(policy("close", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="client")]))
    scene.becomes("web client stranger", denied="stranger>web")
    return scene


@pytest.fixture
def user(agent, namespace, tmp_path):
    """Makes the kubeconfig of a user with the rights of some components of deploy/, or with none."""
    assert agent
    made = []

    def make(name, *roles):
        kubectl("--namespace", namespace, "create", "serviceaccount", name)
        for kind, role, *where in roles:
            command = ("create", f"{kind.lower()}binding", f"{namespace}-{name}-{role}", f"--{kind.lower()}={role}")
            kubectl(*where, *command, f"--serviceaccount={namespace}:{name}")
            made.append((*where, "delete", f"{kind.lower()}binding", f"{namespace}-{name}-{role}"))
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = kubectl("create", "--raw", path, "-f", "-", stdin="{}")  # kubectl of 1.20 has no `create token`
        token = json.loads(request)["status"]["token"]
        config = yaml.safe_load(place.KUBECONFIG.read_text())
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        path = tmp_path / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    yield make
    for words in made:
        kubectl(*words)


@pytest.fixture
def roles(bed, agent):
    """Those of the components reader and operator."""
    assert agent
    objects = [each for each in build("reader", "operator").values() if each["metadata"]["name"] != NAME]
    wanted = [each for each in objects if each["kind"] in {"ClusterRole", "Role"}]
    assert len(wanted) == 2
    for each in wanted:
        bed.objects.apply(each)
    yield
    for each in wanted:
        metadata = each["metadata"]
        bed.objects.delete(f"{each['apiVersion']}/{each['kind']}", metadata["name"], metadata.get("namespace", ""))


def test_answers_about_objects_are_those_of_packets(closed, tmp_path):
    where = closed.namespace
    ends = ("--to", f"{where}/web", "--port", "tcp:80", "-o", "json")
    for sender, verdict in (("client", "allowed"), ("stranger", "denied")):
        found = ask("explain", "--from", f"{where}/{sender}", *ends)
        assert found.status == 0, found.err
        assert {each["verdict"] for each in json.loads(found.out)["explanations"]} == {verdict}
    listed = ask("matrix", "-n", where, "--from", "stranger", "--from", "client", "--to", "web", "-o", "list")
    assert sorted(line.split()[0] for line in listed.out.splitlines()) == ["allowed", "denied"], listed.err
    change = policy("close", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="stranger")])
    (tmp_path / "change.json").write_text(json.dumps(change))
    told = ask("diff", tmp_path / "change.json", "-n", where, "--probe", "tcp:80", "--fail-on", "opened")
    assert told.status == 1, told.err
    assert f"opened  {where}/stranger -> {where}/web" in told.out
    closed.apply(change)
    closed.becomes("web client stranger", denied="client>web")


def test_kernels_and_a_real_packet_agree_with_the_objects(closed, agent):
    where = closed.namespace
    flow = ("--to", f"{where}/web", "--port", "tcp:80", "--node", "--probe")
    for sender, verdict, answers in (
        ("client", "allowed", {"answered", "refused"}),
        ("stranger", "denied", {"silent"}),
    ):
        found = ask("explain", "--from", f"{where}/{sender}", *flow, "-o", "json")
        assert found.status == 0, found.err + found.out + agent.log()
        compared = json.loads(found.out)["compared"]
        assert (compared["differences"], compared["unanswered"]) == ([], [])
        assert {(each["node"], each["name"], each["in-force"]) for each in compared["pods"]} == {
            (NODE, "web", True),
            (NODE, sender, True),
        }
        for way in compared["ways"]:
            assert (way["verdict"], way["probe"]["agrees"]) == (verdict, True)
            assert way["probe"]["answer"] in answers
    assert "probe packet sent" in agent.log()
    words = ask("explain", "--from", f"{where}/client", *flow)
    assert words.out.endswith("The kernels agree with the objects.\n")
    refused = ask("explain", "--from", f"{where}/client", "--to", f"{where}/web", "--port", "icmp", "--node", "--probe")
    assert (refused.status, "CAP_NET_RAW" in refused.err) == (2, True), refused.out + refused.err


def test_status_of_all_nodes_is_the_agents(closed, agent, figures):
    where = closed.namespace
    began = time.monotonic()
    found = ask("status")
    took = time.monotonic() - began
    figures.append(f"kubectl mnp status of one node by kubectl exec: {took:.1f} s")
    assert (found.status, found.err) == (0, ""), agent.log()
    assert found.out.startswith(f"{NODE}: ready, backend nftables")
    pod_rows = ask("status", "--pod", f"{where}/web").out.splitlines()
    assert any(line.split()[:4] == [f"{where}/web", "net1", f"{where}/red", "isolated:1"] for line in pod_rows)
    told = json.loads(ask("status", "-n", where, "-o", "json").out)
    assert told["unanswered"] == []
    assert {each["name"] for each in told["nodes"][0]["status"]["pods"]} == {"web", "client", "stranger"}


def test_top_counts_the_packets_of_a_policy(closed):
    where = closed.namespace
    closed.becomes("web client stranger", denied="stranger>web")
    found = ask("top", "--once", "-n", where, "-o", "json")
    assert found.status == 0, found.err
    rules = [each for node in json.loads(found.out)["nodes"] for each in node["rules"]]
    denied = [each["packets"] for each in rules if each["pod"] == f"{where}/web" and each["rule"] == "denied"]
    assert sum(denied) > 0


def test_agents_that_are_not_there_are_named(closed):
    assert closed
    found = ask("status", "--agent-selector", "app=nothing")
    assert (found.status, "no pods with the labels app=nothing" in found.err) == (2, True)
    found = ask("status", "--agent-container", "another")
    assert (found.status, f"node {NODE} does not answer" in found.err) == (2, True)
    assert "another" in found.err
    found = ask("status", "--agent-socket", "/nowhere")
    assert (found.status, "cannot ask the agent at /nowhere" in found.err) == (2, True)


def test_shipped_roles_are_enough_and_each_is_needed(closed, user, roles):
    """The ClusterRole mnp-reader for objects, the Role mnp-operator for agents."""
    assert roles is None
    assert closed
    nobody = user("nobody")
    refused = ask("matrix", kubeconfig=nobody)
    assert refused.status == 2
    for plural in ("pods", "namespaces", "multi-networkpolicies", "network-attachment-definitions"):
        assert f'resources: ["{plural}"], verbs: ["list"]' in refused.err
    refused = ask("status", kubeconfig=nobody)
    assert (refused.status, "Forbidden" in refused.err) == (2, True)

    reader = user("reader", ("ClusterRole", "mnp-reader"))
    assert ask("matrix", kubeconfig=reader).status == 0
    assert ask("status", kubeconfig=reader).status == 2

    operator = user("operator", ("Role", "mnp-operator", "--namespace", NAMESPACE))
    found = ask("status", kubeconfig=operator)
    assert (found.status, found.err) == (0, "")
    assert ask("matrix", kubeconfig=operator).status == 2


@pytest.fixture
def logging(closed, agent):
    """The agent logs denied packets; its settings are read when it starts."""
    agent.deploy(settings={"log-denied": "all"})
    agent.roll("log-denied")
    closed.becomes("web client stranger", denied="stranger>web")
    return closed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_denied_packets_are_a_stream_that_leaves_nothing_on_the_node(logging, number, figures):
    """Of packets; however `kubectl mnp` ends, nothing of it goes on in the agent's container."""
    where = logging.namespace
    program = ("kubectl", "mnp", "denied", "-f", "-n", where, "-o", "json")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, env=environment(), **streams) as following:
        logging.objects.wait_for("the agent is asked", lambda: followers(where))
        until = time.monotonic() + 60
        while not select.select([following.stdout], [], [], 0)[0]:
            assert time.monotonic() < until
            logging.becomes("web client stranger", denied="stranger>web")
        packet = json.loads(following.stdout.readline())
        figures.append(
            f"kubectl mnp denied -f: {memory(following.pid)} MiB, kubectl of a node: {memory(*children(following.pid))}"
        )
        following.send_signal(number)
    assert (packet["node"], packet["pod"], packet["peer"]) == (NODE, f"{where}/web", f"{where}/stranger")
    assert (packet["direction"], packet["protocol"], packet["destination_port"]) == ("ingress", "tcp", 80)
    logging.objects.wait_for("nothing is left", lambda: not followers(where), patience=10)


def test_a_node_whose_agent_ends_is_named(logging, agent):
    """And the last of them ends the stream."""
    where = logging.namespace
    program = ("kubectl", "mnp", "denied", "-f", "-n", where)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, env=environment(), **streams) as following:
        logging.objects.wait_for("the agent is asked", lambda: followers(where))
        agent.roll("again")
        assert following.wait(60) == 2
        assert f"Warning: node {NODE} is followed no longer: " in following.stderr.read()


def children(pid):
    """Of a process with several threads, those of each."""
    return [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]


def memory(pid):
    """MiB that no other process shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) // 1024


def followers(namespace):
    """Command lines of `mnp denied` in the agent's container that follow packets of a namespace."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_text().split("\0")
            if {"--attended", f"--namespace={namespace}"} <= {*words} and "exec" not in words:
                found.append(words)
    return found
