"""An API server with policies that have a status, and summaries of simulated nodes."""

import json
import time

import pytest

from mnp_core.conditions.summary import NodeSummary, PolicyFault, State, encode
from mnp_core.conditions.tokens import policy_token
from mnp_core.model import ObjectName
from mnp_core.model.change import MODULUS
from mnp_core.testing.apiserver import FakeApiServer, ServedResource
from tests.telemetry.conftest import lines, logging_restored  # noqa: F401 - fixtures

GROUP = "k8s.cni.cncf.io"
POLICIES, SUMMARIES = "multi-networkpolicies", "nodepolicysummaries"
WITH_STATUS = ServedResource(GROUP, "MultiNetworkPolicy", POLICIES, ("v1beta1",), status=True)
WITHOUT_STATUS = ServedResource(GROUP, "MultiNetworkPolicy", POLICIES, ("v1beta1",))
SUMMARY = ServedResource(f"mnp.{GROUP}", "NodePolicySummary", SUMMARIES, ("v1alpha1",))
LEASE = ServedResource("coordination.k8s.io", "Lease", "leases", ("v1",))
SOON = 30


class Scene:
    """Policies of the namespace demo, and nodes that know all of them."""

    def __init__(self, server):
        self.server = server

    def policy(self, name, generation=1, **spec):
        annotations = {"k8s.v1.cni.cncf.io/policy-for": "red"}
        metadata = {"namespace": "demo", "name": name, "annotations": annotations, "generation": generation}
        before = self.server.store.get(POLICIES, name, "demo") or {}
        kept = {"status": before["status"]} if "status" in before else {}
        return self.server.put(POLICIES, {"metadata": metadata, "spec": {"podSelector": {}, **spec}, **kept})

    def token(self, name):
        found = self.server.store.get(POLICIES, name, "demo")
        return policy_token(ObjectName("demo", name), json.dumps(found).encode())

    def knows(self):
        return sum(self.token(each["metadata"]["name"]) for each in self.server.store.objects(POLICIES)) % MODULUS

    def summary(self, node, enforced=None, failed=(), knows=None):
        """A node's summary: interfaces by policy, and policies that fail there."""
        fault = PolicyFault(interfaces=1, state=State.FAILED, reason="Refused", message="demo/web: no")
        summary = NodeSummary(
            knows=self.knows() if knows is None else knows,
            enforced={self.token(name): number for name, number in (enforced or {}).items()},
            faults={self.token(name): fault for name in failed},
        )
        renewed = f"{time.time()}"
        self.server.put(SUMMARIES, {"metadata": {"name": node}, "summary": {**encode(summary), "renewed": renewed}})

    def status(self, name):
        return self.server.store.get(POLICIES, name, "demo").get("status", {})

    def condition(self, name, kind="Enforced"):
        found = [each for each in self.status(name).get("conditions", ()) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"]) if found else None

    def writes(self):
        return [each for each in self.server.requests if each.startswith("PATCH") and "/status" in each]


def warnings(lines):  # noqa: F811 - the fixture's value
    return [line["msg"] for line in lines() if line["level"] == "warning"]


def until(true, seconds=SOON):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture
def server():
    with FakeApiServer() as found:
        for resource in (WITH_STATUS, SUMMARY, LEASE):
            found.serve(resource)
        yield found


@pytest.fixture
def scene(server):
    return Scene(server)
