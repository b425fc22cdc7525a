"""The webhook in a cluster of 5,000 pods and 1,000 policies: latency, CPU and memory of a review.

Objects come as watches deliver them, reviews as API servers send them; HTTPS is left out. Each review is of another
policy: selectors, a namespace selector and a named port, so that every rule has something to look at. A review is CPU
time of one thread and nothing else, so this is its latency on an idle processor, whatever else the machine does.

* quiet: nothing changes between two reviews;
* busy: a pod changes before each review, as in a rollout;
* network: a network attachment definition changes before each review, which concerns every pod.

Arguments: the numbers of pods and of policies.
"""

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnp_core.admission.judge import REFUSED, Judge
from mnp_core.admission.known_cluster import KnownCluster
from mnp_core.admission.webhook import Webhook
from mnp_core.model import Change, ObjectName
from mnp_core.model.budget import Budgets
from mnp_core.sources.decode import Decoder

PODS, POLICIES = 5000, 1000
NAMESPACES, NETWORKS = 100, 5
REVIEWS, FEW = 300, 20
CLAIMED = frozenset({"macvlan"})
STATUS, FOR = "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/policy-for"

_decode = Decoder().decode


def network(namespace: int, number: int, subnet: str = "10.0.0.0/8") -> dict[str, Any]:
    config = {
        "cniVersion": "1.0.0",
        "type": "macvlan",
        "master": "eth1",
        "ipam": {"type": "host-local", "subnet": subnet},
    }
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": f"ns-{namespace}", "name": f"net-{number}"},
        "spec": {"config": json.dumps(config)},
    }


def pod(number: int, revision: int = 0) -> dict[str, Any]:
    namespace = number % NAMESPACES
    address = f"10.{number >> 8}.{number & 255}.7"
    entry = {"name": f"ns-{namespace}/net-{number % NETWORKS}", "interface": "net1", "ips": [address]}
    labels = {"app": f"app-{number % 20}", "tier": f"tier-{number % 3}", "revision": str(revision)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": f"ns-{namespace}",
            "name": f"pod-{number}",
            "labels": labels,
            "annotations": {STATUS: json.dumps([entry])},
        },
        "spec": {"nodeName": "node", "containers": [{"ports": [{"name": "http", "containerPort": 80}]}]},
        "status": {"phase": "Running"},
    }


def policy(number: int, name: str = "policy") -> dict[str, Any]:
    namespace = number % NAMESPACES
    peers = [
        {"podSelector": {"matchLabels": {"app": f"app-{number % 20}"}}},
        {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}},
    ]
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "namespace": f"ns-{namespace}",
            "name": f"{name}-{number}",
            "annotations": {FOR: ", ".join(f"net-{each}" for each in range(NETWORKS))},
        },
        "spec": {
            "podSelector": {"matchLabels": {"tier": f"tier-{number % 3}"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": "http"}]}],
            "egress": [{"to": peers[:2], "ports": [{"protocol": "TCP", "port": 80 + each} for each in range(5)]}],
        },
    }


def changes(objects: list[dict[str, Any]]) -> list[Change]:
    return [found for each in objects if (found := _decode(each)) is not None]


class Bench:
    """The webhook and its cluster."""

    def __init__(self, pods: int, policies: int) -> None:
        self.cluster = KnownCluster(CLAIMED)
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{each}", "labels": {"team": "a"}}}
            for each in range(NAMESPACES)
        ]
        self.cluster.put(changes(namespaces), 0.0)
        self.cluster.put(changes([pod(each) for each in range(pods)]), 0.0)
        self.cluster.put(changes([policy(each, "stored") for each in range(policies)]), 0.0)
        for namespace in range(NAMESPACES):
            for number in range(NETWORKS):
                self.put_network(namespace, number)
        judge = Judge(decoder=Decoder(), claimed=CLAIMED, budgets=Budgets(), refuse=REFUSED, lookup=lambda _: None)
        self.webhook = Webhook(judge, lambda: (self.cluster.view(), ""))

    def put_network(self, namespace: int, number: int, subnet: str = "10.0.0.0/8") -> None:
        raw = json.dumps(network(namespace, number, subnet)).encode()
        self.cluster.put_network(ObjectName(f"ns-{namespace}", f"net-{number}"), raw)

    def review(self, number: int) -> float:
        request = {"uid": "u", "operation": "CREATE", "object": policy(number)}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
        begun = time.thread_time()
        page = self.webhook.validate(body)
        took = time.thread_time() - begun
        if not json.loads(page.body)["response"]["allowed"]:
            raise AssertionError(page.body)
        return took

    def measure(self, name: str, number: int, before: Callable[[int], None]) -> None:
        times = []
        for each in range(number):
            before(each)
            times.append(self.review(each))
        times.sort()
        middle, late = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
        print(
            f"{name}: {number} reviews, p50 {1000 * middle:.1f} ms, p99 {1000 * late:.1f} ms, at most"
            f" {1000 * times[-1]:.1f} ms; {_resident():.0f} MiB,"
            f" at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}"
        )


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    pods, policies = (int(each) for each in sys.argv[1:3]) if len(sys.argv) > 2 else (PODS, POLICIES)
    empty = _resident()
    bench = Bench(pods, policies)
    first = bench.review(0)
    gc.collect()
    print(f"{pods} pods, {policies} policies, {NAMESPACES * NETWORKS} networks: the first review {1000 * first:.0f} ms")
    print(f"{_resident():.0f} MiB, of which {empty:.0f} before")
    bench.measure("quiet", REVIEWS, lambda _: None)
    bench.measure("busy", REVIEWS, lambda each: bench.cluster.put(changes([pod(each, revision=1)]), 0.0))
    bench.measure("network", FEW, lambda each: bench.put_network(each, 0, "10.0.0.0/9"))


if __name__ == "__main__":
    main()
