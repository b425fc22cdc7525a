"""Objects that tests need, with as little in them as possible."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.testbed import place

NETWORKS = "k8s.v1.cni.cncf.io/networks"
POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"
STATUS = "k8s.v1.cni.cncf.io/network-status"


def pod(name: str, networks: object = (), *, labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that runs and does nothing.

    Args:
        name: Of the pod.
        networks: Its secondary networks: the short form as text, or a list that becomes JSON.
        labels: Of the pod.
        spec: Further fields of its spec.
    """
    annotation = networks if isinstance(networks, str) else json.dumps(list(networks))  # type: ignore[call-overload]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": dict(labels or {}),
            "annotations": {NETWORKS: annotation} if networks else {},
        },
        "spec": {"containers": [container()], "terminationGracePeriodSeconds": 1, **spec},
    }


def container(name: str = "idle", command: Sequence[str] = ()) -> dict[str, Any]:
    """A container of the workload image."""
    return {"name": name, "image": place.WORKLOAD_IMAGE, **({"command": list(command)} if command else {})}


def network(name: str, subnet: str, *, parent: str = place.PARENT, **fields: Any) -> dict[str, Any]:
    """A macvlan network with host-local IPAM.

    Args:
        name: Of the NetworkAttachmentDefinition.
        subnet: Such as 10.1.0.0/24.
        parent: The node's link.
        fields: Further fields of the CNI configuration, or other values for them.
    """
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    config = {
        "cniVersion": "0.4.0",
        "name": name,
        "type": "macvlan",
        "master": parent,
        "mode": "bridge",
        "ipam": ipam,
        **fields,
    }
    return definition(name, config)


def definition(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A NetworkAttachmentDefinition."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name},
        "spec": {"config": json.dumps(config)},
    }


def policy(
    name: str, network: str, target: Mapping[str, str], *, kind: str = "MultiNetworkPolicy", **spec: Any
) -> dict[str, Any]:
    """A policy for one network.

    Args:
        name: Of the policy.
        network: Its policy-for.
        target: Labels of the pods that it selects.
        kind: Or another of the same group.
        spec: Further fields of its spec; without any, nothing comes in.
    """
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": kind,
        "metadata": {"name": name, "annotations": {POLICY_FOR: network}},
        "spec": {"podSelector": {"matchLabels": dict(target)}, **spec},
    }


def from_pods(*ports: Mapping[str, Any], **labels: str) -> dict[str, Any]:
    """A rule of ingress: pods with these labels, on these ports or on all."""
    rule: dict[str, Any] = {"from": [{"podSelector": {"matchLabels": labels}}]}
    return {**rule, "ports": list(ports)} if ports else rule


def daemon_set(name: str, **spec: Any) -> dict[str, Any]:
    """A DaemonSet of idle pods."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container()], "terminationGracePeriodSeconds": 1, **spec},
            },
        },
    }


def network_status(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pod's network-status annotation; empty until the meta-plugin has written it."""
    return json.loads(found["metadata"].get("annotations", {}).get(STATUS, "[]"))


def running(found: Mapping[str, Any]) -> bool:
    """Whether a pod's containers run and are ready."""
    conditions = found.get("status", {}).get("conditions", ())
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return found.get("status", {}).get("phase") == "Running" and ready
