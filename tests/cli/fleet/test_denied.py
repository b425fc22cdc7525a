"""`kubectl mnp denied` with a stand-in for kubectl: last packets of all nodes, and streams of them."""

import json
import subprocess
import sys
import time

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
    assert kubectl.calls()[1].endswith(" -- mnp denied --output=json --namespace=shop")


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


def test_new_packets_are_printed_once_as_they_come(kubectl):
    """Those before the first look are not new."""
    old, new = lines(packet("shop/a")), lines(packet("shop/b"))
    kubectl.agent("alpha", f"{old}; [ -e {kubectl.folder}/seen ] && {{ {new}; }}; touch {kubectl.folder}/seen")
    command = [sys.executable, "-c", "from mnp_core.cli.fleet.app import main; main()", "denied", "-f", "-o", "json"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert json.loads(program.stdout.readline())["pod"] == "shop/b"
    time.sleep(1.5)
    program.send_signal(2)
    out, _ = program.communicate(timeout=10)
    assert (program.returncode, out) == (130, "")


def test_text_of_nodes_cannot_steer_the_terminal(kubectl, kubectl_mnp):
    kubectl.agent("alpha", answer=packet("shop/\x1b[2Ja\nForged", policies=["\u202e\x9b", 7], tcp_flags={}, source=[]))
    found = kubectl_mnp("denied")
    assert found.status == 0, found.err
    assert len(found.out.splitlines()) == 1
    assert not set(found.out) & set("\x1b\x9b\u202e")
