"""deploy/network-status-admission.yml on an API server: only the meta-plugin writes network-status."""

import subprocess
import time
from pathlib import Path

import pytest
import yaml

from scripts.testbed.programs import find, minor_version
from tests.cluster.apiserver import FOLDERS, api_server
from tests.cluster.manifests import STATUS, network_status, pod
from tests.cluster.nodeagent import kubectl

FILE = Path(__file__).parents[2] / "deploy/network-status-admission.yml"
PODS = "/api/v1/namespaces/demo/pods"
MULTUS, TENANT = "system:serviceaccount:kube-system:multus", "tenant"
MERGE = "application/merge-patch+json"
WRITTEN = '[{"name": "demo/red", "interface": "net1", "ips": ["10.77.1.2"]}]'
FORGED = '[{"name": "demo/red", "interface": "net9"}]'

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A server that has the policy in force."""
    with api_server(tmp_path_factory.mktemp("apiserver")) as api:
        if api.minor < 30:
            pytest.skip(f"Kubernetes 1.{api.minor} has no ValidatingAdmissionPolicies")
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "demo"}})
        for wanted in yaml.safe_load_all(FILE.read_text()):
            api.create(wanted)
        await_refusals(api)
        yield api


def await_refusals(api):
    """Servers apply a policy some seconds after they have taken it."""
    until = time.monotonic() + 60
    while create(api, "probe", TENANT, status=FORGED, dry=True)[0] != 403:
        assert time.monotonic() < until
        time.sleep(0.2)


def create(api, name, user, *, status="", dry=False):
    wanted = pod(name)
    wanted["metadata"]["annotations"] = {"else": "x", **({STATUS: status} if status else {})}
    return api.request("POST", PODS + ("?dryRun=All" if dry else ""), wanted, user=user)


def write(api, name, user, value, *, subresource=""):
    """Write, change or (None) remove the annotation."""
    change = {"metadata": {"annotations": {STATUS: value}}}
    return api.request("PATCH", f"{PODS}/{name}{subresource}", change, user=user, content_type=MERGE)


@pytest.fixture
def running(api, request):
    """The name of a pod that has a status from the meta-plugin."""
    name = f"p{abs(hash(request.node.name))}"
    assert create(api, name, TENANT)[0] == 201
    status, answer = write(api, name, MULTUS, WRITTEN, subresource="/status")  # as Multus does it
    assert status == 200, answer
    yield name
    api.request("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})


def test_the_policy_is_sound(api):
    """No warning about types, and none about expressions that fail."""
    path = f"/apis/{FOLDERS['ValidatingAdmissionPolicy']}/network-status.mnp"
    found = api.request("GET", path)[1]
    assert found.get("status", {}).get("typeChecking", {}).get("expressionWarnings", []) == []


@pytest.mark.parametrize("subresource", ["", "/status"])
@pytest.mark.parametrize("value", [FORGED, None], ids=["changed", "removed"])
def test_others_cannot_change_network_status(api, running, subresource, value):
    status, answer = write(api, running, TENANT, value, subresource=subresource)
    assert (status, "only the meta-plugin writes" in answer["message"]) == (403, True), answer
    found = api.request("GET", f"{PODS}/{running}")[1]
    assert found["metadata"]["annotations"][STATUS] == WRITTEN


@pytest.mark.parametrize("subresource", ["", "/status"])
def test_the_meta_plugin_can_change_it(api, running, subresource):
    assert write(api, running, MULTUS, FORGED, subresource=subresource)[0] == 200


def test_a_pod_cannot_be_created_with_it(api):
    status, answer = create(api, "forged", TENANT, status=FORGED)
    assert (status, "tenant is not it" in answer["message"]) == (403, True), answer
    assert create(api, "plain", TENANT)[0] == 201


def test_a_scheduler_cannot_write_it_while_it_binds(api):
    """The API server copies annotations of a Binding to the pod."""
    assert create(api, "unbound", TENANT)[0] == 201
    binding = {
        "metadata": {"name": "unbound", "annotations": {STATUS: FORGED}},
        "target": {"kind": "Node", "name": "somewhere"},
    }
    for path in (f"{PODS}/unbound/binding", "/api/v1/namespaces/demo/bindings"):
        status, answer = api.request("POST", path, {**binding, "apiVersion": "v1", "kind": "Binding"}, user=TENANT)
        assert status == 403, answer
    del binding["metadata"]["annotations"]
    path = f"{PODS}/unbound/binding"
    status, answer = api.request("POST", path, {**binding, "apiVersion": "v1", "kind": "Binding"}, user=TENANT)
    assert status == 201, answer


def test_everything_else_goes_on(api, running):
    """Others' annotations, a kubelet's status, a shell in the pod."""
    change = {"metadata": {"annotations": {"else": "y"}}}
    assert api.request("PATCH", f"{PODS}/{running}", change, user=TENANT, content_type=MERGE)[0] == 200
    phase = {"status": {"phase": "Running"}}
    assert api.request("PATCH", f"{PODS}/{running}/status", phase, user="kubelet", content_type=MERGE)[0] == 200
    status, answer = api.request("POST", f"{PODS}/{running}/eviction", eviction(running), user=TENANT)
    assert status == 201, answer


def eviction(name):
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "demo"}}


# --- with Multus, on the test bed ------------------------------------------------------------------------------------


@pytest.fixture
def in_force(bed):
    """The server of the bed has the policy in force."""
    minor = minor_version(find("kube-apiserver"))
    if minor < 30:
        pytest.skip(f"Kubernetes 1.{minor} has no ValidatingAdmissionPolicies")
    try:
        bed.objects.apply(FILE)
        bed.objects.wait_for("the policy is in force", lambda: refused("run", "probe", "--image=x", "--dry-run=server"))
        yield
    finally:
        for wanted in yaml.safe_load_all(FILE.read_text()):
            bed.objects.delete(f"{wanted['apiVersion']}/{wanted['kind']}", wanted["metadata"]["name"])


def refused(*words):
    """The error of kubectl for a tenant with a forged status; RBAC allows everything, so only admission refuses."""
    forging = {"run": f"--annotations={STATUS}={FORGED}", "annotate": f"{STATUS}={FORGED}"}[words[0]]
    try:
        kubectl("--as=tenant", "--as-group=system:masters", *words, forging)
    except subprocess.CalledProcessError as error:
        return error.stderr
    return ""


@pytest.mark.usefixtures("in_force")
def test_multus_goes_on_writing_where_no_other_may(scene):
    """It speaks as the ServiceAccount of its own manifests; pods get their networks, and their status stays."""
    scene.run(pod("web", "red"))
    written = network_status(scene.pod("web"))
    assert [entry["name"] for entry in written if not entry.get("default")] == [f"{scene.namespace}/red"]
    said = refused("annotate", "pod", "web", f"--namespace={scene.namespace}", "--overwrite")
    assert "only the meta-plugin writes" in said
    assert network_status(scene.pod("web")) == written
