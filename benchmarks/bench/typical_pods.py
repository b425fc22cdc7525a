"""Pods as large as those of real clusters, of another node."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmarks.bench import manifests
from benchmarks.bench.cluster import POD
from benchmarks.bench.manifests import FAR, NAMESPACE, Object
from scripts.testbed import place
from tests.cluster.objects import Objects

HOST_NETWORK: Final = 5
"""One pod in so many is on the host's network: DaemonSets of the cluster itself."""

_THREADS: Final = 12
_SINCE: Final = "2026-01-01T00:00:00Z"


def make_typical_pods(objects: Objects, count: int) -> None:
    """Make pods with two containers, variables, probes, volumes and a full status, written by two managers."""
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda number: _make(objects, number), range(count)))


def _make(objects: Objects, number: int) -> None:
    metadata = manifests.far_pod(number)
    metadata["labels"] |= {f"app.kubernetes.io/{key}": f"value-of-{key}" for key in ("name", "instance", "version")}
    spec: Object = {
        "nodeName": FAR,
        "automountServiceAccountToken": False,
        "hostNetwork": number % HOST_NETWORK == 1,
        "containers": [_container("main"), _container("side")],
        "volumes": [{"name": f"volume-{each}", "emptyDir": {"sizeLimit": "1Gi"}} for each in range(4)],
    }
    objects.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, NAMESPACE)
    objects.patch(POD, metadata["name"], {"status": _status(number)}, NAMESPACE, part="status")


def _container(name: str) -> Object:
    probe = {"exec": {"command": ["/bin/true", name]}, "periodSeconds": 10}
    return {
        "name": name,
        "image": place.WORKLOAD_IMAGE,
        "args": [f"--argument-{each}=value" for each in range(8)],
        "env": [{"name": f"VARIABLE_{each}", "value": f"value of {each}"} for each in range(12)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [{"name": f"volume-{each}", "mountPath": f"/mnt/{each}"} for each in range(4)],
    }


def _status(number: int) -> Object:
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers")
    address = f"10.244.{number // 250}.{number % 250 + 1}"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": _SINCE,
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": _SINCE} for each in kinds],
        "containerStatuses": [_container_status(name, number) for name in ("main", "side")],
    }


def _container_status(name: str, number: int) -> Object:
    return {
        "name": name,
        "image": place.WORKLOAD_IMAGE,
        "imageID": f"{place.WORKLOAD_IMAGE}@sha256:{number:064x}",
        "containerID": f"containerd://{number:064x}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": _SINCE}},
    }
