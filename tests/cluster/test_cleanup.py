"""Everything is taken out of a node as the page on installing says: with the component `cleanup`."""

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
def policed(scene):
    scene.run(*(pod(name, "red", labels={"app": name}) for name in PODS.split()))
    scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods(app="client")]))
    scene.becomes(PODS, denied="stranger>web")
    return scene


def rules(scene, name):
    return scene.execute(name, "nft", "list", "ruleset")


def test_rules_stay_when_the_agent_is_deleted_and_the_next_one_takes_them_over(policed, agent):
    """S62."""
    with policed.untouched(*PODS.split()):
        agent.remove()
        policed.becomes(PODS, denied="stranger>web")
        agent.deploy()
        policed.becomes(PODS, denied="stranger>web")


def test_cleanup_takes_ours_out_of_all_pods_and_leaves_what_others_have(policed, agent, tmp_path):
    """S49."""
    (tmp_path / "mine").write_text(OTHERS)
    policed.execute("web", "nft", "--file", str(tmp_path / "mine"))
    mine = policed.execute("web", "nft", "list", "table", "inet", "mine")
    policed.becomes(PODS, denied="stranger>web client>web", what="tcp:9999")
    assert all(rules(policed, name) for name in PODS.split()), "else this test could not fail"
    agent.deploy("cleanup")
    policed.becomes(PODS)
    policed.becomes(PODS, denied="stranger>web client>web", what="tcp:9999")
    assert rules(policed, "web").strip() == mine.strip()
    assert [rules(policed, name) for name in ("client", "stranger")] == ["", ""]
