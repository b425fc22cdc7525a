"""Behaviour of runtimes beyond the plain start of a pod, with the agent as deployed."""

import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from scripts.testbed import place, programs, runtime
from scripts.testbed.kind import chosen
from tests.cluster.manifests import STATUS, container, from_pods, pod, policy
from tests.cluster.nodeagent import complaints, errors, kubectl

pytestmark = pytest.mark.usefixtures("agent")

PODS = "web client stranger"
CLASS = "node.k8s.io/v1/RuntimeClass"
STARTS = 8


def closed(scene):
    """Only client reaches web."""
    scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods(app="client")]))


def three(**spec):
    return [pod(name, "red", labels={"app": name}, **spec) for name in PODS.split()]


def test_pods_with_users_of_their_own_are_enforced(scene):
    """hostUsers: false. Their network namespaces belong to another user namespace."""
    minor = programs.minor_version(programs.find("kubelet"))
    if minor < 33:
        pytest.skip(f"Kubernetes 1.{minor} gives pods no users of their own unless it is told to")
    scene.run(*three(hostUsers=False))
    users = kubectl("--namespace", scene.namespace, "exec", "web", "--", "cat", "/proc/self/uid_map").split()
    assert int(users[1]) > 0, "else root in the pod is the node's"
    closed(scene)
    scene.becomes(PODS, denied="stranger>web")
    scene.delete("clients", kind="k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy")
    scene.becomes(PODS)


@contextmanager
def namespaces_under_state(bed):
    """The runtime keeps the namespaces of pods that start now in its own state."""
    try:
        with bed.components.stopped("runtime"):
            runtime.configure(under_state=True)
        yield
    finally:
        with bed.components.stopped("runtime"):
            runtime.configure()


@pytest.mark.skipif(chosen().runtime != "containerd", reason="a setting of containerd's")
def test_namespaces_in_the_state_of_containerd_are_found(bed, scene):
    """netns_mounts_under_state_dir = true: they are mounted below /run/containerd while the agent runs."""
    with namespaces_under_state(bed):
        scene.run(*three())
        assert any((place.NODE_FILES / "run-containerd").rglob("netns/*")), "else this test could not fail"
        closed(scene)
        scene.becomes(PODS, denied="stranger>web")
        scene.delete(*PODS.split())


@pytest.fixture
def slow_class(bed):
    bed.objects.apply(
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "slow"}, "handler": runtime.SLOW}
    )
    yield "slow"
    bed.objects.delete(CLASS, "slow")


def test_a_sandbox_that_the_runtime_lists_late_is_waited_for_in_silence(bed, scene, agent, slow_class):
    """Network-status is there seconds before the runtime lists the sandbox: no error, no Event, enforced afterwards."""
    scene.run(*three()[1:])
    closed(scene)
    before = errors(agent)
    begun = time.monotonic()
    scene.apply(three(runtimeClassName=slow_class)[0])
    bed.objects.wait_until("v1/Pod", "web", lambda found: STATUS in found["metadata"]["annotations"], scene.namespace)
    announced = time.monotonic() - begun
    scene.wait_until_runs("web")
    assert time.monotonic() - begun - announced > runtime.SLOW_BY, "else it was not late"
    scene.becomes(PODS, denied="stranger>web")
    assert complaints(scene, agent, "web") == []
    assert errors(agent) == before


def test_the_window_at_a_pods_start_is_measured(scene, figures):
    """From when a pod's first container runs until its rules are there; the figure of docs/security.md."""
    closed(scene)
    windows = sorted(window(scene, f"web-{number}") for number in range(STARTS))
    load = Path("/proc/loadavg").read_text().split()[0]
    figures.append(
        f"window at a pod's start: rules {windows[STARTS // 2]:.2f} s (median), {windows[-1]:.2f} s (longest) after "
        f"the container's start; {STARTS} pods, load {load}"
    )
    assert windows[-1] < 5


def window(scene, name):
    """Seconds from the start of the container to its first rule; negative: the rules were there before it."""
    folder = {"name": "said", "emptyDir": {}}
    say = container("idle", ["sh", "-c", "cut -d' ' -f1 /proc/uptime >/said/start; sleep 1000000"])
    say["volumeMounts"] = [{"name": "said", "mountPath": "/said"}]
    made = pod(name, "red", labels={"app": "web"}, volumes=[folder])
    made["spec"]["containers"] = [say]
    ruled = []
    watcher = Thread(target=lambda: ruled.append(await_rules(scene, name)))
    scene.apply(made)
    watcher.start()
    scene.wait_until_runs(name)
    watcher.join(30)
    uid = scene.pod(name)["metadata"]["uid"]
    said = place.NODE_FILES / f"kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/said/start"
    scene.objects.wait_for(f"{name} has said its start", lambda: said.exists() and said.read_text(), patience=30)
    started = float(said.read_text())
    scene.delete(name)
    return ruled[0] - started


def await_rules(scene, name):
    """Uptime when the first rule is seen."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if "table" in scene.execute(name, "nft", "list", "tables"):
                return time.clock_gettime(time.CLOCK_BOOTTIME)
        except Exception:  # noqa: BLE001, S110 - no sandbox yet, or no longer the same
            pass
        time.sleep(0.005)
    return until
