"""A cluster with networks and pods, policies about them, and an API server that knows the webhook."""

import json

import pytest

from mnp_core.admission.judge import REFUSED, Judge
from mnp_core.admission.known_cluster import KnownCluster
from mnp_core.admission.review import Review
from mnp_core.model import ObjectName
from mnp_core.model.budget import Budgets
from mnp_core.sources.decode import Decoder
from mnp_core.testing.apiserver import FakeApiServer, ServedResource
from tests.telemetry.conftest import lines, logging_restored  # noqa: F401 - fixtures

CLAIMED = frozenset({"macvlan"})
FOR = "k8s.v1.cni.cncf.io/policy-for"
SECRET = ServedResource("", "Secret", "secrets", ("v1",))
CONFIGURATION = ServedResource(
    "admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", ("v1",)
)


def policy(networks="red", name="web", **spec):
    return {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {"namespace": "demo", "name": name, "annotations": {FOR: networks}},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec},
    }


def network(name="red", subnet="192.0.2.0/24"):
    ipam = {"type": "host-local", "subnet": subnet}
    config = {"cniVersion": "1.0.0", "type": "macvlan", "master": f"eth-{name}", "ipam": ipam}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "demo", "name": name},
        "spec": {"config": json.dumps(config)},
    }


def pod(name="web-1", networks=("red",), port="http"):
    status = [{"name": f"demo/{each}", "interface": f"net-{each}", "ips": ["192.0.2.7"]} for each in networks]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "demo",
            "name": name,
            "labels": {"app": "web"},
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
        },
        "spec": {"nodeName": "node-1", "containers": [{"ports": [{"name": port, "containerPort": 80}]}]},
        "status": {"phase": "Running"},
    }


def namespace(name="demo"):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {}}}


class Cluster(KnownCluster):
    """Takes objects as they are written."""

    def __init__(self, *objects):
        super().__init__(CLAIMED)
        for each in objects:
            self.add(each)

    def add(self, raw):
        if raw["kind"] == "NetworkAttachmentDefinition":
            self.put_network(ObjectName("demo", raw["metadata"]["name"]), json.dumps(raw).encode())
        else:
            self.put([Decoder().decode(raw)], 0.0)


def judge(refuse=REFUSED, lookup=lambda _: None, budgets=Budgets()):  # noqa: B008 - a frozen value
    return Judge(decoder=Decoder(), claimed=CLAIMED, budgets=budgets, refuse=refuse, lookup=lookup)


def review(wanted, old=None):
    return Review(uid="1", object=wanted, old=old)


def body(wanted, **request):
    asked = {"uid": "7", "operation": "CREATE", "namespace": "demo", "name": "web", "object": wanted, **request}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}).encode()


@pytest.fixture
def cluster():
    return Cluster(namespace(), network(), pod())


@pytest.fixture
def server():
    with FakeApiServer() as found:
        for resource in (SECRET, CONFIGURATION):
            found.serve(resource)
        found.put("secrets", {"metadata": {"namespace": "kube-system", "name": "mnp-admit"}})
        found.put(
            "validatingwebhookconfigurations",
            {
                "metadata": {"name": "mnp-admit"},
                "webhooks": [{"name": "policies.mnp.k8s.cni.cncf.io", "clientConfig": {"service": {"name": "x"}}}],
            },
        )
        yield found
