"""A node on a lab of the quickstart's pods."""

import pytest

from mnp_core.sources.manifests import load_documents
from mnp_core.testing.apiserver import FakeApiServer
from mnp_lab.lab import Lab
from tests.node.program import LAB, PLURALS, QUICKSTART, Node


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    lab = Lab.up(LAB, load_documents([QUICKSTART / "cluster.yaml", QUICKSTART / "policy.yaml"]))
    try:
        with FakeApiServer() as server:
            for document in lab.objects.values():
                raw = document.raw
                if raw["kind"] == "Pod":
                    raw["spec"]["nodeName"] = "here"
                server.put(PLURALS[raw["kind"]], raw)
            found = Node(lab, server, tmp_path)
            try:
                yield found
            finally:
                found.kill()
    finally:
        lab.down()
