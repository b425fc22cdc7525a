"""Objects of a public customer's load test: many policies of many CIDRs, each for nine networks, on every pod.

Each policy selects one pod of ten by a label, so 48 or 49 policies select each pod, on each of its interfaces; one more
policy, `more`, selects them all. That is beyond the default budgets, so these are raised.
"""

import json
from collections.abc import Mapping
from typing import Final

from benchmarks.bench.manifests import NAMESPACE, Object

POLICIES: Final = 485
BUDGETS: Final = """
budget-per-namespace: {blocks: 1000000, rules: 100000}
budget-per-pod: {blocks: 1000000, rules: 100000}
"""

_CIDRS, _NETWORKS, _KINDS = 450, 9, 10
_FOR: Final = "k8s.v1.cni.cncf.io/policy-for"


def customer_pods(addresses: Mapping[str, str], node: str) -> dict[str, list[Object]]:
    """Objects by plural: pods with all networks, and what they need.

    Args:
        addresses: Of the pods on the first network, by their names; on the others they differ in one octet.
        node: Where the pods are.
    """
    pods = [_pod(number, name, address, node) for number, (name, address) in enumerate(addresses.items())]
    return {
        "namespaces": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}],
        "network-attachment-definitions": [_network(number) for number in range(_NETWORKS)],
        "pods": pods,
        "multi-networkpolicies": [_policy("everywhere", {}, [])],
    }


def policies(count: int) -> list[Object]:
    """The policies; no two have a CIDR in common."""
    return [
        _policy(
            f"load-{number}",
            {"matchLabels": {"kind": str(number % _KINDS)}},
            [_cidr(_CIDRS * number + each) for each in range(_CIDRS)],
        )
        for number in range(count)
    ]


def more() -> Object:
    """The policy of all pods, with one CIDR more."""
    return _policy("everywhere", {}, ["192.0.2.9/32"])


def _cidr(number: int) -> str:
    """No two of them touch: as ranges they would be one."""
    return f"10.{number >> 15}.{number >> 7 & 255}.{2 * (number & 127)}/32"


def _policy(name: str, selector: Object, cidrs: list[str]) -> Object:
    networks = ",".join(f"{NAMESPACE}/net-{number}" for number in range(_NETWORKS))
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {_FOR: networks}},
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": cidr}} for cidr in ("192.0.2.0/32", *cidrs)]}],
        },
    }


def _network(number: int) -> Object:
    config = {"cniVersion": "0.3.1", "type": "macvlan", "ipam": {}}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": f"net-{number}", "namespace": NAMESPACE},
        "spec": {"config": json.dumps(config)},
    }


def _pod(number: int, name: str, address: str, node: str) -> Object:
    links = [
        {"name": f"{NAMESPACE}/net-{each}", "interface": f"net{each + 1}", "ips": [_on(address, each)]}
        for each in range(_NETWORKS)
    ]
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": {"kind": str(number % _KINDS)},
        "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(links)},
    }
    spec = {"nodeName": node, "containers": [{"name": "idle", "image": "idle"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def _on(address: str, network: int) -> str:
    first, second, rest = address.split(".", 2)
    return f"{first}.{int(second) + network}.{rest}"
