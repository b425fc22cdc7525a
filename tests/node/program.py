"""The program of a node in a process of its own: real pods of a lab, and an API server over HTTP."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mnp_core.model import ObjectName, Protocol
from mnp_core.offline.probe import ProbeSpec
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.manifests import load_documents
from mnp_core.testing.apiserver import FakeApiServer
from mnp_lab.lab import Lab

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PLURALS = {
    "Pod": "pods",
    "Namespace": "namespaces",
    "NetworkAttachmentDefinition": "network-attachment-definitions",
    "MultiNetworkPolicy": "multi-networkpolicies",
}
SOON = 240 if "MNP_VM" in os.environ else 30  # seconds; emulated, Python is fifteen times slower
FINALIZED = 1.2
"""Seconds from readiness on until replacements are finalized, and leftovers are gone: only then tests change rules."""
LAB = "node"
WEB = ObjectName("demo", "web")
BACKENDS = (
    "nftables",
    pytest.param("iptables-nft", marks=pytest.mark.full),
    pytest.param("iptables-legacy", marks=pytest.mark.full),
)


@contextmanager
def served_lab(folder, documents=None, node_of=lambda _: "here"):
    """A lab, and an API server with its objects, each pod on the node that `node_of` says of its name.

    Args:
        folder: Where the lab is kept.
        documents: Its objects; None for the quickstart's.
    """
    if documents is None:
        documents = load_documents([QUICKSTART / "cluster.yaml", QUICKSTART / "policy.yaml"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNP_RUN_DIR", str(folder / "run"))
        lab = Lab.up(LAB, documents)
        try:
            with FakeApiServer() as server:
                for document in lab.objects.values():
                    raw = document.raw
                    if raw["kind"] == "Pod":
                        raw["spec"]["nodeName"] = node_of(raw["metadata"]["name"])
                    server.put(PLURALS[raw["kind"]], raw)
                yield lab, server
        finally:
            lab.down()


class Node:
    """A lab with its objects in an API server, and the program that enforces policy on it."""

    def __init__(self, lab, server, folder, name="here"):
        self.lab, self.server, self.name = lab, server, name
        self.settings = folder / "settings.yaml"
        locator = {"sandbox-locator": "lab", "sandbox-locator-settings": {"lab": LAB}}
        self.port = free_port()
        self.socket = folder / "agent" / "agent.sock"
        self.settings.write_text(
            yaml.safe_dump({**locator, "listen": f"127.0.0.1:{self.port}", "agent-socket": str(self.socket)})
        )
        self.log = folder / "log"
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def set(self, **settings):
        """Change settings, whose names have underscores here; to be called before the start."""
        found = yaml.safe_load(self.settings.read_text())
        found |= {name.replace("_", "-"): value for name, value in settings.items()}
        self.settings.write_text(yaml.safe_dump(found))

    def start(self):
        program = Path(sys.executable).with_name("multi-network-policy-node")
        options = ["--settings", self.settings, "--master", self.server.url, "--hostname-override", self.name]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([program, *options], stderr=log)
        self.until(lambda: "msg=ready" in self.log.read_text())
        time.sleep(FINALIZED)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(SOON)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def until(self, true, seconds=SOON):
        end = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, f"{self.process.poll()} {self.log.read_text()}"
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def allowed(self, target=WEB):
        """Who reaches a pod on TCP port 80, by packets."""
        probes = self.lab.plan_probes([ProbeSpec(protocol=Protocol.TCP, port=80)], destinations=frozenset({target}))
        return {result.probe.source.name for result in self.lab.probe(probes, 0.3) if result.verdict == "allowed"}

    def raw(self, kind, name):
        """An object as the API server had it at first."""
        objects = (document.raw for document in self.lab.objects.values())
        return next(raw for raw in objects if (raw["kind"], raw["metadata"]["name"]) == (kind, name))

    def inside(self, pod, work):
        return run_inside(self.lab.sandbox(pod), work)

    def problems(self, reason):
        """The log lines of standing problems with a reason."""
        lines = [line for line in self.log.read_text().splitlines() if f"reason={reason} " in f"{line} "]
        return [line for line in lines if "msg=problem " in line]

    def metric(self, name):
        """The value of a series, as Prometheus would read it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=SOON) as answer:
            text = answer.read().decode()
        return float(re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE).group(1))

    def events(self, reason):
        """Kubernetes Events that were made with a reason."""
        return [body for body in self.server.bodies if body.get("reason") == reason]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
