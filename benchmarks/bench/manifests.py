"""Objects of the measured cluster."""

import json
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.bench.local_pods import INTERFACE
from benchmarks.bench.verdicts import PORT
from scripts.testbed import place

NODE: Final = "bench-node"
FAR: Final = f"{NODE}-far"
NAMESPACE: Final = "bench"
POLICIES: Final = 100
"""Policies of the cluster, besides ``members`` and ``everywhere``."""

PER_POD: Final = (1, 2, 10, 50)
"""How many of these a pod may be selected by."""

_NETWORK: Final = f"{NAMESPACE}/net"
_NETWORKS, _STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
_ATTACHED: Final = 5  # one pod in so many of another node is on the network
_HERE: Final = {"node": "here"}
_SENDER: Final = {"role": "sender"}

Object = dict[str, Any]


def network() -> Object:
    """The secondary network."""
    config = {"cniVersion": "0.3.1", "type": "macvlan", "ipam": {}}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "net", "namespace": NAMESPACE},
        "spec": {"config": json.dumps(config)},
    }


def policies(per_pod: int) -> list[Object]:
    """Policies that each select so many pods that each pod is selected by `per_pod`; and ``members``, for a sender."""
    kinds = POLICIES // per_pod
    found = [
        _policy(f"policy-{number}", _kind(number, kinds), [_pods(_kind(number + 1, kinds)), _block(number)])
        for number in range(POLICIES)
    ]
    return [*found, _policy("members", _HERE, [_pods(_SENDER)])]


def everywhere(address: str) -> Object:
    """A policy that lets an address into all pods of the node."""
    return _policy("everywhere", _HERE, [{"ipBlock": {"cidr": f"{address}/32"}}])


def local_pod(number: int, name: str, address: str) -> Object:
    """Metadata of a pod of the node."""
    return {"name": name, "labels": {**_HERE, **_labels(number)}, "annotations": _attached(address)}


def far_pod(number: int, *, attached: bool = False) -> Object:
    """Metadata of a pod of another node; one of five is on the network, unless all are."""
    metadata: Object = {"name": f"far-{number}", "labels": _labels(number)}
    if attached or number % _ATTACHED == 0:
        metadata["annotations"] = _attached(f"10.61.{number // 250}.{number % 250 + 1}")
    return metadata


def sender(address: str) -> Object:
    """A pod of another node that policy ``members`` lets in."""
    metadata = {"name": "sender", "labels": _SENDER, "annotations": _attached(address)}
    container = {"name": "idle", "image": place.WORKLOAD_IMAGE}
    spec = {"nodeName": FAR, "automountServiceAccountToken": False, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def running(name: str) -> Object:
    """The status of a pod with one container, which has the pod's name."""
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    found = {"name": "idle", "image": place.WORKLOAD_IMAGE, "imageID": "", "ready": True, "restartCount": 0}
    return {"phase": "Running", "containerStatuses": [{**found, "state": state, "containerID": f"containerd://{name}"}]}


def _labels(number: int) -> dict[str, str]:
    return {key: value for per_pod in PER_POD for key, value in _kind(number, POLICIES // per_pod).items()}


def _kind(number: int, kinds: int) -> dict[str, str]:
    return {f"of-{kinds}": f"{number % kinds}"}


def _attached(address: str) -> dict[str, str]:
    links = [
        {"name": "default", "interface": "eth0", "ips": [], "default": True, "dns": {}},
        {"name": _NETWORK, "interface": INTERFACE, "ips": [address], "mac": "", "dns": {}},
    ]
    return {_NETWORKS: _NETWORK, _STATUS: json.dumps(links)}


def _pods(labels: Mapping[str, str]) -> Object:
    return {"podSelector": {"matchLabels": dict(labels)}}


def _block(number: int) -> Object:
    return {"ipBlock": {"cidr": f"192.168.{number}.0/24", "except": [f"192.168.{number}.8/29"]}}


def _policy(name: str, selected: Mapping[str, str], peers: list[Object]) -> Object:
    rule = {"from": peers, "ports": [{"port": 80}, {"protocol": "UDP", "port": PORT}]}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"k8s.v1.cni.cncf.io/policy-for": _NETWORK}},
        "spec": {"podSelector": {"matchLabels": dict(selected)}, "policyTypes": ["Ingress"], "ingress": [rule]},
    }
