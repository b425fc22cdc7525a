"""S60, S62: the DaemonSet is rolled while packets flow."""

import subprocess
import time
from contextlib import suppress

import pytest
import yaml

from scripts.testbed import place
from scripts.testbed.api import ApiError
from scripts.testbed.runtime import ctr
from tests.cluster.unrest import Unrest
from tests.noopen.sending import Sending

DEPLOY = place.CHECKOUT / "deploy/deploy.yml"
KIND, NAME, NAMESPACE = "apps/v1/DaemonSet", "mnp-node", "kube-system"
ROLLS = 2
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture
def daemon_set(bed, standoff):
    """The agent runs as deploy/deploy.yml has it."""
    wanted = [document for document in yaml.safe_load_all(DEPLOY.read_text()) if document]
    image = next(d for d in wanted if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["image"]
    known = subprocess.run([str(w) for w in ctr("images", "ls", "-q")], check=True, capture_output=True, text=True)
    if image not in known.stdout.split():
        pytest.skip(f"the node has no image {image}: make image")
    standoff.apply(standoff.main_policies()[0])
    try:
        bed.objects.apply(DEPLOY)
        bed.objects.wait_for("the DaemonSet is rolled out", lambda: rolled_out(bed.objects), patience=120)
        yield NAME
    finally:
        for document in wanted:
            kind, metadata = f"{document['apiVersion']}/{document['kind']}", document["metadata"]
            with suppress(ApiError):
                bed.objects.delete(kind, metadata["name"], metadata.get("namespace", "default"))


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("daemon_set")
def test_a_rolling_update_opens_nothing_and_cuts_nothing(standoff, bed, context, chance, figures):
    """S60, S62."""
    pods = set()
    with Sending(context, standoff.flows(), pause=PAUSE) as sending, Unrest(standoff, chance) as unrest:
        for number in range(ROLLS + 1):
            pods |= names(bed.objects)
            if number < ROLLS:
                roll(bed.objects, number)
            time.sleep(2)
    assert sending.wrong == {}
    assert len(pods) == ROLLS + 1
    standoff.await_reaching("victim", {"friend"})
    figures.append(f"DaemonSet rolled {ROLLS} times during {unrest.changes} changes: {sending}")


def roll(objects, number):
    """As ``kubectl rollout restart`` does."""
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": f"{number}"}}}
    objects.patch(KIND, NAME, {"spec": {"template": template}}, NAMESPACE)
    objects.wait_for("the DaemonSet is rolled out", lambda: rolled_out(objects), patience=120)


def rolled_out(objects):
    """Whether its only pod is of the last template, and ready."""
    found = objects.get(KIND, NAME, NAMESPACE)
    status, generation = found["status"], found["metadata"]["generation"]
    newest = status.get("observedGeneration") == generation and status.get("updatedNumberScheduled") == 1
    return newest and status.get("numberReady") == 1 and len(names(objects)) == 1


def names(objects):
    """Of its pods."""
    labels = f"app.kubernetes.io/name={NAME}"
    return {pod["metadata"]["name"] for pod in objects.list("v1/Pod", NAMESPACE, labels=labels)}
