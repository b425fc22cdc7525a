"""The definitions on an API server: it takes them, and objects as the tests of the schema say."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from scripts.testbed import programs
from scripts.testbed.api import ApiError
from scripts.testbed.programs import find_present
from tests.cluster.apiserver import api_server
from tests.cluster.definitions import define, undefine_all
from tests.deploy.policies import CEL_NEEDED, SENSELESS, SENSIBLE, UNWRITABLE_LABELS, policy

DEPLOY = Path(__file__).parents[2] / "deploy"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "multi-networkpolicies.k8s.cni.cncf.io"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with api_server(tmp_path_factory.mktemp("apiserver")) as api:
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "demo"}})
        yield api


@pytest.fixture(params=["scheme.yml", "scheme-cel.yml"])
def defined(request, api):
    """An API server that has the definition of this file and no other; the name of the file."""
    if request.param == "scheme-cel.yml" and api.minor < 31:
        pytest.skip(f"Kubernetes 1.{api.minor} does not know CEL's library for CIDRs")
    with definition(api, yaml.safe_load((DEPLOY / request.param).read_text())):
        yield request.param


@contextmanager
def definition(api, wanted):
    """It is there, and served; afterwards neither it nor any object of it is."""
    status, answer = api.request("POST", DEFINITIONS, wanted)
    assert status == 201, answer
    try:
        until(lambda: "Established" in conditions(api))
        until(lambda: create(api, SENSIBLE["everybody"])[0] == 201)  # a little later
        yield
    finally:
        api.request("DELETE", f"{DEFINITIONS}/{NAME}")
        until(lambda: api.request("GET", f"{DEFINITIONS}/{NAME}")[0] == 404)


def conditions(api):
    found = api.request("GET", f"{DEFINITIONS}/{NAME}")[1].get("status", {}).get("conditions")
    return {condition["type"]: condition for condition in found or () if condition["status"] == "True"}


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def path_of(version="v1beta1"):
    return f"/apis/k8s.cni.cncf.io/{version}/namespaces/demo/multi-networkpolicies"


def create(api, spec, version="v1beta1"):
    """Dry-run the creation of an object."""
    return api.request("POST", f"{path_of(version)}?dryRun=All", policy(spec, version=version))


@pytest.mark.usefixtures("defined")
def test_definition_is_structural_and_accepted(api):
    until(lambda: {"Established", "NamesAccepted"} <= set(conditions(api)))
    assert "NonStructuralSchema" not in conditions(api)


def test_objects_are_judged_as_without_a_server(api, defined):
    wrong = SENSELESS | UNWRITABLE_LABELS | (CEL_NEEDED if defined == "scheme-cel.yml" else {})
    for name, spec in (SENSIBLE | SENSELESS | UNWRITABLE_LABELS | CEL_NEEDED).items():
        status, answer = create(api, spec)
        assert status == (422 if name in wrong else 201), (name, answer)
        assert name not in wrong or "spec" in answer["message"]


@pytest.fixture
def with_cel(defined):
    """The definition with CEL rules; the other one has none."""
    if defined != "scheme-cel.yml":
        pytest.skip(f"{defined} has no rules of CEL")
    return yaml.safe_load((DEPLOY / defined).read_text())


def rules_of(schema):
    """The messages of all rules below."""
    if isinstance(schema, list):
        return {message for each in schema for message in rules_of(each)}
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", ())}
    return own | {message for each in schema.values() for message in rules_of(each)}


def test_each_rule_of_cel_refuses_something(api, with_cel):
    """On a real server, in its own words: no rule is there that the server takes but never applies."""
    said = " ".join(create(api, spec)[1]["message"] for spec in (SENSELESS | CEL_NEEDED).values())
    wanted = rules_of(with_cel)
    assert wanted, "else this test could not fail"
    assert {message for message in wanted if message not in said} == set()


ONE = {
    "blocks": {"ipBlock": {"cidr": "10.0.0.0/8", "except": [f"10.{number}.0.0/16" for number in range(10)]}},
    "selectors": {
        "podSelector": {
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]} for _ in range(16)]
        }
    },
}
WRONG = {
    "blocks": {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}},
    "selectors": {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists", "values": ["x"]}]}},
}


def largest(peers, size=1_400_000):
    """A little below 1.5 MiB, the largest object that etcd takes: right, and wrong in its last peer."""
    one = ONE[peers]
    count = size // len(json.dumps(one))
    rules = [{"from": [one] * min(250, count - begun)} for begun in range(0, count, 250)]
    assert len(rules) <= 50
    *others, last = rules
    return {"ingress": rules}, {"ingress": [*others, {"from": [*last["from"][:-1], WRONG[peers]]}]}


@pytest.mark.usefixtures("with_cel")
@pytest.mark.parametrize("peers", ONE)
def test_the_largest_policy_that_a_server_takes_is_within_its_budget_for_cel(api, peers):
    """Judged in full, to the last peer."""
    right, wrong = largest(peers)
    assert create(api, right)[0] == 201
    status, answer = create(api, wrong)
    assert status == 422
    assert "cost" not in answer["message"]


@pytest.mark.parametrize("peers", ONE)
def test_the_same_holds_on_the_server_of_the_bed(bed, namespace, peers):
    """With the API server as a cluster has it, its admission and its certificates."""
    minor = programs.minor_version(programs.find("kube-apiserver"))
    if minor < 31:
        pytest.skip(f"Kubernetes 1.{minor} does not know CEL's library for CIDRs")
    right, wrong = (
        {**policy(spec), "metadata": {**policy(spec)["metadata"], "namespace": namespace}} for spec in largest(peers)
    )
    path = f"/apis/k8s.cni.cncf.io/v1beta1/namespaces/{namespace}/multi-networkpolicies"
    try:
        define(bed.objects, DEPLOY / "scheme-cel.yml")
        bed.objects.request("POST", path, right, query={"dryRun": "All"})
        with pytest.raises(ApiError) as refused:
            bed.objects.request("POST", path, wrong, query={"dryRun": "All"})
    finally:
        undefine_all(bed.objects)
    assert refused.value.code == 422
    assert "cost" not in str(refused.value)


@pytest.mark.usefixtures("defined")
def test_refusals_name_the_field(api):
    _, answer = create(api, {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]})
    assert "spec.ingress[0].from[0].ipBlock.cidr" in answer["message"].replace("ingress.from", "ingress[0].from[0]")


@pytest.mark.usefixtures("defined")
def test_both_versions_serve_the_same_objects(api):
    """S1."""
    written = policy(SENSIBLE["ranges"], version="v1beta2")
    status, _ = api.request("POST", path_of("v1beta2"), written)
    assert status == 201
    _, read = api.request("GET", f"{path_of('v1beta1')}/policy")
    assert read["spec"] == yaml.safe_load(yaml.dump(written["spec"])) | {
        "egress": [{"ports": [{"protocol": "TCP", "port": 5000, "endPort": 5900}]}],
        "ingress": [{"ports": [{"protocol": "TCP", **port} for port in written["spec"]["ingress"][0]["ports"]]}],
    }
    assert api.request("GET", f"{DEFINITIONS}/{NAME}")[1]["status"]["storedVersions"] == ["v1beta1"]


@pytest.mark.usefixtures("defined")
def test_lists_show_the_networks(api):
    api.request("POST", path_of(), policy({"policyTypes": ["Egress"]}))
    _, table = api.request("GET", path_of(), accept=TABLE)
    columns = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    cells = dict(zip(columns, table["rows"][0]["cells"], strict=False))
    assert columns == ["Name", "Networks", "Types", "Accepted", "Enforced", "Nodes", "Age"]
    assert (cells["Name"], cells["Networks"], cells["Types"]) == ("policy", "net-a, other/net-b", '["Egress"]')


def test_cluster_with_the_definition_of_today_moves_over_and_back(api):
    """S1. There only v1beta1 is known and stored, and nothing is validated."""
    old = yaml.safe_load((DEPLOY / "scheme.yml").read_text())
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    old["spec"]["versions"] = [
        {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    ]
    ours = yaml.safe_load((DEPLOY / "scheme.yml").read_text())
    with definition(api, old):
        assert api.request("POST", path_of(), policy(SENSIBLE["named ports"]))[0] == 201
        replace(api, ours)
        until(lambda: api.request("GET", f"{path_of('v1beta2')}/policy")[0] == 200)
        until(lambda: create(api, SENSELESS["from empty"])[0] == 422)
        assert api.request("PUT", f"{path_of('v1beta2')}/policy", current(api))[0] == 200
        replace(api, old)
        until(lambda: api.request("GET", f"{path_of('v1beta2')}/policy")[0] == 404)
        assert api.request("GET", f"{path_of()}/policy")[0] == 200


def current(api):
    return api.request("GET", f"{path_of('v1beta2')}/policy")[1]


def replace(api, wanted):
    _, found = api.request("GET", f"{DEFINITIONS}/{NAME}")
    wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    status, answer = api.request("PUT", f"{DEFINITIONS}/{NAME}", wanted)
    assert status == 200, answer


# --- with kubectl -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kubectl(api, tmp_path):
    program = find_present("kubectl") or shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is neither in KUBEBUILDER_ASSETS nor on PATH")
    config = api.kubeconfig(tmp_path)

    def kubectl(*arguments):
        command = [program, "--kubeconfig", config, f"--cache-dir={tmp_path}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return kubectl


@pytest.mark.usefixtures("defined")
def test_fields_are_explained(kubectl):
    """Some time after they are served: the API server builds its OpenAPI documents in the background."""
    until(lambda: "A range of addresses" in kubectl("explain", "multi-policy.spec.ingress.from.ipBlock").stdout)


def test_agent_is_accepted(kubectl):
    """The objects of deploy/deploy.yml are valid, capabilities beside allowPrivilegeEscalation included."""
    ended = kubectl("create", "--filename", DEPLOY / "deploy.yml")
    try:
        assert ended.returncode == 0, ended.stderr
        assert "daemonset.apps/mnp-node created" in ended.stdout
    finally:
        kubectl("delete", "--filename", DEPLOY / "deploy.yml", "--ignore-not-found")
