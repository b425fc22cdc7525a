"""`mnp trace` against a running agent: packets through the rules of real pods, as the kernel tells of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnp_core.model import ObjectName
from mnp_nftables import NftablesApplier
from tests.cli.schemas import faults
from tests.node.program import BACKENDS, SOON, WEB

pytestmark = pytest.mark.root
CLIENT = ObjectName("demo", "client")
PROGRAM = Path(sys.executable).with_name("mnp")
ALLOWED = "MultiNetworkPolicy demo/web-allow-client ingress[0]"


def trace(node, source, *options, port="tcp:80"):
    """The packets by pod."""
    where = ("--socket", node.socket, "--from", f"demo/{source}", "--to", "demo/web", "--port", port)
    command = [PROGRAM, "trace", *where, "-o", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOON, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert faults("trace", done.stdout) == []
    return done.returncode, json.loads(done.stdout)["packets"]


def tables(node, pod):
    listed = ["nft", "list", "tables"]
    return node.inside(pod, lambda: subprocess.run(listed, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_trace_names_the_rule_that_decides_as_packets_show(node, backend):
    """S11, on the way of one packet: rule by rule, in both pods."""
    node.set(backend=backend)
    node.start()
    assert node.allowed() == {"client"}
    for source, rule, verdict in (("client", ALLOWED, "allowed"), ("stranger", "denied", "denied")):
        status, packets = trace(node, source, "--probe")
        assert status == 0
        assert {packet["pod"]: packet["verdict"] for packet in packets} == {
            f"demo/{source}": "allowed",
            "demo/web": verdict,
        }
        (web,) = [packet for packet in packets if packet["pod"] == "demo/web"]
        assert (web["protocol"], web["port"]) == ("TCP", 80)
        assert web["flags"] == ["SYN"]
        decided = [step for step in web["steps"] if step["rule"]]
        assert [(step["interface"], step["direction"], step["rule"]) for step in decided] == [
            ("net1", "Ingress", rule)
        ], web["steps"]
    assert "mnp-trace" not in tables(node, WEB)
    assert "drift" not in node.log.read_text().lower()


@pytest.mark.full
def test_nothing_remains_of_a_trace_whose_agent_is_killed(node):
    node.start()
    generation = node.inside(WEB, NftablesApplier().generation)
    where = ("--socket", node.socket, "--from", "demo/client", "--to", "demo/web", "--port", "tcp:80")
    command = [PROGRAM, "trace", *where, "--seconds", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout.readline().startswith("Tracing demo/client -> ")
        assert "mnp-trace" in tables(node, WEB)
        assert "mnp-trace" in tables(node, CLIENT)
        time.sleep(1.5)  # for a check of the rules, which the agent does after a foreign commit
        assert "drift" not in node.log.read_text().lower()
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        assert waiting.wait(SOON) == 2
    for pod in (WEB, CLIENT):
        assert "mnp-trace" not in tables(node, pod)
    assert node.inside(WEB, NftablesApplier().generation) > generation
    assert node.inside(WEB, NftablesApplier().installed) is not None


@pytest.mark.full
def test_packets_of_others_are_not_traced_and_time_and_number_are_limits(node):
    node.start()
    began = time.monotonic()
    assert trace(node, "stranger", "--seconds", "0.5")[0] == 1
    assert time.monotonic() - began < 10
    where = ("--socket", node.socket, "--from", "demo/client", "--to", "demo/web", "--port", "tcp:80", "-o", "json")
    with subprocess.Popen(
        [PROGRAM, "trace", *where, "--seconds", "8", "--packets", "2"], stdout=subprocess.PIPE, text=True
    ) as waiting:
        until = time.monotonic() + 6
        while "mnp-trace" not in tables(node, WEB):
            assert time.monotonic() < until
        for _ in range(4):
            node.allowed()  # by all pods, also the stranger
        packets = json.loads(waiting.communicate(timeout=SOON)[0])["packets"]
    assert {packet["pod"] for packet in packets} == {"demo/client", "demo/web"}
    assert len(packets) == 4, "two in each pod"
    refuses_wrong_questions(node)


def refuses_wrong_questions(node):
    for arguments, status, words in (
        (["--from", "demo/nobody", "--to", "demo/web"], 2, "knows no pod demo/nobody"),
        (["--from", "192.0.2.1", "--to", "192.0.2.2"], 2, "no way between"),
        (["--from", "demo/client", "--to", "demo/web", "--packets", "0"], 2, "0 is not in the range"),
        (["--from", "demo/client", "--to", "demo/web", "--seconds", "61"], 2, "61"),
        (["--from", "192.0.2.1", "--to", "demo/web", "--probe"], 2, "192.0.2.1 is none"),
    ):
        command = [PROGRAM, "trace", "--socket", node.socket, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SOON, check=False)
        assert (done.returncode, words in done.stderr) == (status, True), (done.stderr, os.environ.get("COLUMNS"))
