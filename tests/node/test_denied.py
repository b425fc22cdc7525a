"""The log of denied packets, by the program of a node and by its parts: real rules, real packets."""

import json
import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
import yaml

from mnp_core.model import DeniedLog, ObjectName
from mnp_core.netfilter.headers import parse_headers
from mnp_core.netfilter.nflog import open_group
from mnp_core.node.denied_reader import DeniedReader
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_core.testing.policies import DENY, only
from mnp_nftables import NftablesApplier, NftablesRenderer
from tests.cli.schemas import faults
from tests.node.program import SOON, WEB

pytestmark = pytest.mark.root
ANNOTATION = "mnp.k8s.cni.cncf.io/log-denied"
POD, OTHER = ObjectName("demo", "pod"), ObjectName("demo", "other")
UNLIMITED = f"""
table inet theirs {{
    chain in {{
        type filter hook prerouting priority -300
        log prefix "mnp denied ingress 6e657431" group {DeniedLog().group}
    }}
}}
"""


# --- the program ----------------------------------------------------------------------------------------------------


def lines(node):
    return [line for line in node.log.read_text().splitlines() if 'msg="packet denied"' in line]


def test_a_denied_packet_is_logged_with_pod_policies_and_peer(node):
    """And counted by namespace; allowed ones are not."""
    node.set(log_denied="all")
    node.start()
    assert node.allowed() == {"client"}
    node.until(lambda: lines(node))
    (line, *_) = lines(node)
    for words in (
        "verdict=denied pod=demo/web interface=net1",
        "direction=ingress",
        "MultiNetworkPolicy demo/web-allow-client",
        "protocol=tcp",
        "destination_port=80",
        "SYN",
        "peer=demo/stranger",
    ):
        assert words in line
    assert not [line for line in lines(node) if "peer=demo/client" in line and "destination_port=80" in line]
    assert node.metric('mnp_denied_packets_logged_total{namespace="demo"}') >= 1


@pytest.mark.full
def test_a_namespace_turns_its_log_on_and_off(node):
    """Off, the rules have nothing of it; a value that is neither true nor false is reported, and off."""
    node.set(log_denied="annotated")
    node.start()
    assert "log prefix" not in node.inside(WEB, nft.listing)
    namespace = node.raw("Namespace", "demo")

    def annotate(value):
        node.server.put(
            "namespaces", {**namespace, "metadata": {**namespace["metadata"], "annotations": {ANNOTATION: value}}}
        )

    annotate("true")
    node.until(lambda: "log prefix" in node.inside(WEB, nft.listing))
    node.until(lambda: (node.allowed(), lines(node))[1])
    annotate("\x1b[31myes")
    node.until(lambda: "log prefix" not in node.inside(WEB, nft.listing))
    node.until(lambda: node.problems("Malformed"))
    assert "is neither true nor false" in node.problems("Malformed")[0]


def test_a_group_that_a_process_in_the_pod_reads_is_reported_and_rules_are_in_force(node):
    """Nothing but the log depends on it."""
    node.set(log_denied="all", denied_log_group=7)
    with node.inside(WEB, lambda: open_group(7, 64)):
        node.start()
        assert node.allowed() == {"client"}
        node.until(lambda: "denied packets are not logged" in node.log.read_text())
        assert "NFLOG group 7 cannot be read" in node.log.read_text()
        assert lines(node) == []


def mnp(node, *arguments, **streams):
    program = Path(sys.executable).with_name("mnp")
    command = [program, "denied", "--socket", node.socket, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams)


def packets(node, *arguments):
    out, err = mnp(node, "-o", "json", *arguments).communicate(timeout=SOON)
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def test_packets_are_shown_by_the_agent_and_as_they_come(node):
    """`mnp denied`, with a follower that selects and one that reads nothing."""
    node.set(log_denied="all")
    node.start()
    lazy = mnp(node, "-f")
    with mnp(node, "-f", "-o", "json", "--pod", "demo/web") as follower:
        node.until(lambda: (node.allowed(), select.select([follower.stdout], [], [], 0)[0])[1])
        first = json.loads(follower.stdout.readline())
        follower.terminate()
    lazy.kill()
    lazy.communicate()
    assert (first["pod"], first["peer"], first["destination_port"]) == ("demo/web", "demo/stranger", 80)
    assert faults("denied", json.dumps(first)) == []
    assert first["labels"] == node.raw("Pod", "web")["metadata"]["labels"]
    node.until(lambda: first in packets(node))
    kept = packets(node, "--since", "600")
    assert first in kept
    assert packets(node, "--since", "0") == []
    with mnp(node, "-f", "--attended", "--since", "600", stdin=subprocess.PIPE) as attended:
        written = (line for line in attended.stdout if line != "\n")  # which is a sign of life
        assert [json.loads(line) for line in islice(written, len(kept))] == kept
        attended.stdin.close()
        assert attended.wait(SOON) == 141  # the caller has gone
    assert packets(node, "-n", "elsewhere") == []
    out, _ = mnp(node, "--suggest").communicate(timeout=SOON)
    (policy,) = yaml.safe_load_all(out)
    assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 80}]
    node.server.put("multi-networkpolicies", policy)
    node.until(lambda: node.allowed() == {"client", "stranger"})


@pytest.mark.full
def test_where_the_log_is_off_the_answer_says_so(node):
    node.start()
    for options in ([], ["-f"]):
        shown = mnp(node, *options)
        _, err = shown.communicate(timeout=SOON)
        assert shown.returncode == 2
        assert "set log-denied to all or annotated" in err


# --- the reader -----------------------------------------------------------------------------------------------------


class Wire:
    """A pod that is denied everything, and its neighbour."""

    def __init__(self, pod, peer, limits):
        self.pod, self.peer, self.limits = pod, peer, limits
        veth_pair(End(pod, "net1", ("10.0.0.1/24",)), End(peer, "out", ("10.0.0.2/24",)))
        run_inside(
            pod, lambda: NftablesApplier().apply(NftablesRenderer().render(only(ingress=DENY, denied_log=limits)))
        )
        self.sender = run_inside(peer, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def open(self):
        return run_inside(self.pod, lambda: open_group(self.limits.group, self.limits.size))

    def send(self, count=1):
        for _ in range(count):
            self.sender.sendto(b"denied", ("10.0.0.1", 80))

    def send_for(self, seconds):
        """As fast as one process can; returns the number of packets."""
        sent, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.send(100)
            sent += 100
        return sent


@contextmanager
def wire(limits=DeniedLog()):  # noqa: B008 # a frozen value
    with private_namespace() as pod, private_namespace() as peer:
        made = Wire(pod, peer, limits)
        with made.sender:
            yield made


@pytest.fixture
def heard():
    return []


@pytest.fixture
def reader(heard):
    reader = DeniedReader(DeniedLog(), lambda pod, packet: heard.append(pod) if is_ours(packet) else None)
    yield reader
    reader.close()


def is_ours(packet):
    """Not what the kernel sends of its own, such as multicast listener reports."""
    return parse_headers(packet.payload).protocol == socket.IPPROTO_UDP


def soon(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_slow_sender_is_logged_completely(reader, heard):
    """Ten packets a second, each of them."""
    with wire() as pod:
        reader.listen(POD, pod.open())
        for _ in range(15):
            pod.send()
            time.sleep(0.1)
        soon(lambda: len(heard) == 15)


def test_a_fast_sender_is_logged_within_the_limit_and_drowns_nobody(reader, heard, figures):
    """As fast as a process can send, while another pod has its ten packets."""
    with wire() as pod, wire() as other:
        reader.listen(POD, pod.open())
        reader.listen(OTHER, other.open())
        began = time.monotonic()
        sent = 0
        for _ in range(10):
            sent += pod.send_for(0.1)
            other.send()
        seconds = time.monotonic() - began
        soon(lambda: heard.count(OTHER) == 10)
        figures += [
            f"denied packets: {sent / seconds:,.0f} a second sent, {heard.count(POD)} logged in {seconds:.1f} s"
        ]
        assert DeniedLog().burst <= heard.count(POD) <= DeniedLog().burst + DeniedLog().rate * (seconds + 1)


@pytest.mark.full
def test_rules_of_a_pod_that_log_without_limit_are_limited_too(reader, heard):
    """A process with NET_ADMIN writes to our group as fast as it can."""
    with wire() as pod, wire() as other:
        run_inside(pod.pod, lambda: nft.load(UNLIMITED))
        reader.listen(POD, pod.open())
        reader.listen(OTHER, other.open())
        began = time.monotonic()
        for _ in range(5):
            pod.send_for(0.1)
            other.send()
        seconds = time.monotonic() - began
        soon(lambda: heard.count(OTHER) == 5)
        assert heard.count(POD) <= DeniedLog().burst + DeniedLog().rate * (seconds + 1)


def test_a_pod_that_ends_while_it_is_read_is_forgotten(reader, heard):
    """Its namespace goes with it: nothing of the reader's keeps it alive, and the next pod is read."""
    with wire() as pod:
        reader.listen(POD, pod.open())
        pod.send(1000)
        soon(lambda: heard)
        reader.forget(POD)
        assert reader.pods == frozenset()
    with wire() as pod:
        reader.listen(POD, pod.open())
        heard.clear()
        pod.send()
        soon(lambda: heard == [POD])
    assert reader.thread.alive
