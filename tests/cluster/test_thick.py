"""With Multus thick, the official DaemonSet, in place of the program that the runtime calls otherwise."""

import pytest

from mnp_core.errors import SandboxNotFoundError
from scripts.testbed import place
from tests.cluster.components import command
from tests.cluster.manifests import from_pods, pod, policy

pytestmark = pytest.mark.usefixtures("thick", "agent")

PODS = "web client stranger"


@pytest.fixture(scope="module")
def thick(request):
    request.getfixturevalue("bed")
    try:
        command("multus", "thick")
        yield
    finally:
        command("multus", "thin")


def test_the_runtime_calls_the_shim():
    assert '"type":"multus-shim"' in (place.NODE_FILES / "cni-config/00-multus.conf").read_text().replace(" ", "")


def test_pods_that_thick_attaches_are_policed(scene):
    """S60, S61."""
    scene.run(*(pod(name, "red", labels={"app": name}) for name in PODS.split()))
    scene.becomes(PODS)
    scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods(app="client")]))
    scene.becomes(PODS, denied="stranger>web")


def test_a_sandbox_that_is_made_anew_is_policed(scene):
    """S61: thick keeps its state of a sandbox beyond the call."""
    scene.run(*(pod(name, "red", labels={"app": name}) for name in PODS.split()))
    scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods(app="client")]))
    scene.becomes(PODS, denied="stranger>web")
    before = scene.bed.sandboxes.locate(scene.name("web"))
    scene.bed.sandboxes.stop(scene.name("web"))
    scene.objects.wait_for("there is another sandbox", lambda: another(scene, before))
    scene.wait_until_runs("web")
    scene.becomes(PODS, denied="stranger>web")


def another(scene, before):
    try:
        return scene.bed.sandboxes.locate(scene.name("web")).inode != before.inode
    except SandboxNotFoundError:
        return False
