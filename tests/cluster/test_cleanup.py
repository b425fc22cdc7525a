"""Removal of everything from a node, by the page on installing: with the component `cleanup`."""

import pytest

from tests.cluster.manifests import from_pods, pod, policy

pytestmark = pytest.mark.usefixtures("agent")

PODS = "web client stranger"
OTHERS = """
table inet mine {
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 9999 drop
    }
}
"""


@pytest.fixture
def enforced(scene):
    scene.run(*(pod(name, "red", labels={"app": name}) for name in PODS.split()))
    scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods(app="client")]))
    scene.becomes(PODS, denied="stranger>web")
    return scene


def rules(scene, name):
    return scene.execute(name, "nft", "list", "ruleset")


def test_rules_stay_when_the_agent_is_deleted_and_the_next_one_takes_them_over(enforced, agent):
    """S62."""
    with enforced.untouched(*PODS.split()):
        agent.remove()
        enforced.becomes(PODS, denied="stranger>web")
        agent.deploy()
        enforced.becomes(PODS, denied="stranger>web")


def test_cleanup_removes_our_rules_from_all_pods_and_leaves_those_of_others(enforced, agent, tmp_path):
    """S49."""
    (tmp_path / "mine").write_text(OTHERS)
    enforced.execute("web", "nft", "--file", str(tmp_path / "mine"))
    mine = enforced.execute("web", "nft", "list", "table", "inet", "mine")
    enforced.becomes(PODS, denied="stranger>web client>web", what="tcp:9999")
    assert all(rules(enforced, name) for name in PODS.split()), "else this test could not fail"
    agent.deploy("cleanup")
    enforced.becomes(PODS)
    enforced.becomes(PODS, denied="stranger>web client>web", what="tcp:9999")
    assert rules(enforced, "web").strip() == mine.strip()
    assert [rules(enforced, name) for name in ("client", "stranger")] == ["", ""]
