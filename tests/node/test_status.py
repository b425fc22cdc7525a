"""`mnp status` against a running agent: real pods of a lab, the socket of the program."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mnp_core.model import ObjectName
from mnp_nftables import NftablesApplier
from tests.cli.schemas import faults
from tests.node.program import BACKENDS, SOON, WEB

pytestmark = pytest.mark.root
CLIENT = ObjectName("demo", "client")


def mnp(*arguments):
    program = Path(sys.executable).with_name("mnp")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SOON, check=False)


def status(node, *arguments):
    done = mnp("status", "--socket", node.socket, "-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    assert faults("status", done.stdout) == []
    return json.loads(done.stdout)


def pod(answer, name):
    return next(each for each in answer["pods"] if each["name"] == name)


def test_status_tells_what_is_in_the_kernel_and_follows_changes(node):
    node.start()
    answer = status(node)
    assert answer["node"]["name"] == "here"
    assert answer["node"]["ready"] is True
    web = pod(answer, "web")
    assert web["condition"] == "InForce"
    assert web["digest"] == node.inside(WEB, NftablesApplier().installed).digest
    assert (web["backend"], web["dialect"]) == ("nftables", "nftables")
    ingress = [each["ingress"] for each in web["interfaces"]]
    assert ingress == [
        {
            "isolated": True,
            "policies": ["MultiNetworkPolicy demo/web-allow-client", "MultiNetworkPolicy demo/web-deny"],
            "audit-policies": [],
        }
    ]
    assert [each["egress"] for each in web["interfaces"]] == [{"isolated": False, "policies": [], "audit-policies": []}]
    assert [group["members"] for group in web["groups"]] == [1]
    assert web["last-change"]["result"] == "applied"
    assert web["in-force-since"] <= answer["node"]["time"]
    shows_forms_and_selections(node)
    node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
    node.until(lambda: pod(status(node), "web")["digest"] == node.inside(WEB, NftablesApplier().installed).digest)
    node.until(lambda: len(pod(status(node), "web")["interfaces"][0]["ingress"]["policies"]) == 1)
    assert pod(status(node), "web")["in-force-since"] > web["in-force-since"]


def shows_forms_and_selections(node):
    table = mnp("status", "--socket", node.socket).stdout
    assert "demo/web " in table
    assert "isolated:2" in table
    assert "here: ready, backend nftables" in table
    wide = mnp("status", "--socket", node.socket, "-o", "wide", "--pod", "demo/web").stdout
    assert "demo/web-allow-client,demo/web-deny" in wide
    assert "demo/stranger" not in wide
    chosen = yaml.safe_load(mnp("status", "--socket", node.socket, "-o", "yaml", "--network", "demo/data").stdout)
    assert {each["name"] for each in chosen["pods"]} == {each["name"] for each in status(node)["pods"]}
    assert status(node, "-n", "elsewhere")["pods"] == []
    missing = mnp("status", "--socket", node.socket, "--pod", "demo/nobody")
    assert missing.returncode == 2
    assert "demo/nobody is not on this node" in missing.stderr


def test_the_socket_is_roots_alone_and_outlives_a_killed_agent(node):
    node.start()
    assert stat.S_IMODE(node.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.socket.parent.stat().st_mode) == 0o700
    node.end(signal.SIGKILL)
    assert node.socket.is_socket()
    gone = mnp("status", "--socket", node.socket)
    assert gone.returncode == 2
    assert "nobody listens there" in gone.stderr
    node.start()
    assert status(node)["node"]["ready"] is True
    node.socket.unlink()
    node.end()
    assert not node.socket.exists()


@pytest.mark.parametrize("backend", ["nftables", pytest.param("iptables-nft", marks=pytest.mark.full)])
def test_top_counts_the_packets_of_each_rule(node, backend):
    """S11: the client's packets by the rule that allows them, the stranger's as denied."""
    node.set(backend=backend)
    node.start()
    program = Path(sys.executable).with_name("mnp")
    command = [program, "top", "--socket", node.socket, "-o", "json", "--interval", "1", "-n", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
        try:
            seen = {}
            while not {"MultiNetworkPolicy demo/web-allow-client ingress[0]", "denied"} <= seen.keys():
                assert node.allowed() == {"client"}
                line = top.stdout.readline()
                assert faults("top", line) == []
                answer = json.loads(line)
                assert answer["unread"] == []
                seen |= {
                    rule["rule"]: rule
                    for rule in answer["rules"]
                    if rule["pod"] == "demo/web" and rule["packets-per-second"] > 0
                }
        finally:
            top.kill()
    assert seen["denied"]["direction"] == "Ingress"
    assert seen["denied"]["bytes"] >= 40 * seen["denied"]["packets"], "an IP and a TCP header each"
    once = mnp("top", "--socket", node.socket, "--once", "--interval", "0.5", "--pod", "demo/web")
    assert once.returncode == 0
    assert {line.split()[0] for line in once.stdout.splitlines()} == {"POD", "demo/web"}
    nobody = mnp("top", "--socket", node.socket, "--once", "--pod", "demo/nobody")
    assert (nobody.returncode, "demo/nobody is not on this node" in nobody.stderr) == (2, True)


def test_compare_agrees_with_the_kernel_and_shows_the_deciding_counter_move(node):
    """S11: packets of the client move that of the rule that allows them, those of the stranger that of denials."""
    node.start()
    ends = {
        "client": ("MultiNetworkPolicy demo/web-allow-client ingress[0]", "allowed"),
        "stranger": ("denied", "denied"),
    }
    for source, (counter, verdict) in ends.items():
        command = [
            "compare",
            "--socket",
            node.socket,
            "--from",
            f"demo/{source}",
            "--to",
            "demo/web",
            "--port",
            "tcp:80",
        ]
        before = mnp(*command, "-o", "json")
        assert faults("compare", before.stdout) == []
        node.allowed()
        answers = [json.loads(text) for text in (before.stdout, mnp(*command, "-o", "json").stdout)]
        assert [pod["in-force"] for answer in answers for pod in answer["pods"]] == [True] * 4
        ways = [answer["ways"][0] for answer in answers]
        assert {(way["verdict"], way["ingress"]["counter"]) for way in ways} == {(verdict, counter)}
        first, second = ((way["ingress"]["after"] or {"packets": 0})["packets"] for way in ways)
        assert second > first
    digest = node.inside(WEB, NftablesApplier().installed).digest
    words = mnp(*command)
    assert (words.returncode, f"digest {digest[:12]}" in words.stdout) == (0, True)
    assert mnp("compare", "--socket", node.socket, "--from", "x", "--to", "demo/web").returncode == 2


def compared(node, source, destination, port, *options):
    where = ("compare", "--socket", node.socket, "--from", f"demo/{source}", "--to", f"demo/{destination}")
    done = mnp(*where, "--port", port, "-o", "json", *options)
    assert done.returncode in {0, 1}, done.stderr
    assert faults("compare", done.stdout) == []
    return done.returncode, json.loads(done.stdout)["ways"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_probe_is_one_real_packet_whose_fate_is_the_verdict(node, backend):
    """S11: nothing listens on port 80 of web, so the client's is refused, the stranger's never answered."""
    node.set(backend=backend)
    node.start()
    expected = {
        ("client", "tcp:80"): ("allowed", "refused", True),
        ("stranger", "tcp:80"): ("denied", "silent", True),
        ("client", "udp:53"): ("denied", "silent", True),
        ("stranger", "icmp"): ("denied", "silent", True),
    }
    sent = 0
    for (source, port), found in expected.items():
        status, ways = compared(node, source, "web", port, "--probe")
        sent += len(ways)
        assert {(way["verdict"], way["probe"]["answer"], way["probe"]["agrees"]) for way in ways} == {found}
        assert status == 0
        for way in ways:
            assert way["ingress"]["after"]["packets"] == (way["ingress"]["before"] or {"packets": 0})["packets"] + 1
    open_ways = compared(node, "web", "client", "icmp", "--probe")[1]
    assert {way["probe"]["answer"] for way in open_ways} == {"answered"}
    lines = [line for line in node.log.read_text().splitlines() if 'msg="probe packet sent"' in line]
    assert len(lines) == sent + len(open_ways)
    assert all(" uid=0" in line for line in lines)


@pytest.mark.full
def test_a_probe_that_meets_something_else_than_the_policies_contradicts_them(node):
    node.start()
    refuses_wrong_probes(node)
    rules = (
        "table inet mesh {\n chain out {\n  type filter hook output priority 10;\n"
        "  tcp dport 80 reject with icmpx admin-prohibited\n }\n}\n"
    )
    node.inside(CLIENT, lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True))
    status, ways = compared(node, "client", "web", "tcp:80", "--probe")
    assert {(way["verdict"], way["probe"]["answer"], way["probe"]["agrees"]) for way in ways} == {
        ("allowed", "rejected", False)
    }
    assert status == 1


WRONG_PROBES = [
    (["--from", "192.0.2.1", "--to", "demo/web"], "192.0.2.1 is none"),
    (["--from", "demo/nobody", "--to", "demo/web"], "knows no pod demo/nobody"),
    (["--from", "demo/client", "--to", "224.0.0.1"], "224.0.0.1 is no address of one host"),
    (["--from", "demo/client", "--to", "demo/web", "--port", "tcp:0"], "none of tcp:80"),
]


def refuses_wrong_probes(node):
    for arguments, words in WRONG_PROBES:
        done = mnp("compare", "--socket", node.socket, "--probe", *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "probe packet sent" not in node.log.read_text()
