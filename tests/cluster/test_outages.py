"""S62: parts of the cluster go away and come back, the clock is moved: what is in force stays, nothing is missed."""

import os
import signal
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from scripts.testbed import daemon, place
from tests.cluster.agent import AgentProcess
from tests.cluster.crowd import on_network
from tests.cluster.gate import Gate
from tests.cluster.scene import app
from tests.cluster.stopwatch import ENFORCED, MENDED, allowed, time_until
from tests.noopen.sending import Sending

PAUSE = 0.001  # seconds between two packets of a flow
STUCK = 20  # pods that cannot be found, more than are looked for at once
DAY = 86400
LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # Debian package libfaketime


@pytest.fixture(autouse=True)
def _policed(scene):
    scene.apply(scene.main_policies()[0])
    scene.apply(scene.policy("bystander", [{"from": [app("friend")]}], app("bystander")))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.long)])
def test_the_api_server_is_away(scene, bed, agent, context, figures, seconds):
    """S60, S62, S63: rules hold, drift is mended, and what comes right after is not missed."""
    with scene.passing("doomed"):
        agent.start_and_wait()
        bystander, doomed = scene.sandbox("bystander"), scene.sandbox("doomed")
        with Sending(context, scene.flows(), pause=PAUSE) as sending:
            with bed.components.stopped("kube-apiserver"):
                end_sandbox(doomed)
                answers = readiness(agent, seconds)
                took = mend(scene, bystander)
            scene.apply(scene.policy("bystander", [{"from": [app("attacker")]}], app("bystander")))
            scene.add_pods("late", wait=False)
            scene.await_reaching("bystander", {"attacker"})
        assert sending.wrong == {}
        assert answers == {"ok"}
        assert took <= allowed(MENDED)
        scene.objects.wait_for("a new sandbox", lambda: scene.sandbox("doomed") != doomed, patience=120)
        scene.await_pod("doomed")
        scene.await_reaching("doomed", {"friend"})
        with scene.passing("late"):
            scene.await_reaching("late", {"friend"})
    figures.append(f"API server away for {seconds} s: {sending}; drift mended meanwhile in {took:.2f} s")


@pytest.mark.timeout(400)
def test_watches_that_expired_tell_what_happened_and_nothing_else(scene, bed, context, tmp_path, figures):
    """S61, S62: 410 Gone."""
    with scene.passing("freed", "leaving"), Gate(place.API_PORT, place.CONTROL_PLANE) as gate:
        kubeconfig = through(gate, bed.kubeconfig, tmp_path / "kubeconfig")
        with closing(AgentProcess(bed, tmp_path / "agent.log", kubeconfig=kubeconfig)) as agent:
            agent.start_and_wait()
            policed = agent.metric("mnp_policed_pods")
            quiet = scene.generations()
            with Sending(context, scene.flows(), pause=PAUSE) as sending:
                gate.shut()
                scene.remove("freed")
                scene.objects.delete("v1/Pod", "leaving", scene.namespace)
                bed.components.expire()
                gate.open()
                scene.await_reaching("freed", {"friend", "attacker"})
                expect = policed - 1
                scene.objects.wait_for("one less", lambda: agent.metric("mnp_policed_pods") == expect)
            assert sending.wrong == {}
            assert agent.metric("mnp_watch_restarts_total", cause="gone") >= 1
            assert scene.generations() == quiet
            scene.apply(scene.policy("freed", [], app("freed")))
            scene.await_reaching("freed", set())
    figures.append(f"410: {sending}; no write in the pods that nothing happened to")


@pytest.mark.timeout(400)
def test_containerd_is_restarted(scene, bed, agent, context):
    """S62: the agent finds it again."""
    agent.start_and_wait()
    quiet = scene.generations()
    with Sending(context, scene.flows(), pause=PAUSE) as sending:
        with bed.components.stopped("containerd", kill=True):
            time.sleep(2)
        with scene.passing("later"):
            scene.await_reaching("later", {"friend"})
    assert sending.wrong == {}
    assert scene.generations() == quiet


def test_the_kubelet_is_restarted(scene, bed, agent):
    """S62: nothing happens."""
    agent.start_and_wait()
    quiet, attempts = scene.generations(), agent.metric("mnp_apply_duration_seconds_count")
    with bed.components.stopped("kubelet"):
        time.sleep(1)
    time.sleep(5)
    assert scene.generations() == quiet
    assert agent.metric("mnp_apply_duration_seconds_count") == attempts
    assert agent.readiness() == "ok"


def test_pods_that_cannot_be_found_hold_up_nobody(scene, bed, agent, figures):
    """S64: the container runtime hangs; changes for pods that are known are in force in no time."""
    agent.start_and_wait()
    forms, took = scene.main_policies(), []
    fakes = on_network(scene.network, "10.77.42.0/24")
    with hanging("containerd"):
        bed.crowd.fake_pods(STUCK, bed.node, scene.namespace, fakes)
        stuck = lambda: agent.metric("mnp_apply_failures_total", reason="Sandbox") > 0  # noqa: E731
        scene.objects.wait_for("pods cannot be found", stuck)
        for form in [*forms[1:], *forms]:
            took.append(time_to_enforce(scene, form))
            time.sleep(0.2)
        assert agent.readiness() == "ok"
    figures.append(f"runtime hangs, {STUCK} pods not found: policy -> in force in others at most {max(took):.3f} s")
    assert max(took) <= allowed(ENFORCED)
    scene.apply(scene.policy("stuck", [{"from": [app("friend")]}], app("app-7")))
    scene.await_pod("crowd-7")
    scene.await_reaching("crowd-7", {"friend"})
    scene.remove("stuck")
    for number in range(STUCK):
        scene.objects.delete("v1/Pod", f"crowd-{number}", scene.namespace, wait=False)


def test_the_clock_is_moved(scene, bed, tmp_path, figures):
    """By a day forth and a day back, for the agent alone; its monotonic clock goes on as that of the kernel does."""
    if LIBFAKETIME is None:
        pytest.skip("needs libfaketime, the Debian package of that name")
    clock, log = tmp_path / "clock", tmp_path / "agent.log"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(LIBFAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with closing(AgentProcess(bed, log, environment=environment)) as agent:
        agent.start_and_wait()
        bystander, forms = scene.sandbox("bystander"), scene.main_policies()
        for offset, form in ((DAY, forms[1]), (-DAY, forms[2]), (0, forms[0])):
            clock.write_text(f"{offset:+d}")
            time.sleep(1.5)
            said = len(log.read_text())
            enforced, mended = time_to_enforce(scene, form), mend(scene, bystander)
            assert enforced <= allowed(ENFORCED)
            assert mended <= allowed(MENDED)
            assert agent.readiness() == "ok"
            date = time.strftime("time=%Y-%m-%dT", time.gmtime(time.time() + offset))
            assert date in log.read_text()[said:], "the clock was not moved"
            took = f"policy -> in force {enforced:.3f} s, drift mended in {mended:.2f} s"
            figures.append(f"clock moved by {offset:+d} s: {took}")


# --- what is done to the cluster --------------------------------------------------------------------------------------


@contextmanager
def hanging(component):
    """A process of the bed that neither ends nor answers."""
    pid = daemon.pid_of(component)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def end_sandbox(sandbox):
    """End its first process, as when the machine has no memory left."""
    os.kill(int(Path(sandbox.path).parts[2]), signal.SIGKILL)  # /proc/PID/ns/net


def through(gate, kubeconfig, path):
    """The same kubeconfig, but for the way to the server."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = gate.url
    path.write_text(yaml.safe_dump(content))
    return path


# --- what is seen of the agent ----------------------------------------------------------------------------------------


def readiness(agent, seconds):
    """Everything that it answers for so long."""
    end, answers = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        answers.add(agent.readiness())
        time.sleep(0.5)
    return answers


def mend(scene, sandbox):
    """Take all rules away; seconds until they are back."""
    right = scene.installed(sandbox)
    run_inside(sandbox, lambda: nft.load("flush ruleset"))
    return time_until(lambda: scene.installed(sandbox) == right)


def time_to_enforce(scene, policy):
    """Seconds from a policy that says the same in other words to its being in force in the victim."""
    victim = scene.sandbox("victim")
    before = scene.installed(victim).digest
    scene.apply(policy)
    return time_until(lambda: scene.installed(victim).digest not in {"", before})
