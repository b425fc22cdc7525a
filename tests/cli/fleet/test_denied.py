"""`kubectl mnp denied` with a stand-in for kubectl: last packets of all nodes, and streams of them."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mnp_core.cli.attended import SILENCE_SECONDS
from tests.cli.schemas import faults


def packet(pod="shop/web", at="2026-01-31T12:00:00.000Z", **about):
    known = {"time": at, "verdict": "denied", "pod": pod, "interface": "net1", "networks": ["shop/data"]}
    known |= {"direction": "ingress", "protocol": "tcp", "source": "10.1.0.9", "source_port": 4000}
    known |= {"destination": "10.1.0.2", "destination_port": 80, "tcp_flags": ["SYN"], "policies": ["shop/close"]}
    known |= {"length": 60, "opens_flow": True, "labels": {}, "peer_labels": {}}
    return known | about


def lines(*packets):
    return "; ".join(f"echo '{json.dumps(each)}'" for each in packets) or ":"


def test_last_packets_of_all_nodes_are_in_order_of_time(kubectl, kubectl_mnp):
    kubectl.agent("alpha", lines(packet("shop/a", "2026-01-31T12:00:02Z"), packet("shop/b", "2026-01-31T12:00:00Z")))
    kubectl.agent("beta", lines(packet("shop/c", "2026-01-31T12:00:01Z")))
    kubectl.agent("gamma", lines())
    found = kubectl_mnp("denied", "-n", "shop")
    assert (found.status, found.err) == (0, "")
    words = [line.split() for line in found.out.splitlines()]
    assert [(each[0], each[4]) for each in words] == [("alpha", "shop/b"), ("beta", "shop/c"), ("alpha", "shop/a")]
    assert kubectl.calls()[1].endswith(" -- mnp denied --namespace=shop --output=json")


def test_json_is_a_packet_a_line_with_its_node(kubectl, kubectl_mnp):
    kubectl.agent("alpha", lines(packet() | {"node": "beta"}))
    kubectl.agent("gamma", "exit 1")
    found = kubectl_mnp("denied", "-o", "json")
    assert found.status == 1
    assert faults("kubectl-mnp-denied", found.out) == []
    assert [json.loads(line) for line in found.out.splitlines()] == [packet() | {"node": "alpha"}]
    assert "node gamma does not answer" in found.err


def test_packets_of_all_nodes_suggest_policies(kubectl, kubectl_mnp):
    peer = {"peer": "shop/client", "peer_labels": {"app": "client"}, "labels": {"app": "web"}}
    kubectl.agent("alpha", lines(packet(**peer)))
    found = kubectl_mnp("denied", "--suggest")
    assert found.status == 0
    assert "Traceback" not in found.err
    for arguments in (("--follow",), ("-o", "json")):
        assert kubectl_mnp("denied", "--suggest", *arguments).status == 2


class Following:
    """`kubectl mnp denied -f -o json` as a process."""

    def __init__(self, *arguments):
        command = [
            sys.executable,
            "-c",
            "from mnp_core.cli.fleet.app import main; main()",
            "denied",
            "-f",
            "-o",
            "json",
        ]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def packet(self):
        return json.loads(self.process.stdout.readline())

    def remark(self):
        return self.process.stderr.readline()

    def end(self):
        self.process.send_signal(2)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err.strip()


def gone(folder, name):
    """Whether the process with its number in a file has ended."""
    end = time.monotonic() + 5
    while (running := Path(f"/proc/{(folder / name).read_text().strip()}").exists()) and time.monotonic() < end:
        time.sleep(0.02)
    return not running


def test_packets_of_all_nodes_are_printed_as_they_come_until_ctrl_c(kubectl):
    """Each kubectl ends with its children."""
    for node in ("alpha", "beta"):
        go = kubectl.folder / f"go-{node}"
        script = f"echo; sleep 60 & echo $! > {kubectl.folder}/{node}"
        kubectl.agent(node, f"{script}; until [ -e {go} ]; do sleep 0.02; done; {lines(packet(f'shop/{node}'))}; cat")
    following = Following("-n", "shop", "--network", "shop/data", "--since", "60", "--timeout", "120")
    for node in ("beta", "alpha"):
        (kubectl.folder / f"go-{node}").touch()
        assert following.packet() == packet(f"shop/{node}") | {"node": node}
    assert following.end() == (130, "", "interrupted")
    assert gone(kubectl.folder, "alpha")
    assert gone(kubectl.folder, "beta")
    words = "-- mnp denied --namespace=shop --network=shop/data --since=60 --follow --attended"
    assert all(" --stdin=true " in call and call.endswith(words) for call in kubectl.calls()[1:])


@pytest.mark.full
def test_a_program_on_a_node_learns_that_the_caller_is_there(kubectl):
    """Empty lines, more often than it waits for one."""
    kubectl.agent("alpha", f"echo; read line && {lines(packet())}; cat")
    following = Following("--timeout", "60")
    began = time.monotonic()
    assert following.packet()["node"] == "alpha"
    assert time.monotonic() - began < SILENCE_SECONDS / 2
    assert following.end()[0] == 130


def test_nodes_that_end_or_fall_silent_are_named_and_others_go_on(kubectl):
    kubectl.agent(
        "alpha", f"while echo; do sleep 0.1; [ -e {kubectl.folder}/go ] && {{ {lines(packet())}; cat; }}; done"
    )
    kubectl.agent("beta", "echo; echo Error: the agent has gone >&2; exit 1")
    kubectl.agent("gamma", "sleep 60")
    kubectl.agent("delta", "yes x | tr -d '\\n'")
    kubectl.agent("omega", phase="Pending")
    following = Following("--timeout", "1")
    remarks = sorted(following.remark() for _ in range(4))
    reasons = {
        "beta": "Error: the agent has gone",
        "delta": "it writes a line without an end",
        "gamma": "nothing was heard for 1 seconds",
        "omega": "its agent's pod mnp-node-4 is Pending",
    }
    assert remarks == [f"Warning: node {node} is followed no longer: {why}\n" for node, why in reasons.items()]
    (kubectl.folder / "go").touch()
    assert following.packet()["node"] == "alpha"
    assert following.end()[0] == 130


def test_it_ends_when_no_node_is_left(kubectl, kubectl_mnp):
    kubectl.agent("alpha", "echo Error: this node logs nothing >&2; exit 2")
    found = kubectl_mnp("denied", "-f")
    assert (found.status, found.out) == (2, "")
    assert found.err == "Warning: node alpha is followed no longer: Error: this node logs nothing\n"


def test_a_slow_reader_makes_no_node_wait_and_misses_lines(kubectl):
    """40,000 lines are more than a pipe and the queue hold."""
    (kubectl.folder / "packet").write_text(json.dumps(packet()) + "\n")
    many = f'yes "$(cat {kubectl.folder}/packet)" | head -40000'
    kubectl.agent("alpha", f"{many}; touch {kubectl.folder}/done; cat")
    following = Following("--timeout", "120")
    end = time.monotonic() + 30
    while not (kubectl.folder / "done").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (kubectl.folder / "done").exists()
    with ThreadPoolExecutor(1) as pool:
        printed = pool.submit(lambda: sum(1 for _ in following.process.stdout))
        missed = re.fullmatch(r"Warning: node alpha: (\d+) packets were left out: .*\n", following.remark())
        following.process.send_signal(2)
        assert following.process.wait(10) == 130
    following.process.stdout.close()
    following.process.stderr.close()
    assert int(missed[1]) > 10_000
    assert printed.result() > 0


def test_packets_that_the_agent_left_out_are_named_with_the_node(kubectl, kubectl_mnp):
    kubectl.agent("alpha", f"{lines(packet())}; echo '{{\"missed\": 7}}'")
    found = kubectl_mnp("denied", "-f")
    assert len(found.out.splitlines()) == 1
    assert "Warning: node alpha: 7 packets were left out: the reader is too slow\n" in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "soon"], "'soon' is not a number of seconds"),
        (["-f", "--since", "-1"], "-1.0 is not in the range"),
        (["--network", "a/b/c"], "'a/b/c' is not a name"),
        (["-f", "--node", "nowhere"], "there is no agent on node nowhere"),
    ],
)
def test_wrong_input_is_one_clear_message(kubectl, kubectl_mnp, arguments, message):
    kubectl.agent("alpha", lines(packet()))
    found = kubectl_mnp("denied", *arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err


def test_text_of_nodes_cannot_steer_the_terminal(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=packet("shop/\x1b[2Ja\nForged", policies=["\u202e\x9b", 7], tcp_flags={}, source=[]))
    found = kubectl_mnp("denied")
    assert found.status == 0, found.err
    assert len(found.out.splitlines()) == 1
    assert not set(found.out) & set("\x1b\x9b\u202e")
