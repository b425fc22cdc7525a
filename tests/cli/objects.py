"""Objects of offline tests, as manifests."""

import json

DATA = "k8s.v1.cni.cncf.io/"
MACVLAN = {"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.10.0.0/24"}}


def network(name="data", namespace="demo", **config):
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"config": json.dumps({"cniVersion": "0.3.1", "name": name, **(config or MACVLAN)})},
    }


def pod(name, namespace="demo", *, networks=None, status=None, **metadata):
    annotations = {
        f"{DATA}networks": networks if networks is None or isinstance(networks, str) else json.dumps(networks),
        f"{DATA}network-status": status if status is None or isinstance(status, str) else json.dumps(status),
    }
    given = {key: value for key, value in annotations.items() if value is not None}
    about = {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": given} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": {"containers": [{"name": "c"}]}}


def policy(name="deny", namespace="demo", *, policy_for="data", **spec):
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "annotations": {f"{DATA}policy-for": policy_for}},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]} | spec,
    }


A, B = pod("a", networks="data"), pod("b", networks="data")
