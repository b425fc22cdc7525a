"""docs/quickstart-cluster.md, word for word, on the test bed: its commands are run, their output compared."""

import shutil
import subprocess
import time

import pytest

from scripts.testbed import place
from scripts.testbed.images import import_workload
from scripts.testbed.kind import chosen
from tests.cluster.definitions import undefine_all
from tests.cluster.fixtures import Scene
from tests.cluster.nodeagent import NAME, NAMESPACE, environment
from tests.docs.fences import ON_A_CLUSTER, ROOT, cluster_blocks, lines

(PAGE,) = ON_A_CLUSTER
_BUSYBOX = "docker.io/library/busybox:1.36"  # the image of the page's pods; the workload image is a busybox, too
_OTHER_PARENT = f'"master": "{place.PARENT}"'


@pytest.fixture
def folder(tmp_path):
    """Like a checkout adapted as the page asks for: `master` is the nodes' link, the socket their runtime's."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    deploy = tmp_path / "deploy/deploy.yml"
    deploy.write_text(deploy.read_text().replace("/run/containerd", f"/run/{chosen().runtime}"))
    (tmp_path / "examples/quickstart").mkdir(parents=True)
    for path in (ROOT / "examples/quickstart").iterdir():
        text = path.read_text().replace('"master": "eth1"', _OTHER_PARENT)
        (tmp_path / "examples/quickstart" / path.name).write_text(text)
    assert _OTHER_PARENT in (tmp_path / "examples/quickstart/cluster.yaml").read_text()
    return tmp_path


@pytest.fixture
def cluster_as_in_the_page(bed, node_agent):
    """Multus and nodes that can pull busybox; nothing of ours. Afterwards there is nothing of ours either."""
    import_workload(_BUSYBOX)
    yield
    bed.objects.request("DELETE", bed.objects.collection("v1/Pod", "demo"), {"gracePeriodSeconds": 0})
    bed.objects.delete("v1/Namespace", "demo")
    node_agent.remove()
    undefine_all(bed.objects)


def agent_is_ready(agent, **_):
    """With the capabilities and the RBAC of the file, and nothing that it complains of."""
    assert agent.readiness() == (200, "ok\n")
    assert agent.metric("mnp_api_refusals_total") == 0
    (pod,) = agent.pods()
    assert not any(status["restartCount"] for status in pod["status"]["containerStatuses"])


def everybody_reaches_everybody(scene, **_):
    scene.becomes("web client stranger", network="data", what="tcp:81")


def policy_holds(scene, agent, **_):
    scene.becomes("client stranger web", network="data", denied="stranger>web")
    scene.becomes("client stranger web", network="data", denied="stranger>web client>web", what="tcp:81")
    scene.becomes("client stranger web", network="data", denied="stranger>web client>web", what="udp:80")
    scene.bed.objects.wait_for("two policies are counted", lambda: agent.metric("mnp_policies") == 2)


def explanation_names_the_policies(out, **_):
    assert "TCP/80 on demo/data: denied" in out
    assert "isolated by MultiNetworkPolicy demo/web-allow-client, MultiNetworkPolicy demo/web-deny" in out


def event_says_what_is_wrong(out, **_):
    events = out.partition("Events:")[2]
    assert "UnknownNetwork" in events
    assert "dta" in events


def log_tells_what_was_done(agent, out, **_):
    assert 'msg="rules applied" pod=demo/web' in agent.log()
    assert out.splitlines()
    assert set(out.splitlines()) <= set(agent.log().splitlines())


AFTER = {
    "rollout status daemonset/mnp-node": agent_is_ready,
    "wait --for=condition=Ready pod": everybody_reaches_everybody,
    "create -f examples/quickstart/policy.yaml": policy_holds,
    "mnp explain": explanation_names_the_policies,
    "describe multi-networkpolicies": event_says_what_is_wrong,
    "logs daemonset/mnp-node": log_tells_what_was_done,
}
"""What has to be so after the block in which this is typed, beside what the page itself shows."""


def test_checks_match_the_page():
    texts = [fence.text for fence in cluster_blocks(PAGE)]
    assert {typed: sum(typed in text for text in texts) for typed in AFTER} == dict.fromkeys(AFTER, 1)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster_as_in_the_page")
def test_quick_start_word_for_word(bed, node_agent, folder, figures):
    scene = Scene(bed, "demo")
    begun = time.monotonic()
    for fence in cluster_blocks(PAGE):
        if fence.title:
            (folder / fence.title).write_text(fence.text)
            continue
        out = typed(fence, folder)
        for words, check in AFTER.items():
            if words in fence.text:
                check(scene=scene, agent=node_agent, out=out)
    figures.append(f"quick start on a cluster: {time.monotonic() - begun:.0f} s from nothing to nothing")
    assert bed.objects.find("v1/Namespace", "demo") is None
    assert bed.objects.find("apps/v1/DaemonSet", NAME, NAMESPACE) is None


def typed(fence, folder):
    """Run a block; its output has to be the one on the page."""
    command = ["bash", "-euo", "pipefail", "-c", fence.text]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"{fence}\n{done.stdout}\n{done.stderr}"
    assert fence.shown is None or lines(done.stdout) == lines(fence.shown), f"{fence}\n{done.stderr}"
    return done.stdout
