"""`mnp aggregate` and node agents as processes of their own, around one API server over HTTP."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from mnp_core.aggregate.aggregator import Aggregator
from mnp_core.aggregate.lease import Lease
from mnp_core.aggregate.metrics import AggregateMetrics
from mnp_core.aggregate.writer import StatusWriter, Written
from tests.aggregate.conftest import SOON, until
from tests.node.program import free_port

MNP = Path(sys.executable).with_name("mnp")


class Program:
    def __init__(self, server, log):
        self.port, self.log = free_port(), log
        options = ["--master", server.url, "--listen", f"127.0.0.1:{self.port}", "--settle-seconds", "3"]
        with log.open("w") as stream:
            self.process = subprocess.Popen([MNP, "aggregate", *options], stderr=stream)

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=SOON) as answer:
            return answer.read().decode()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(SOON)


@pytest.fixture
def run(server, tmp_path):
    programs = []

    def start():
        programs.append(Program(server, tmp_path / f"log-{len(programs)}"))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(SOON)


def test_two_of_them_write_once_and_the_second_goes_on_after_the_first(server, scene, run):
    scene.policy("web")
    scene.summary("node-1", {"web": 2})
    first = run()
    until(lambda: scene.condition("web") == ("True", "Enforced"))
    assert "mnp_aggregate_leading 1.0" in first.page("/metrics")
    assert first.page("/readyz") == "ok\n"
    second = run()
    until(lambda: "started" in second.log.read_text())
    scene.policy("db")
    until(lambda: scene.condition("db") == ("False", "Pending"))
    assert first.end() == 0
    scene.summary("node-1", {"web": 2, "db": 1})
    until(lambda: scene.condition("db") == ("True", "Enforced"))
    assert "mnp_aggregate_leading 1.0" in second.page("/metrics")
    writes = len(scene.writes())
    server.compact()
    server.cut()  # 410 for the watches
    scene.policy("db", generation=2)
    scene.summary("node-1", {"web": 2, "db": 1})
    until(lambda: scene.status("db")["observedGeneration"] == 2)
    assert len(scene.writes()) <= writes + 3
    assert second.end() == 0


def test_without_definitions_it_waits_and_says_so_once(server, run):
    for plural in ("nodepolicysummaries", "multi-networkpolicies"):
        server.unserve(plural)
    program = run()
    until(lambda: "has no status" in program.log.read_text())
    time.sleep(2)
    assert program.log.read_text().count("has no status") == 1
    assert program.end() == 0


def test_every_metric_is_in_the_page():
    page = (Path(__file__).parents[2] / "docs/scale.md").read_text()
    aggregator = Aggregator(StatusWriter(None, rate=1.0))
    lease = Lease(None, namespace="a", name="b", holder="c")
    text = AggregateMetrics(aggregator, lease).text().decode()
    found = sorted(re.findall(r"^# TYPE (mnp_\w+) (\w+)$", text, re.MULTILINE))
    assert found == re.findall(r"^\| `(mnp_\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert all(f"`{result}`" in page for result in Written)


def test_every_reason_is_in_the_page():
    page = (Path(__file__).parents[2] / "docs/scale.md").read_text()
    source = (Path(__file__).parents[2] / "mnp_core/conditions/status.py").read_text()
    reasons = set(re.findall(r'"(?:True|False|Unknown)",? \(?"([A-Z]\w+)"', source)) | {"NothingSelected", "Audited"}
    assert len(reasons) == 7
    assert all(f"| `{reason}` |" in page for reason in reasons)
