"""Times at which Multus writes network-status: the agent follows, and reports no transient state."""

import json
import time
from contextlib import contextmanager

import pytest

from mnp_core.errors import SandboxNotFoundError
from scripts.testbed import place
from tests.cluster.flow import Flow
from tests.cluster.manifests import STATUS, container, network, network_status, pod, policy
from tests.cluster.nodeagent import complaints, errors, events

pytestmark = pytest.mark.usefixtures("agent")

PROGRAMS = place.NODE_FILES / "cni-bin"
CLOSED = policy("closed", "red", {"app": "web"})
WEB, PEER = (pod(name, "red", labels={"app": name}) for name in ("web", "peer"))
LATE = 4  # seconds
REAL = ".real"  # suffix of a program while another one has its place
SLOW_PLUGIN = """#!/bin/sh
[ "$CNI_COMMAND" != ADD ] || sleep {late}
exec {folder}/macvlan
"""
SLOW_RETURN = """#!/bin/sh
answer=$({program})
status=$?
[ "$CNI_COMMAND" != ADD ] || sleep {late}
printf '%s' "$answer"
exit $status
"""
NOWHERE = "nolink"  # no such link: the plugin fails


@contextmanager
def program(name, text):
    """Replace a CNI plugin of the node by this script for the length of a block."""
    path, real = PROGRAMS / name, PROGRAMS / f"{name}{REAL}"
    try:
        if path.exists():
            path.rename(real)
        path.write_text(text)
        path.chmod(0o755)
        yield
    finally:
        path.unlink()
        if real.exists():
            real.rename(path)


def annotation(scene, name):
    return scene.pod(name)["metadata"]["annotations"].get(STATUS)


def await_status(scene, name):
    """The first one that there is."""
    until = time.monotonic() + 60
    while (found := annotation(scene, name)) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return [(entry["name"], entry.get("interface")) for entry in json.loads(found)]


def await_failure(scene, name, *, more_than=0):
    """Whether Multus has failed with this pod more than so many times."""
    scene.objects.wait_for("ADD has failed", lambda: failures(scene, name) > more_than, patience=90)


def failures(scene, name):
    return sum(
        event.get("count") or 1
        for event in scene.objects.list("v1/Event", scene.namespace)
        if event["reason"] == "FailedCreatePodSandBox" and event["involvedObject"]["name"] == name
    )


def test_a_status_is_there_before_add_returns(scene, agent):
    """S61: there is no container yet, and runtimes list no sandbox that is ready; nothing is wrong."""
    scene.run(PEER)
    scene.apply(CLOSED)
    before = errors(agent)
    with program("multus", SLOW_RETURN.format(program=f"/opt/cni/bin/multus{REAL}", late=LATE)):
        scene.apply(WEB)
        await_status(scene, "web")
        announced = time.monotonic()
        assert scene.pod("web")["status"].get("podIP") is None
        scene.wait_until_runs("web")
        assert time.monotonic() - announced > LATE / 2, "else ADD had returned"
    scene.becomes("web peer", denied="peer>web")
    assert complaints(scene, agent, "web") == []
    assert errors(agent) == before


def test_a_status_is_written_after_all_networks(scene):
    """S3: a status lists all of the pod's attachments or does not exist."""
    scene.apply(network("blue", "10.77.2.0/24", type="late-macvlan"))
    with program("late-macvlan", SLOW_PLUGIN.format(late=LATE, folder="/opt/cni/bin")):
        begun = time.monotonic()
        scene.apply(pod("web", "red,blue"))
        found = await_status(scene, "web")
        assert time.monotonic() - begun > LATE
        scene.wait_until_runs("web")
    networks = [name for name, _ in found[1:]]
    assert networks == [f"{scene.namespace}/red", f"{scene.namespace}/blue"]


def test_there_is_no_status_if_one_network_fails(scene, agent):
    """S61: until the runtime's next try that does not."""
    scene.run(PEER)
    scene.apply(network("blue", "10.77.2.0/24", parent=NOWHERE), CLOSED)
    before = errors(agent)
    scene.apply(pod("web", "red,blue", labels={"app": "web"}))
    await_failure(scene, "web", more_than=1)
    assert annotation(scene, "web") is None
    assert complaints(scene, agent, "web") == []
    assert errors(agent) == before
    scene.apply(network("blue", "10.77.2.0/24"))
    scene.wait_until_runs("web")
    scene.becomes("web peer", denied="peer>web")


def test_a_status_is_of_a_sandbox_that_is_gone_until_the_next_try(scene, agent):
    """S61: it stays as it was while Multus fails with another sandbox of the pod."""
    scene.run(PEER, WEB)
    scene.apply(CLOSED)
    scene.becomes("web peer", denied="peer>web")
    old, before = annotation(scene, "web"), errors(agent)
    scene.apply(network("red", "10.77.1.0/24", parent=NOWHERE))
    scene.bed.sandboxes.stop(scene.name("web"))
    await_failure(scene, "web")
    assert annotation(scene, "web") == old
    assert complaints(scene, agent, "web") == []
    scene.apply(network("red", "10.77.1.0/24"))
    scene.objects.wait_until("v1/Pod", "web", lambda _: annotation(scene, "web") != old, scene.namespace, patience=90)
    scene.wait_until_runs("web")
    scene.becomes("web peer", denied="peer>web")
    assert errors(agent) == before


def test_a_status_stays_when_the_sandbox_goes(scene, agent):
    """DEL writes nothing: a finished pod has one, and no interface (S5)."""
    before = errors(agent)
    scene.apply(CLOSED)
    done = pod("web", "red", labels={"app": "web"}, restartPolicy="Never", containers=[container(command=["true"])])
    scene.apply(done)
    scene.objects.wait_until("v1/Pod", "web", lambda it: it["status"]["phase"] == "Succeeded", scene.namespace)
    scene.objects.wait_for("its sandbox is gone", lambda: gone(scene, "web"))
    assert f"{scene.namespace}/red" in annotation(scene, "web")
    assert complaints(scene, agent, "web") == []
    assert errors(agent) == before


def gone(scene, name):
    try:
        scene.bed.sandboxes.locate(scene.name(name))
    except SandboxNotFoundError:
        return True
    return False


def test_a_result_without_interfaces_leaves_no_entry_and_the_interface_is_enforced_and_reported(scene, agent):
    """S64: as CNI 0.2.0 knows no interfaces in results."""
    scene.apply(network("old", "10.77.3.0/24", cniVersion="0.2.0"))
    scene.run(*(pod(name, "old", labels={"app": name}) for name in ("web", "peer")))
    assert [entry["name"] for entry in network_status(scene.pod("web")) if not entry.get("default")] == []
    (address,) = addresses(scene, "web")
    open_before = flow(scene, address)
    assert open_before.arrived > 0
    scene.apply(policy("closed", "old", {"app": "web"}))
    scene.objects.wait_for("it is denied", lambda: flow(scene, address).arrived == 0)
    closed = flow(scene, address)
    assert (closed.sent > 100, closed.arrived) == (True, 0)
    scene.objects.wait_for("it is reported", lambda: [e for e in events(scene.objects, scene.namespace) if concerns(e)])
    assert agent.metric("mnp_reports", reason="InvalidNetworkStatus") > 0


def concerns(event):
    return event["involvedObject"]["name"] == "web" and event["reason"] == "InvalidNetworkStatus"


def addresses(scene, name):
    (link,) = json.loads(scene.execute(name, "ip", "-json", "-4", "address", "show", "dev", "net1"))
    return [address["local"] for address in link["addr_info"]]


def flow(scene, address):
    with Flow(scene.bed.sandboxes, scene.name("peer"), scene.name("web"), address, 5000) as made:
        time.sleep(0.5)
    return made
