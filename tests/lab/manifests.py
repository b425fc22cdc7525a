"""Manifests in one line each, as people would write them."""

import json

from mnp_core.sources.manifests import Document

NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"


def written(raw, where="lab.yaml, document 1"):
    return Document(where=where, raw=raw)


def manifest(kind, name, namespace="default", api="v1", **rest):
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    metadata |= rest.pop("metadata", {})
    return written({"apiVersion": api, "kind": kind, "metadata": metadata, **rest}, f"{name}.yaml, document 1")


def nad(name, config=None, namespace="default", **ipam):
    config = config or {"type": "macvlan", "master": "eth0", "ipam": ipam}
    text = config if isinstance(config, str) else json.dumps(config)
    return manifest("NetworkAttachmentDefinition", name, namespace, "k8s.cni.cncf.io/v1", spec={"config": text})


def subnet(cidr, name="net", namespace="default", **more):
    return nad(name, namespace=namespace, type="host-local", subnet=cidr, **more)


def pod(name, networks="net", namespace="default", labels=None, ports=(), status=None, spec=None, phase=None):
    annotations = {NETWORKS: networks if isinstance(networks, str) else json.dumps(networks)} if networks else {}
    if status is not None:
        annotations[STATUS] = json.dumps(status)
    containers = [{"name": "c", "ports": [{"containerPort": port, "protocol": p} for p, port in ports]}]
    return manifest(
        "Pod",
        name,
        namespace,
        metadata={"labels": labels or {}, "annotations": annotations},
        spec={"containers": containers} | (spec or {}),
        **({"status": {"phase": phase}} if phase else {}),
    )


def deny_ingress(name="deny", namespace="default", selector=None, network="net"):
    return manifest(
        "MultiNetworkPolicy",
        name,
        namespace,
        "k8s.cni.cncf.io/v1beta1",
        metadata={"annotations": {"k8s.v1.cni.cncf.io/policy-for": network}},
        spec={"podSelector": {"matchLabels": selector or {}}, "policyTypes": ["Ingress"]},
    )
