"""S62: outages of cluster components, steps of the clock: rules stay in force, no change is missed."""

import os
import signal
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.suites.atomicity.sending import Sending
from scripts.testbed import daemon, place
from scripts.testbed.kind import chosen
from tests.cluster.agent import AgentProcess
from tests.cluster.api_gate import ApiGate
from tests.cluster.fleet import on_network
from tests.cluster.four_pods import app
from tests.cluster.stopwatch import ENFORCED, MENDED, allowed, time_until

PAUSE = 0.001  # seconds between two packets of a flow
STUCK = 12  # pods that cannot be found, more than are looked for at once
DAY = 86400
LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # Debian package libfaketime


@pytest.fixture(autouse=True)
def _enforced(four_pods):
    four_pods.apply(four_pods.main_policies()[0])
    four_pods.apply(four_pods.policy("bystander", [{"from": [app("friend")]}], app("bystander")))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [60])
def test_the_api_server_is_away(four_pods, bed, process, context, figures, seconds):
    """S60, S62, S63: rules hold, drift is mended, and changes right after the outage are not missed."""
    with four_pods.passing("doomed"):
        process.start_and_wait()
        bystander, doomed = four_pods.sandbox("bystander"), four_pods.sandbox("doomed")
        with Sending(context, four_pods.flows(), pause=PAUSE) as sending:
            with bed.components.stopped("kube-apiserver"):
                end_sandbox(four_pods, "doomed", doomed)
                answers = readiness(process, seconds)
                took = mend(four_pods, bystander)
            four_pods.apply(four_pods.policy("bystander", [{"from": [app("attacker")]}], app("bystander")))
            four_pods.add_pods("late", wait=False)
            four_pods.await_reaching("bystander", {"attacker"})
        assert sending.wrong == {}
        assert answers == {"ok"}
        assert took <= allowed(MENDED)
        four_pods.objects.wait_for("a new sandbox", lambda: has_moved(four_pods, "doomed", doomed), patience=120)
        four_pods.await_pod("doomed")
        four_pods.await_reaching("doomed", {"friend"})
        with four_pods.passing("late"):
            four_pods.await_reaching("late", {"friend"})
    figures.append(f"API server away for {seconds} s: {sending}; drift repaired meanwhile in {took:.2f} s")


@pytest.mark.timeout(400)
def test_expired_watches_deliver_the_changes_and_nothing_else(four_pods, bed, context, tmp_path, figures):
    """S61, S62: 410 Gone."""
    with four_pods.passing("freed", "leaving"), ApiGate(place.API_PORT, place.CONTROL_PLANE) as gate:
        kubeconfig = through(gate, bed.kubeconfig, tmp_path / "kubeconfig")
        with closing(AgentProcess(bed, tmp_path / "agent.log", kubeconfig=kubeconfig)) as process:
            process.start_and_wait()
            enforced = process.metric("mnp_enforced_pods")
            quiet = four_pods.generations()
            with Sending(context, four_pods.flows(), pause=PAUSE) as sending:
                gate.shut()
                four_pods.remove("freed")
                four_pods.objects.delete("v1/Pod", "leaving", four_pods.namespace)
                bed.components.expire()
                gate.open()
                # A server that starts anew refuses some requests: pauses between tries add up to a minute and a half.
                four_pods.await_reaching("freed", {"friend", "attacker"}, patience=150)
                expect = enforced - 1
                four_pods.objects.wait_for("one less", lambda: process.metric("mnp_enforced_pods") == expect)
            assert sending.wrong == {}
            assert process.metric("mnp_watch_restarts_total", cause="gone") >= 1
            assert four_pods.generations() == quiet
            four_pods.apply(four_pods.policy("freed", [], app("freed")))
            four_pods.await_reaching("freed", set())
    figures.append(f"410: {sending}; no write in the pods that nothing happened to")


@pytest.mark.timeout(400)
def test_containerd_is_restarted(four_pods, bed, process, context):
    """S62: the agent finds it again."""
    process.start_and_wait()
    quiet = four_pods.generations()
    with Sending(context, four_pods.flows(), pause=PAUSE) as sending:
        with bed.components.stopped("runtime", kill=True):
            time.sleep(2)
        with four_pods.passing("later"):
            four_pods.await_reaching("later", {"friend"})
    assert sending.wrong == {}
    assert four_pods.generations() == quiet


def test_the_kubelet_is_restarted(four_pods, bed, process):
    """S62: nothing happens."""
    process.start_and_wait()
    quiet, attempts = four_pods.generations(), process.metric("mnp_apply_duration_seconds_count")
    with bed.components.stopped("kubelet"):
        time.sleep(1)
    time.sleep(5)
    assert four_pods.generations() == quiet
    assert process.metric("mnp_apply_duration_seconds_count") == attempts
    assert process.readiness() == "ok"


def test_pods_without_a_sandbox_delay_no_other(four_pods, bed, process, figures):
    """S64: the container runtime hangs; changes for pods that are known are in force in no time."""
    process.start_and_wait()
    forms, took = four_pods.main_policies(), []
    fakes = on_network(four_pods.network, "10.77.42.0/24")
    with hanging("runtime"):
        bed.fleet.fake_pods(STUCK, bed.node, four_pods.namespace, fakes)
        stuck = lambda: process.metric("mnp_apply_failures_total", reason="Sandbox") > 0  # noqa: E731
        four_pods.objects.wait_for("pods cannot be found", stuck)
        for form in [*forms[1:], *forms]:
            took.append(time_to_enforce(four_pods, form))
            time.sleep(0.2)
        assert process.readiness() == "ok"
    figures.append(f"runtime hangs, {STUCK} pods not found: policy -> in force in others at most {max(took):.3f} s")
    assert max(took) <= allowed(ENFORCED)
    four_pods.apply(four_pods.policy("stuck", [{"from": [app("friend")]}], app("app-7")))
    four_pods.await_pod("fleet-7")
    four_pods.await_reaching("fleet-7", {"friend"})
    four_pods.remove("stuck")
    for number in range(STUCK):
        four_pods.objects.delete("v1/Pod", f"fleet-{number}", four_pods.namespace, grace=1, wait=False)


def test_the_clock_is_moved(four_pods, bed, tmp_path, figures):
    """By a day forth and a day back, for the agent alone; its monotonic clock goes on as that of the kernel does."""
    if LIBFAKETIME is None:
        pytest.skip("needs libfaketime, the Debian package of that name")
    clock, log = tmp_path / "clock", tmp_path / "agent.log"
    move(clock, 0)
    environment = {
        "LD_PRELOAD": str(LIBFAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # which breaks sleep(3), but the agent waits in other ways
    }
    with closing(AgentProcess(bed, log, environment=environment)) as process:
        process.start_and_wait()
        bystander, forms = four_pods.sandbox("bystander"), four_pods.main_policies()
        for offset, form in ((DAY, forms[1]), (-DAY, forms[2]), (0, forms[0])):
            move(clock, offset)
            time.sleep(3)  # it is looked at once a second, or later on a busy machine
            said = len(log.read_text())
            enforced, mended = time_to_enforce(four_pods, form), mend(four_pods, bystander)
            assert enforced <= allowed(ENFORCED)
            assert mended <= allowed(MENDED)
            assert process.readiness() == "ok"
            date = time.strftime("time=%Y-%m-%dT", time.gmtime(time.time() + offset))
            assert date in log.read_text()[said:], "the clock was not moved"
            took = f"policy -> in force {enforced:.3f} s, drift repaired in {mended:.2f} s"
            figures.append(f"clock moved by {offset:+d} s: {took}")


# --- faults of the cluster --------------------------------------------------------------------------------------------


@contextmanager
def hanging(component):
    """A process of the bed that neither ends nor answers."""
    pid = daemon.pid_of(component)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def move(clock, seconds):
    """Step the clock to so many seconds before or after the kernel's (faketime(1))."""
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}")
    new.replace(clock)


def end_sandbox(four_pods, name, sandbox):
    """End its first process, as when the machine has no memory left; CRI-O's have none, so the runtime ends them."""
    if chosen().runtime == "crio":
        four_pods.bed.sandboxes.stop(ObjectName(four_pods.namespace, name))
    else:
        os.kill(int(Path(sandbox.path).parts[2]), signal.SIGKILL)  # /proc/PID/ns/net


def through(gate, kubeconfig, path):
    """The same kubeconfig, but for the way to the server."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = gate.url
    path.write_text(yaml.safe_dump(content))
    return path


# --- observations of the agent ----------------------------------------------------------------------------------------


def has_moved(four_pods, name, sandbox):
    """Whether a pod has another sandbox than it had."""
    with suppress(SandboxNotFoundError):
        return four_pods.sandbox(name) != sandbox
    return False


def readiness(process, seconds):
    """All its answers in so many seconds."""
    end, answers = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        answers.add(process.readiness())
        time.sleep(0.5)
    return answers


def mend(four_pods, sandbox):
    """Delete all rules; return the seconds until they are back."""
    right = four_pods.installed(sandbox)
    run_inside(sandbox, lambda: nft.load("flush ruleset"))
    return time_until(lambda: four_pods.installed(sandbox) == right)


def time_to_enforce(four_pods, policy):
    """Seconds until another form of the same policy is in force in the victim."""
    victim = four_pods.sandbox("victim")
    before = four_pods.installed(victim).digest
    four_pods.apply(policy)
    return time_until(lambda: four_pods.installed(victim).digest not in {"", before})
