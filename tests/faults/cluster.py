"""The objects of the fault suite: a pod that is closed but for one neighbour, another neighbour, and their changes."""

import json

GROUP = "k8s.cni.cncf.io"
NAMESPACE, NETWORK = "demo", "demo/data"
POLICIES = "multi-networkpolicies"
STATUS = "k8s.v1.cni.cncf.io/network-status"
CONFIG = {
    "cniVersion": "0.3.1",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.10.0.0/16"}], [{"subnet": "fd10::/64"}]]},
}
CLIENTS = [{"podSelector": {"matchLabels": {"app": "client"}}}]


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def network():
    metadata = {"name": "data", "namespace": NAMESPACE}
    spec = {"config": json.dumps(CONFIG)}
    return {"apiVersion": f"{GROUP}/v1", "kind": "NetworkAttachmentDefinition", "metadata": metadata, "spec": spec}


def pod(name, *, app=None, **annotations):
    given = {"k8s.v1.cni.cncf.io/networks": "data", **annotations}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": app or name}, "annotations": given}
    spec = {"containers": [{"name": "main", "image": "busybox"}], "nodeName": "here"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def ready_pod(name, number, *, app=None, node="here"):
    """A pod as the meta-plugin leaves it."""
    ips = [f"10.10.{100 + (number >> 8)}.{number & 255}", f"fd10::1:{number:x}"]
    made = pod(name, app=app, **{STATUS: json.dumps([{"name": NETWORK, "interface": "net1", "ips": ips}])})
    made["spec"]["nodeName"] = node
    return made


def policy(name, **spec):
    metadata = {"name": name, "namespace": NAMESPACE, "annotations": {"k8s.v1.cni.cncf.io/policy-for": "data"}}
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": "MultiNetworkPolicy", "metadata": metadata, "spec": spec}


def closed(app="web"):
    """Of a pod, and open to and for clients."""
    selector = {"matchLabels": {"app": app}}
    return policy(f"{app}-closed", podSelector=selector, ingress=[{"from": CLIENTS}], egress=[{"to": CLIENTS}])


def moving(number):
    """A policy that differs by its number, also by its group, and allows nothing that is sent here."""
    others = {"podSelector": {"matchLabels": {"turn": str(number)}}}
    block = {"ipBlock": {"cidr": f"192.0.2.{number % 256}/32"}}
    rule = {"from": [block, others], "ports": [{"port": 10_000 + number}]}
    return policy("moving", podSelector={"matchLabels": {"app": "web"}}, ingress=[rule])


def manifests():
    yield from (namespace(NAMESPACE), network(), closed())
    yield from map(pod, ("web", "client", "stranger"))
