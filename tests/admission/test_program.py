"""`mnp admit` as a process of its own, in front of an API server over HTTP."""

import json
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from mnp_core.admission.certificates import Certificates
from mnp_core.admission.judge import REFUSED
from mnp_core.admission.keeper import Keeper
from mnp_core.admission.metrics import AdmissionMetrics
from mnp_core.admission.webhook import Result, Webhook
from tests.admission.conftest import body, judge, namespace, network, pod, policy
from tests.aggregate.conftest import SOON, until
from tests.node.program import free_port

MNP = Path(sys.executable).with_name("mnp")
PAGE = (Path(__file__).parents[2] / "docs/admission.md").read_text()


class Program:
    def __init__(self, server, log, *options):
        self.port, self.health, self.server, self.log = free_port(), free_port(), server, log
        command = [MNP, "admit", "--master", server.url, "--listen", f"127.0.0.1:{self.port}", "--host", "127.0.0.1"]
        with log.open("w") as stream:
            self.process = subprocess.Popen([*command, "--health", f"127.0.0.1:{self.health}", *options], stderr=stream)

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=SOON) as answer:
            return answer.read().decode()

    def ready(self):
        try:
            return self.page("/readyz") == "ok\n"
        except OSError:
            return False

    def connection(self):
        data = self.server.store.get("secrets", "mnp-admit", "kube-system")["data"]
        context = ssl.create_default_context(cadata=Certificates.of_secret(data).authorities.decode())
        return HTTPSConnection("127.0.0.1", self.port, context=context, timeout=SOON)

    def serves(self):
        """Whether it has its certificate, ready or not."""
        connection = self.connection()
        try:
            connection.connect()
        except OSError:
            return False
        connection.close()
        return True

    def review(self, wanted):
        connection = self.connection()
        connection.request("POST", "/validate", body=body(wanted))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer["response"]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SOON)


@pytest.fixture
def run(server, tmp_path):
    programs = []

    def start(*options):
        programs.append(Program(server, tmp_path / f"log-{len(programs)}", *options))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait(SOON)


def test_it_follows_the_cluster_and_answers(server, run):
    server.put("namespaces", namespace())
    server.put("network-attachment-definitions", network())
    server.put("pods", pod())
    program = run("--refuse", "UnservedPort")
    until(program.ready)
    assert program.review(policy(ingress=[{"from": [{"podSelector": {}}]}])) == {"uid": "7", "allowed": True}
    assert not program.review(policy("blue"))["allowed"]
    assert not program.review(policy(ingress=[{"ports": [{"port": "metrics"}]}]))["allowed"]
    server.put("network-attachment-definitions", network("blue", "198.51.100.0/24"))
    assert program.review(policy("blue"))["allowed"]  # at once, whatever the watch has told
    metrics = program.page("/metrics")
    assert 'mnp_admission_reviews_total{result="refused"} 2.0' in metrics
    assert "mnp_admission_sees_cluster 1.0" in metrics
    assert "mnp_admission_registered 1.0" in metrics
    assert program.end() == 0


def test_a_cluster_that_it_may_not_read_lets_policies_in_and_is_said(server, run):
    server.forbid("pods", "list", "watch")
    program = run()
    until(lambda: "trust the certificate" in program.log.read_text())
    until(program.serves)
    answer = program.review(policy("blue"))
    assert answer["allowed"]
    assert "pods: " in answer["warnings"][0]
    until(lambda: "let in without a look at the cluster" in program.log.read_text())
    assert "mnp_admission_sees_cluster 0.0" in program.page("/metrics")
    assert program.end() == 0


def test_every_metric_is_in_the_page():
    keeper = Keeper(None, namespace="a", name="b", hosts=[])
    metrics = AdmissionMetrics(Webhook(judge(), lambda: (None, "")), keeper, lambda: False)
    found = sorted(re.findall(r"^# TYPE (mnp_\w+) (\w+)$", metrics.text().decode(), re.MULTILINE))
    assert found == re.findall(r"^\| `(mnp_\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert all(f"`{result}`" in PAGE for result in Result)


def test_every_rule_that_refuses_is_in_the_page():
    (paragraph,) = re.findall(r"^Refused are (.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", paragraph)) == {rule.name for rule in REFUSED}
