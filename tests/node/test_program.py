"""The program as it runs on a node: real pods of a lab, a process of its own, and an API server over HTTP."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mnp_core.lab.lab import Lab
from mnp_core.lab.probe import ProbeSpec
from mnp_core.model import ObjectName, Protocol
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.manifests import load_documents
from mnp_core.testing import nft
from mnp_core.testing.apiserver import FakeApiServer
from mnp_nftables import NftablesApplier

pytestmark = pytest.mark.root
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PLURALS = {
    "Pod": "pods",
    "Namespace": "namespaces",
    "NetworkAttachmentDefinition": "network-attachment-definitions",
    "MultiNetworkPolicy": "multi-networkpolicies",
}
SOON = 30
LAB = "node"
WEB = ObjectName("demo", "web")
applier = NftablesApplier()


class Node:
    """A lab whose objects an API server has, and the program that polices it."""

    def __init__(self, lab, server, folder):
        self.lab, self.server = lab, server
        self.settings = folder / "settings.yaml"
        locator = {"sandbox-locator": "lab", "sandbox-locator-settings": {"lab": LAB}}
        self.settings.write_text(yaml.safe_dump({**locator, "listen": "127.0.0.1:0"}))
        self.log = folder / "log"
        self.process = None

    def start(self):
        program = Path(sys.executable).with_name("multi-network-policy-node")
        options = ["--settings", self.settings, "--master", self.server.url, "--hostname-override", "here"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([program, *options], stderr=log)
        self.until(lambda: "msg=ready" in self.log.read_text())

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(SOON)

    def until(self, true):
        end = time.monotonic() + SOON
        while not true():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def allowed(self):
        """Who reaches web on TCP port 80, by packets."""
        probes = self.lab.plan_probes([ProbeSpec(protocol=Protocol.TCP, port=80)], destinations=frozenset({WEB}))
        return {result.probe.source.name for result in self.lab.probe(probes, 0.3) if result.verdict == "allowed"}

    def inside(self, pod, work):
        return run_inside(self.lab.sandbox(pod), work)


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    lab = Lab.up(LAB, load_documents([QUICKSTART / "cluster.yaml", QUICKSTART / "policy.yaml"]))
    found = None
    try:
        with FakeApiServer() as server:
            for document in lab.objects.values():
                raw = document.raw
                if raw["kind"] == "Pod":
                    raw["spec"]["nodeName"] = "here"
                server.put(PLURALS[raw["kind"]], raw)
            found = Node(lab, server, tmp_path)
            yield found
    finally:
        if found is not None and found.process is not None and found.process.poll() is None:
            found.process.kill()
            found.process.wait()
        lab.down()


def test_what_the_api_server_says_holds_for_packets_and_goes_on_holding(node):
    """S61, S62."""
    assert node.allowed() == {"client", "stranger"}
    node.start()
    assert node.allowed() == {"client"}
    node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
    node.until(lambda: node.allowed() == set())
    assert node.end() == 0
    assert "rules stay in force" in node.log.read_text()
    assert node.allowed() == set()
    generation = node.inside(WEB, applier.generation)
    node.start()
    assert node.inside(WEB, applier.generation) == generation


def test_rules_that_somebody_takes_away_are_back_within_two_seconds(node):
    """S63, S49: and those of others stay."""
    node.start()
    ruleset = node.inside(WEB, applier.installed)
    node.inside(WEB, lambda: nft.load(nft.FOREIGN))
    foreign = node.inside(WEB, nft.foreign_listing)
    began = time.monotonic()
    node.inside(WEB, applier.remove)
    node.until(lambda: node.inside(WEB, applier.installed) == ruleset)
    assert time.monotonic() - began < 2 * 3, "three times as long as promised, for a machine that has much to do"
    assert node.inside(WEB, nft.foreign_listing) == foreign
    node.until(lambda: "drift" in node.log.read_text())


def test_a_killed_agent_leaves_the_rules_and_the_next_one_removes_what_is_stale(node):
    """S62."""
    node.start()
    node.end(signal.SIGKILL)
    assert node.allowed() == {"client"}
    for name in ("web-allow-client", "web-deny"):
        node.server.delete("multi-networkpolicies", name, "demo")
    node.start()
    assert node.allowed() == {"client", "stranger"}


def test_a_setting_that_the_backend_refuses_ends_the_program_at_once_with_the_remedy(tmp_path):
    """One error at the start, not one in every pod for ever."""
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        yaml.safe_dump({"backend": "example", "established-flows": "recheck", "sandbox-locator": "lab"})
    )
    program = Path(sys.executable).with_name("multi-network-policy-node")
    done = subprocess.run([program, "--settings", settings], capture_output=True, text=True, timeout=SOON, check=False)
    assert done.returncode == 2
    assert "backend 'example' refuses the setting 'established-flows: recheck': take it out" in done.stderr
