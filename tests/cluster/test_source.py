"""The source against a real API server: figures, restarts, compaction, permissions.

KUBEBUILDER_ASSETS=FOLDER python -m pytest tests/cluster/test_source.py
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from mnp_core.kubeapi.connection import connect
from mnp_core.sources.kubernetes import KubernetesSource, WatchTiming
from tests.cluster.api_gate import ApiGate
from tests.cluster.control import ControlPlane, programs
from tests.sources.kubernetes.recording import Recorder, policy, until

pytestmark = pytest.mark.cluster

PODS = 5000
SOON = WatchTiming(max_seconds=2.0)  # no other clients to protect
GROUP = "k8s.cni.cncf.io"
POLICIES = f"/apis/{GROUP}/v1beta1/namespaces/default/multi-networkpolicies"
STATUS = [
    {"name": "cbr0", "interface": "eth0", "ips": ["10.244.0.1"], "default": True},
    {"name": "default/net-a", "interface": "net1", "ips": ["10.1.0.1", "2001:db8::1"], "mac": "aa:bb:cc:00:00:02"},
]


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    if missing := [name for name, path in programs().items() if path is None]:
        pytest.skip(f"not found: {', '.join(missing)}; name their folder in KUBEBUILDER_ASSETS")
    with ControlPlane(tmp_path_factory.mktemp("control")) as running:
        for kind, plural, versions in (
            ("MultiNetworkPolicy", "multi-networkpolicies", ("v1beta1",)),
            ("NetworkAttachmentDefinition", "network-attachment-definitions", ("v1",)),
        ):
            create_crd(running, kind, plural, versions)
        yield running


def create_crd(control, kind, plural, versions):
    """As clusters have it today: nothing is validated."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{"name": v, "served": True, "storage": v == versions[0], "schema": schema} for v in versions],
        },
    }
    control.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)


def create_pod(control, name, **labels):
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(STATUS)}
    containers = [{"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 8080}]}]
    body = {
        "metadata": {"name": name, "labels": {"app": "web", "team": "a", **labels}, "annotations": annotations},
        "spec": {"nodeName": "n1", "containers": containers},
    }
    return control.send("POST", "/api/v1/namespaces/default/pods", body)


def relabel(control, name, **labels):
    found = control.send("GET", f"/api/v1/namespaces/default/pods/{name}")
    found["metadata"]["labels"].update(labels)
    control.send("PUT", f"/api/v1/namespaces/default/pods/{name}", found)


def delete_pod(control, name):
    control.send("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")


def create_policy(control, name):
    body = {"apiVersion": f"{GROUP}/v1beta1", "kind": "MultiNetworkPolicy", **policy(name)}
    control.send("POST", POLICIES, body)


@contextmanager
def following(kubeconfig, timing=WatchTiming(), *, complete=True, stream_timeout=90.0):  # noqa: B008 # a frozen value
    recorded = Recorder()
    with closing(connect(kubeconfig, stream_timeout=stream_timeout)) as api:
        source = KubernetesSource(api, (), recorded.deliver, recorded, timing)
        source.start()
        try:
            if complete:
                until(lambda: source.complete and source.waiting == ())
            yield source, recorded
        finally:
            source.stop()


def test_changes_come_at_once(control, figures):
    """S61."""
    with following(control.kubeconfig()) as (_, recorded):
        delays = []
        for number in range(50):
            started = time.monotonic()
            create_pod(control, f"quick-{number}")
            until(lambda number=number: f"default/quick-{number}" in recorded.names("Pod"))
            delays.append(time.monotonic() - started)
        for number in range(50):
            delete_pod(control, f"quick-{number}")
        until(lambda: not recorded.names("Pod"))
        figures.append(
            f"source: pod created -> recorded, 50 times: worst {max(delays) * 1000:.0f} ms (with its creation)"
        )


def test_410_after_compaction_delivers_exactly_the_differences(control):
    """S61: compaction of etcd, and an API server without a history of its own."""
    for name in ("same", "changed", "deleted"):
        create_pod(control, name)
    with ApiGate(control.port) as gate, following(control.kubeconfig(server=gate.url), SOON) as (source, recorded):
        before = len(recorded.history("Pod"))
        gate.shut()
        until(lambda: len(source.waiting) == 4)
        relabel(control, "changed", app="other")
        delete_pod(control, "deleted")
        create_pod(control, "new")
        control.end("kube-apiserver")
        control.compact()
        control.start_apiserver()
        gate.open()
        until(
            lambda: {"default/new"} <= recorded.names("Pod") and "default/deleted" not in recorded.names("Pod"),
            "the change",
        )
        until(lambda: source.waiting == ())
        news = sorted(recorded.history("Pod")[before:])
        assert news == ["+default/changed", "+default/new", "-default/deleted"]
        assert ("Pod", "gone") in recorded.restarts
    for name in ("same", "changed", "new"):
        delete_pod(control, name)


@pytest.mark.parametrize("restart", range(3))
def test_a_restart_of_the_server_takes_no_policy_away(control, restart):
    """S62: a server that starts does not know of custom resources at first."""
    create_policy(control, f"deny-{restart}")
    try:
        timing = WatchTiming(base_seconds=0.01, max_seconds=0.05)  # asks all the time
        with following(control.kubeconfig(), timing) as (source, recorded):
            before = recorded.names("MultiNetworkPolicy")
            control.end("kube-apiserver")
            control.start_apiserver()
            until(lambda: source.waiting == (), "the watches")
            assert recorded.names("MultiNetworkPolicy") == before
            assert not [change for change in recorded.history("MultiNetworkPolicy") if change.startswith("-")]
            create_pod(control, f"after-{restart}")
            until(lambda: recorded.names("Pod") == {f"default/after-{restart}"})
            delete_pod(control, f"after-{restart}")
    finally:
        control.send("DELETE", f"{POLICIES}/deny-{restart}")


def test_a_source_that_starts_before_the_server_does_not_believe_that_there_are_no_policies(control):
    """S62."""
    create_policy(control, "deny")
    control.end("kube-apiserver")
    try:
        with following(control.kubeconfig(), WatchTiming(base_seconds=0.01, max_seconds=0.05), complete=False) as (
            source,
            recorded,
        ):
            control.start_apiserver()
            until(lambda: source.complete)
            assert recorded.names("MultiNetworkPolicy") == {"default/deny"}
    finally:
        control.send("DELETE", f"{POLICIES}/deny")


def test_a_crd_comes_and_goes(control):
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/multi-networkpolicies.{GROUP}"
    create_policy(control, "deny")
    with following(control.kubeconfig()) as (source, recorded):
        assert recorded.names("MultiNetworkPolicy") == {"default/deny"}
        control.send("DELETE", definition)
        until(lambda: recorded.names("MultiNetworkPolicy") == set())
        until(lambda: any("is not served" in sentence for sentence in source.waiting))
        create_crd(control, "MultiNetworkPolicy", "multi-networkpolicies", ("v1beta2", "v1beta1"))
        until(lambda: source.waiting == ())
        create_policy(control, "later")
        until(lambda: recorded.names("MultiNetworkPolicy") == {"default/later"})
    control.send("DELETE", f"{POLICIES}/later")


def test_missing_permission_is_named(control):
    with following(control.kubeconfig("nobody"), complete=False) as (source, recorded):
        until(lambda: len({kind for kind, _ in recorded.refusals}) == 4)
        assert all("give its ClusterRole the rule" in sentence for _, sentence in recorded.refusals)
        assert not source.complete
        rules = [
            {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list", "watch"]},
            {
                "apiGroups": [GROUP],
                "resources": ["multi-networkpolicies", "network-attachment-definitions"],
                "verbs": ["get", "list", "watch"],
            },
        ]
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        control.send("POST", f"{rbac}/clusterroles", {"metadata": {"name": "agent"}, "rules": rules})
        binding = {
            "metadata": {"name": "agent"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "agent"},
            "subjects": [{"kind": "User", "name": "nobody"}],
        }
        control.send("POST", f"{rbac}/clusterrolebindings", binding)
        until(lambda: source.complete and source.waiting == ())


_LOOK = """
import sys, time
started = time.monotonic()
from mnp_core.kubeapi.connection import connect
from mnp_core.sources.kubernetes import KubernetesSource
from tests.sources.kubernetes.recording import Recorder
recorded = Recorder()
recorded.changes = type("Nothing", (), {"append": lambda *_: None})()
source = KubernetesSource(connect(sys.argv[1]), (), recorded.deliver, recorded)
imported = time.monotonic()
source.start()
while not source.complete:
    time.sleep(0.01)
listed = time.monotonic()
source.stop()
status = open("/proc/self/status").read().split()
peak, now = (int(status[status.index(name) + 1]) // 1024 for name in ("VmHWM:", "VmRSS:"))
print(f"{len(recorded.names('Pod'))} pods: import {imported - started:.2f} s, "
      f"start -> complete {listed - imported:.2f} s, CPU {time.process_time():.2f} s, "
      f"resident {now} MiB, at most {peak} MiB")
"""


def test_five_thousand_pods(control, figures):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: create_pod(control, f"pod-{number}"), range(PODS)))
    command = [sys.executable, "-c", _LOOK, control.kubeconfig()]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout.startswith(f"{PODS} pods")
    figures.append(f"source: {found.stdout.strip()}")
