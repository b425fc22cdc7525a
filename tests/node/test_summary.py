"""The node's summary as the program publishes it, and the status that the aggregator makes of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.aggregate.conftest import LEASE, POLICIES, SUMMARIES, SUMMARY, WITH_STATUS
from tests.node.program import SOON

pytestmark = pytest.mark.root


def publish(node):
    for resource in (WITH_STATUS, SUMMARY, LEASE):
        node.server.serve(resource)
    node.set(publish_status=True, publish_interval_seconds=1, agent_socket="")


def status(node, name):
    return node.server.store.get(POLICIES, name, "demo").get("status", {})


def enforced(node, name):
    found = {each["type"]: each for each in status(node, name).get("conditions", ())}
    return found["Enforced"]["reason"] if found else None


def test_policies_of_the_node_get_their_status_and_news_of_it_cost_the_node_nothing(node):
    publish(node)
    node.start()
    node.until(lambda: node.server.store.get(SUMMARIES, "here") is not None)
    options = ["--master", node.server.url, "--writes-per-second", "50", "--settle-seconds", "5"]
    aggregator = subprocess.Popen([Path(sys.executable).with_name("mnp"), "aggregate", *options])
    try:
        node.until(lambda: enforced(node, "web-allow-client") == "Enforced")
        assert status(node, "web-allow-client")["nodes"] == "1/1"
        assert status(node, "web-allow-client")["interfaces"] == 1
        summaries = [each for each in node.server.requests if f"/{SUMMARIES}" in each and "watch" not in each]
        changed = node.server.store.get(POLICIES, "web-allow-client", "demo")
        changed = {**changed, "spec": {**changed["spec"], "podSelector": {"matchLabels": {"app": "nobody"}}}}
        node.server.put(POLICIES, changed)
        node.until(lambda: enforced(node, "web-allow-client") == "NothingSelected")
        assert status(node, "web-allow-client")["nodes"] == "0/0"
        after = [each for each in node.server.requests if f"/{SUMMARIES}" in each and "watch" not in each]
        assert 1 <= len([each for each in after[len(summaries) :] if each.startswith("PATCH")]) <= 3
    finally:
        aggregator.terminate()
        assert aggregator.wait(SOON) == 0
    assert node.end() == 0


def test_nothing_is_published_unless_it_is_asked_for(node):
    node.server.serve(SUMMARY)
    node.start()
    node.server.delete(POLICIES, "web-allow-client", "demo")
    node.until(lambda: node.allowed() == set())
    assert node.end() == 0
    assert not [each for each in node.server.requests if SUMMARIES in each]
