"""Status of policies on a real API server, with 500 simulated nodes: columns, conditions, `kubectl wait`, rights."""

import base64
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from mnp_core.conditions.summary import bounded, encode
from mnp_core.conditions.tokens import policy_token
from mnp_core.model import ObjectName
from mnp_core.model.change import MODULUS
from scripts.testbed.programs import find_present
from tests.cluster.apiserver import FOLDERS, api_server

DEPLOY = Path(__file__).parents[2] / "deploy"
STATUS = DEPLOY / "kustomize/components/status"
POLICIES = "/apis/k8s.cni.cncf.io/v1beta1/namespaces/demo/multi-networkpolicies"
SUMMARIES = "/apis/mnp.k8s.cni.cncf.io/v1alpha1/nodepolicysummaries"
MERGE = "application/merge-patch+json"
NODES, SELECTED = 500, 37
PATIENCE = 120
pytestmark = [pytest.mark.cluster, pytest.mark.full]


def until(true):
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with api_server(tmp_path_factory.mktemp("apiserver")) as found:
        if found.minor < 31:
            pytest.skip(f"Kubernetes 1.{found.minor} has no ValidatingAdmissionPolicies or no CIDRs in CEL")
        for path in ("scheme-cel.yml", "nodepolicysummaries.yml"):
            found.create(yaml.safe_load((DEPLOY / path).read_text()))
        for path in (STATUS / "nodes.yaml", STATUS / "aggregator.yaml"):
            for wanted in yaml.safe_load_all(path.read_text()):
                if wanted["kind"] in FOLDERS:
                    found.create(wanted, may_exist=True)
        for name in ("mnp-node", "mnp-aggregate"):
            account = {"metadata": {"name": name}}
            found.request("POST", "/api/v1/namespaces/kube-system/serviceaccounts", account)
        found.request("POST", "/api/v1/namespaces", {"metadata": {"name": "demo"}})
        for path in (POLICIES, SUMMARIES):
            until(lambda path=path: found.request("GET", path)[0] == 200)
        yield found


def kubeconfig(api, folder, account):
    """A file with a token of a ServiceAccount."""
    path = f"/api/v1/namespaces/kube-system/serviceaccounts/{account}/token"
    token = until(lambda: api.request("POST", path, {"spec": {}})[1].get("status", {}).get("token"))
    found = json.loads(api.kubeconfig(folder).read_text())
    found["users"][0]["user"]["token"] = token
    target = folder / account
    target.write_text(json.dumps(found))
    return target


def policy(api, name, **spec):
    metadata = {"name": name, "annotations": {"k8s.v1.cni.cncf.io/policy-for": "red"}}
    status, answer = api.request(
        "POST", POLICIES, {"apiVersion": "k8s.cni.cncf.io/v1beta1", "kind": "MultiNetworkPolicy", "metadata": metadata,
                           "spec": {"podSelector": {}, **spec}})  # fmt: skip
    assert status == 201, answer


def tokens(api):
    found = api.request("GET", POLICIES)[1]["items"]
    names = [each["metadata"]["name"] for each in found]
    return {
        name: policy_token(ObjectName("demo", name), json.dumps(each).encode())
        for name, each in zip(names, found, strict=True)
    }


def publish(api, known):
    """All nodes; the first ones have pods that the policies select."""

    def one(node):
        enforced = dict.fromkeys(known.values(), 2) if node < SELECTED else {}
        body = {"summary": {**encode(bounded(sum(known.values()) % MODULUS, enforced, {})), "renewed": "now"}}
        name = f"node-{node:03}"
        if api.request("PATCH", f"{SUMMARIES}/{name}", body, content_type=MERGE)[0] == 404:
            head = {"apiVersion": "mnp.k8s.cni.cncf.io/v1alpha1", "kind": "NodePolicySummary"}
            status, answer = api.request("POST", SUMMARIES, {**head, "metadata": {"name": name}, **body})
            assert status == 201, answer

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(NODES)))


def test_conditions_of_500_nodes_by_kubectl(api, tmp_path):
    kubectl = find_present("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is neither in KUBEBUILDER_ASSETS nor built by the test bed")
    admin = api.kubeconfig(tmp_path)

    def run(*arguments):
        command = [kubectl, "--kubeconfig", admin, "--namespace", "demo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    policy(api, "web")
    policy(api, "odd", ingress=[{"ports": [{"port": "http"}]}], policyTypes=["Ingress"])
    publish(api, tokens(api))
    options = ["--kubeconfig", kubeconfig(api, tmp_path, "mnp-aggregate"), "--settle-seconds", "5"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([Path(sys.executable).with_name("mnp"), "aggregate", *options], stderr=log)
    try:
        waited = run("wait", "--for=condition=Enforced", "multi-policy/web", f"--timeout={PATIENCE}s")
        assert waited.returncode == 0, waited.stderr + (tmp_path / "log").read_text()
        head, *_, line = run("get", "multi-policy", "web").stdout.splitlines()
        assert head.split() == ["NAME", "NETWORKS", "TYPES", "ACCEPTED", "ENFORCED", "NODES", "AGE"]
        assert line.split()[:2] == ["web", "red"]
        assert line.split()[2:5] == ["True", "True", f"{SELECTED}/{SELECTED}"]
        assert f"enforced {SELECTED} of {SELECTED} nodes" in run("describe", "multi-policy", "web").stdout
        version = api.request("GET", f"{POLICIES}/web")[1]["metadata"]["resourceVersion"]
        api.request("PATCH", f"{POLICIES}/web", {"spec": {"policyTypes": ["Egress"]}}, content_type=MERGE)
        until(lambda: "Pending" in run("get", "multi-policy", "web", "-o", "yaml").stdout)
        publish(api, tokens(api))
        until(lambda: api.request("GET", f"{POLICIES}/web")[1]["status"]["observedGeneration"] == 2)
        waited = run("wait", "--for=condition=Enforced", "multi-policy/web", f"--timeout={PATIENCE}s")
        assert waited.returncode == 0, waited.stderr
        assert api.request("GET", f"{POLICIES}/web")[1]["metadata"]["resourceVersion"] != version
        assert api.request("GET", f"{POLICIES}/odd")[1]["status"]["interfaces"] == 2 * SELECTED
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert "forbidden" not in (tmp_path / "log").read_text()


def test_an_agent_writes_the_summary_of_its_own_node_alone(api):
    """By the node that its token names, as of a token bound to a pod."""
    api.request("POST", "/api/v1/nodes", {"metadata": {"name": "mine"}})
    pod = {
        "metadata": {"name": "agent"},
        "spec": {"serviceAccountName": "mnp-node", "nodeName": "mine", "containers": [{"name": "a", "image": "a"}]},
    }
    status, made = api.request("POST", "/api/v1/namespaces/kube-system/pods", pod)
    assert status == 201, made
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "agent", "uid": made["metadata"]["uid"]}
    path = "/api/v1/namespaces/kube-system/serviceaccounts/mnp-node/token"
    answer = api.request("POST", path, {"spec": {"boundObjectRef": reference}})[1]
    token = answer["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["kubernetes.io"]
    assert claims["node"]["name"] == "mine"

    def written(name, bearer):
        agent = type(api)(api.port, bearer, api._authority)
        head = {"apiVersion": "mnp.k8s.cni.cncf.io/v1alpha1", "kind": "NodePolicySummary"}
        body = {**head, "metadata": {"name": name}, "summary": encode(bounded(0, {}, {}))}
        status, answer = agent.request("POST", SUMMARIES, body)
        return status, answer.get("message", "")

    until(lambda: "writes its own summary alone" in written("other", token)[1])
    assert written("other", token)[0] == 403
    assert written("mine", token)[0] == 201
    unbound = api.request("POST", path, {"spec": {}})[1]["status"]["token"]
    assert written("third", unbound)[0] == 403
