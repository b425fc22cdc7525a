"""Objects as people and the meta-plugin write them."""

import json
from collections.abc import Mapping

ANNOTATION = "k8s.v1.cni.cncf.io"
MACVLAN = {"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "subnet": "10.10.0.0/24"}}
DEFAULT = {"name": "kindnet", "interface": "eth0", "ips": ["10.244.0.9"], "mac": "02:00:00:00:00:99", "default": True}


def network(name="data", namespace="demo", **config):
    """A definition; a macvlan one unless a configuration is given."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"config": json.dumps({"cniVersion": "0.3.1", "name": name, **(config or MACVLAN)})},
    }


def entry(number, name="demo/data", interface="net1", **more):
    """One attachment in network-status."""
    return {
        "name": name,
        "interface": interface,
        "ips": [f"10.10.0.{number}"],
        "mac": f"02:00:00:00:00:{number:02x}",
        "dns": {},
    } | more


def pod(name, *entries, namespace="demo", networks=None, status=None, annotations: Mapping[str, str] | None = None):
    """A running pod with these entries in network-status, or with this text for it."""
    written = json.dumps([DEFAULT, *entries]) if status is None else status
    given = {f"{ANNOTATION}/network-status": written, f"{ANNOTATION}/networks": networks, **(annotations or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name},
            "annotations": {key: value for key, value in given.items() if value is not None},
        },
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }


def policy(name="deny", namespace="demo", *, policy_for="data", version="v1beta1", **spec):
    """Isolates ingress of pod ``a`` unless something else is given."""
    return {
        "apiVersion": f"k8s.cni.cncf.io/{version}",
        "kind": "MultiNetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "annotations": {f"{ANNOTATION}/policy-for": policy_for}},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]} | spec,
    }


A, B = pod("a", entry(2)), pod("b", entry(3))
