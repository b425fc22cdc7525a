"""The node agent beside a real API server: latency from a change to its enforcement, and the agent's cost.

100 pods of one node, as namespaces with real macvlan interfaces (a lab), 5,000 pods in the cluster, 100 policies. Times
are taken outside of the agent: from before the request to the API server until the kernel announces the commit in the
pod's namespace (NFT_MSG_NEWGEN), for each pod. Needs root and the test bed, docs/testbed.md.
"""

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench.cluster import served
from benchmarks.bench.engines import WITHOUT_EXAMPLE
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.manifests import Document
from mnp_lab.lab import Lab
from mnp_nftables.commit_listener import listen_to_commits
from scripts.testbed import bed, place
from tests.cluster.components import command
from tests.cluster.fleet import Fleet
from tests.cluster.objects import Objects

LOCAL, CLUSTER, ATTACHED, POLICIES, ROUNDS = 100, 5000, 1000, 100, 20
APPS = int(os.environ.get("APPS", "50"))  # kinds of pods: 50 are selected by two policies each, 10 by ten each
NODE, NAMESPACE, LAB = "bench-node", "bench", "bench-node-agent"
LISTEN = "127.0.0.1:9471"
NETWORK = f"{NAMESPACE}/net"
POLICY = "k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy"
STATUS = "k8s.v1.cni.cncf.io/network-status"
IDLE = 30  # seconds
CLUSTER_DATA = Path(__file__).parents[1] / "tests/cluster/data/networkattachmentdefinitions.yml"
SCHEME = Path(__file__).parents[1] / "deploy/scheme.yml"


def main() -> None:
    ours = not bed.is_up()
    if ours:
        command("up", patience=3600)
    try:
        with lab() as found:
            measure(found)
    finally:
        if ours:
            command("down")


def measure(found: Lab) -> None:
    objects = Objects(place.KUBECONFIG)
    fleet = Fleet(objects)
    try:
        seconds = timed(lambda: fill(objects, fleet, found))
        print(f"{CLUSTER} pods made in {seconds:.1f} s")
        with agent() as process, listeners(found) as sockets:
            print(f"start to all enforced: {wait_until_enforced():.2f} s")
            settle(sockets)
            rounds(objects, sockets)
            print(f"resident memory: {resident(process.pid):.0f} MiB")
            print(f"idle: {idle(process.pid):.2f} % of one processor over {IDLE} s")
    finally:
        fleet.remove_pods(NAMESPACE)
        objects.delete("v1/Namespace", NAMESPACE, wait=False)
        for node in (NODE, f"{NODE}-far"):
            fleet.remove_node(node)
        objects.close()


# --- the cluster --------------------------------------------------------------------------------------------------


@contextmanager
def lab() -> Iterator[Lab]:
    """The node's pods, as real namespaces."""
    config = {"cniVersion": "0.3.1", "type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.60.0.0/16"}}
    manifests: list[dict[str, Any]] = [
        {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "net", "namespace": NAMESPACE},
            "spec": {"config": json.dumps(config)},
        },
        *(_pod(number) for number in range(LOCAL)),
    ]
    documents = [Document(where="benchmark", raw=raw) for raw in manifests]
    found = Lab.up(LAB, documents)
    try:
        yield found
    finally:
        found.down()


def _pod(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"local-{number}",
            "namespace": NAMESPACE,
            "labels": {"app": f"app-{number % APPS}", "node": "here"},
            "annotations": {"k8s.v1.cni.cncf.io/networks": NETWORK},
        },
        "spec": {"containers": [{"name": "idle", "image": place.WORKLOAD_IMAGE}]},
    }


def fill(objects: Objects, fleet: Fleet, found: Lab) -> None:
    objects.apply(CLUSTER_DATA)
    objects.apply(SCHEME)
    objects.wait_for("policies are served", lambda: served(objects))
    objects.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    objects.wait_for("a ServiceAccount", lambda: objects.find("v1/ServiceAccount", "default", NAMESPACE))
    definition = found.objects[ObjectRef("NetworkAttachmentDefinition", ObjectName(NAMESPACE, "net"))].raw
    objects.apply(definition)
    for number in range(POLICIES):
        objects.apply(policy(f"policy-{number}", {"app": f"app-{number % APPS}"}, f"app-{(number + 1) % APPS}", number))
    fleet.node(NODE)
    fleet.node(f"{NODE}-far")
    fleet.fake_pods(LOCAL, NODE, NAMESPACE, lambda number: _metadata(found, number))
    fleet.fake_pods(CLUSTER - LOCAL, f"{NODE}-far", NAMESPACE, far)


def _metadata(found: Lab, number: int) -> dict[str, Any]:
    raw = found.objects[ObjectRef("Pod", ObjectName(NAMESPACE, f"local-{number}"))].raw["metadata"]
    return {key: raw[key] for key in ("name", "labels", "annotations")}


def far(number: int) -> dict[str, Any]:
    """A pod of another node; one in five is on the network."""
    metadata: dict[str, Any] = {"name": f"far-{number}", "labels": {"app": f"app-{number % APPS}"}}
    if number < ATTACHED:
        address = f"10.61.{number // 250}.{number % 250 + 1}"
        status = [{"name": NETWORK, "interface": "net1", "ips": [address], "mac": "", "dns": {}}]
        metadata["annotations"] = {STATUS: json.dumps(status)}
    return metadata


def policy(name: str, selected: dict[str, str], peer: str, number: int) -> dict[str, Any]:
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": NETWORK},
        },
        "spec": {
            "podSelector": {"matchLabels": selected},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchLabels": {"app": peer}}},
                        {"ipBlock": {"cidr": f"192.168.{number}.0/24", "except": [f"192.168.{number}.8/29"]}},
                    ],
                    "ports": [{"port": 80}, {"protocol": "UDP", "port": 53}],
                }
            ],
        },
    }


# --- the agent ----------------------------------------------------------------------------------------------------


@contextmanager
def agent() -> Iterator[subprocess.Popen[bytes]]:
    program = Path(sys.executable).with_name("multi-network-policy-node")
    settings = f"{WITHOUT_EXAMPLE}sandbox-locator: lab\nsandbox-locator-settings: {{lab: {LAB}}}\nlog-level: warning\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        file.write_text(settings)
        options = [
            "--settings",
            file,
            "--kubeconfig",
            place.KUBECONFIG,
            "--listen",
            LISTEN,
            "--hostname-override",
            NODE,
        ]
        with subprocess.Popen([program, *map(str, options)]) as process:  # noqa: S603 - our own program, and no shell
            try:
                yield process
            finally:
                process.terminate()


def wait_until_enforced() -> float:
    began = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(f"http://{LISTEN}/readyz", timeout=5):
                return time.monotonic() - began
        except OSError:
            time.sleep(0.02)


def resident(pid: int) -> float:
    """MiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def idle(pid: int) -> float:
    """Percent of one processor."""
    time.sleep(5)
    before = _ticks(pid)
    time.sleep(IDLE)
    return (_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / IDLE * 100


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# --- the kernel's announcements -----------------------------------------------------------------------------------


@contextmanager
def listeners(found: Lab) -> Iterator[dict[int, Any]]:
    """A socket in each pod's namespace, by its number, that hears of commits."""
    sockets = [
        run_inside(found.sandbox(ObjectName(NAMESPACE, f"local-{number}")), listen_to_commits)
        for number in range(LOCAL)
    ]
    try:
        yield {each.fileno(): each for each in sockets}
    finally:
        for each in sockets:
            each.close()


def rounds(objects: Objects, sockets: dict[int, Any]) -> None:
    everywhere = policy("everywhere", {"node": "here"}, "app-1", 200)
    status = [{"name": NETWORK, "interface": "net1", "ips": ["10.62.0.1"], "mac": "", "dns": {}}]
    late = {"name": "late", "labels": {"app": "app-1"}, "annotations": {STATUS: json.dumps(status)}}
    pods = objects.collection("v1/Pod", NAMESPACE)
    steps: dict[str, Callable[[], object]] = {
        "policy created": lambda: objects.create(everywhere),
        "peer pod added": lambda: objects.request("POST", pods, _far_pod(late)),
        "peer pod removed": lambda: objects.delete("v1/Pod", "late", NAMESPACE, grace=0, wait=False),
        "policy deleted": lambda: objects.delete(POLICY, "everywhere", NAMESPACE, wait=False),
    }
    answered: dict[str, list[float]] = {what: [] for what in steps}
    taken: dict[str, list[list[float]]] = {what: [] for what in steps}
    for _ in range(ROUNDS):
        for what, step in steps.items():
            answer, latencies = until_all(sockets, step)
            answered[what].append(answer * 1000)
            taken[what].append(latencies)
    for what, found in taken.items():
        each = sorted(latency * 1000 for latencies in found for latency in latencies)
        last = [max(latencies) * 1000 for latencies in found]
        print(
            f"{what}: in a pod after {statistics.median(each):.0f} ms, p99 {each[len(each) * 99 // 100]:.0f} ms;"
            f" in all {LOCAL} after {statistics.median(last):.0f} ms, worst of {ROUNDS} {max(last):.0f} ms;"
            f" the API server answers after {statistics.median(answered[what]):.0f} ms"
        )
        if "-v" in sys.argv:
            print(*(f"{answer:.0f}/{latency:.0f}" for answer, latency in zip(answered[what], last, strict=True)))


def _far_pod(metadata: dict[str, Any]) -> dict[str, Any]:
    spec = {
        "nodeName": f"{NODE}-far",
        "automountServiceAccountToken": False,
        "containers": [{"name": "idle", "image": place.WORKLOAD_IMAGE}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def until_all(sockets: dict[int, Any], change: Callable[[], object]) -> tuple[float, list[float]]:
    """Seconds from before the change until it was answered, and until the first commit in each namespace."""
    poll = select.poll()
    for number in sockets:
        poll.register(number, select.POLLIN)
    began, latencies = time.monotonic(), list[float]()
    change()
    answer = time.monotonic() - began
    while len(latencies) < len(sockets):
        ready = poll.poll(30_000)
        now = time.monotonic()
        if not ready:
            raise SystemExit(f"after 30 s a change is in force in {len(latencies)} of {len(sockets)} pods")
        for number, _ in ready:
            poll.unregister(number)
            latencies.append(now - began)
    settle(sockets)
    return answer, latencies


def settle(sockets: dict[int, Any]) -> None:
    """Take in everything until nothing comes for a while."""
    poll = select.poll()
    for number in sockets:
        poll.register(number, select.POLLIN)
    while ready := poll.poll(700):
        for number, _ in ready:
            try:
                sockets[number].recv(65536)
            except OSError:
                continue


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
