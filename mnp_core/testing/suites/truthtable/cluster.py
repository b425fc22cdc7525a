"""The cluster of the public NetworkPolicy conformance suites: namespaces x, y, z, pods a, b, c, ports 80 and 81.

Everything is a plain manifest. All nine pods have one interface, of both families, on one network.
"""

import json
from itertools import product

from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.hosts import Probe

NAMESPACES = ("x", "y", "z")
NAMES = ("a", "b", "c")
PORTS = (80, 81)
PROTOCOLS = ("TCP", "UDP", "SCTP")
NETWORK = "default/fabric"
SUBNETS = {NETWORK: ("10.20.0.0/24", "fd20::/64")}
INTERFACE = "net1"
FAMILIES = (4, 6)

Manifest = dict


def address(namespace: str, name: str, family: int) -> str:
    host = 16 * (NAMESPACES.index(namespace) + 1) + NAMES.index(name) + 1
    return f"10.20.0.{host}" if family == 4 else f"fd20::{host:x}"


def pod(namespace: str, name: str, **labels: str) -> Manifest:
    """A pod that serves both ports over all protocols, under names like serve-80-tcp."""
    status = [
        {"name": "cbr0", "interface": "eth0", "ips": ["192.0.2.1"], "default": True},
        {"name": NETWORK, "interface": INTERFACE, "ips": [address(namespace, name, family) for family in FAMILIES]},
    ]
    ports = [
        {"name": f"serve-{port}-{protocol.lower()}", "containerPort": port, "protocol": protocol}
        for port, protocol in product(PORTS, PROTOCOLS)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"pod": name} | labels,
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
        },
        "spec": {"containers": [{"name": "serve", "image": "serve", "ports": ports}]},
        "status": {"phase": "Running"},
    }


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"ns": name} | labels}}


def network() -> Manifest:
    home, _, name = NETWORK.partition("/")
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": home},
        "spec": {"config": json.dumps({"cniVersion": "1.0.0", "name": name, "type": "macvlan"})},
    }


def policy(spec: dict, *, namespace: str = "x", name: str = "policy") -> Manifest:
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": NETWORK},
        },
        "spec": spec,
    }


def base() -> list[Manifest]:
    """The cluster without policies."""
    names = product(NAMESPACES, NAMES)
    return [network(), *(namespace(name) for name in NAMESPACES), *(pod(*place) for place in names)]


def probes(objects: list[Manifest], family: int) -> list[Probe]:
    """From every pod to every pod, itself too, on every port over every protocol: 9 x 9 x 6 = 486 for nine pods."""
    places = [(m["metadata"]["namespace"], m["metadata"]["name"]) for m in objects if m["kind"] == "Pod"]
    ends = [End(address(*place, family), "/".join(place), INTERFACE) for place in places]
    return [Probe(*question) for question in product(ends, ends, PROTOCOLS, PORTS)]
