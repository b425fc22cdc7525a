"""Pods that only the API server knows of, by the thousand: on nodes without a kubelet, with the status that one would
have written."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from typing import Any

from scripts.testbed import place
from scripts.testbed.api import MERGE
from scripts.testbed.patience import wait_for
from tests.cluster.manifests import NETWORKS, STATUS
from tests.cluster.objects import Objects

_THREADS = 12
Make = Callable[[int], dict[str, Any]]


class Fleet:
    """Makes and removes nodes and pods that are nothing but objects."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def node(self, name: str) -> str:
        """Make a node that is ready for ever. It has no labels, so DaemonSets with a selector leave it alone."""
        self._objects.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        ready = {"type": "Ready", "status": "True", "reason": "Fleet", "message": "", **times}
        self._objects.patch("v1/Node", name, {"status": {"conditions": [ready]}}, part="status")
        return name

    def fake_pods(self, count: int, node: str, namespace: str, make: Make | None = None) -> None:
        """Make pods that are bound to a node, and running as far as the API server knows.

        Args:
            count: How many, named ``fleet-0`` and so on unless `make` says otherwise.
            node: Of `node`.
            namespace: It has its ServiceAccount.
            make: From a number to metadata: name, labels, annotations; see `on_network`.
        """
        make = make or (lambda number: {"name": f"fleet-{number}", "labels": {"app": f"app-{number % 10}"}})
        self._everywhere(lambda number: self._make(node, namespace, make(number)), range(count))

    def remove_pods(self, namespace: str) -> None:
        """Delete all pods of a namespace without grace: no kubelet would end them.

        A server gives up a request after 34 seconds, which thousands take on a busy machine; the next one goes on.
        """
        path = self._objects.collection("v1/Pod", namespace)
        delete = partial(self._objects.request, "DELETE", path, {"gracePeriodSeconds": 0})
        wait_for(f"{namespace} has no pods", delete, patience=300)

    def remove_node(self, name: str) -> None:
        """Delete a node; its pods have to be deleted first."""
        self._objects.delete("v1/Node", name)

    def _make(self, node: str, namespace: str, metadata: dict[str, Any]) -> None:
        spec = {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "idle", "image": place.WORKLOAD_IMAGE}],
        }
        pods = self._objects.collection("v1/Pod", namespace)
        self._objects.request("POST", pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        path = f"{pods}/{metadata['name']}/status"
        self._objects.request("PATCH", path, {"status": status}, content_type=MERGE)

    def _everywhere(self, work: Callable[[Any], None], items: Iterable[Any]) -> None:
        """On several threads, each with a connection that stays open."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for done in [pool.submit(work, item) for item in items]:
                done.result()


def on_network(network: str, subnet: str) -> Make:
    """Pods that have an interface on a network, with addresses of a subnet counted from its second one."""
    first = IPv4Network(subnet)[2]

    def make(number: int) -> dict[str, Any]:
        link = {
            "name": network,
            "interface": "net1",
            "ips": [str(first + number)],
            "mac": "",
            "default": False,
            "dns": {},
        }
        annotations = {NETWORKS: network, STATUS: json.dumps([link])}
        return {"name": f"fleet-{number}", "labels": {"app": f"app-{number % 10}"}, "annotations": annotations}

    return make
