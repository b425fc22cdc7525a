"""The component admission on an API server: policies are refused that a definition without rules lets through."""

import json
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mnp_core.model.budget import Budgets
from scripts.testbed.programs import find, find_present, minor_version
from tests.cluster.apiserver import FOLDERS, api_server
from tests.cluster.test_scheme import definition, largest, path_of
from tests.deploy.policies import CEL_NEEDED, SENSELESS, SENSIBLE, UNWRITABLE_LABELS, policy
from tests.deploy.test_schemes import ALL_FIELDS, ODD, paths, replaced, reported

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/kustomize/components/admission/policy.yaml"
POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"
NAME = "multi-networkpolicies.mnp"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

pytestmark = pytest.mark.cluster


def without_rules():
    """A definition as the public ones: every object is taken."""
    wanted = yaml.safe_load((ROOT / "deploy/scheme.yml").read_text())
    for version in wanted["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": ANYTHING}
    return wanted


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A server with such a definition, and the policy in force."""
    with api_server(tmp_path_factory.mktemp("apiserver")) as api:
        if api.minor < 31:
            pytest.skip(f"Kubernetes 1.{api.minor} does not know CEL's library for CIDRs")
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "demo"}})
        with definition(api, without_rules()):
            status, _ = api.request("POST", path_of(), named(policy({"ingress": 7}), "old"))
            assert status == 201
            with in_force(api):
                yield api


@contextmanager
def in_force(api):
    for wanted in yaml.safe_load_all(FILE.read_text()):
        api.create(wanted)
    until = time.monotonic() + 60
    while create(api, policy({"ingress": 7}))[0] == 201:  # servers apply it some seconds after they have taken it
        assert time.monotonic() < until
        time.sleep(0.2)
    yield


def named(wanted, name):
    return wanted | {"metadata": wanted["metadata"] | {"name": name}}


def create(api, wanted, version="v1beta1"):
    """Dry-run the creation of an object."""
    return api.request("POST", f"{path_of(version)}?dryRun=All", wanted)


def refusal(api, wanted):
    """The message of a refusal; empty if there is none."""
    status, answer = create(api, wanted)
    assert status in {201, 422}, answer
    assert status == 201 or NAME in answer["message"]
    return answer["message"] if status == 422 else ""


def test_the_policy_is_sound(api):
    """No warning about types."""
    found = api.request("GET", f"/apis/{FOLDERS['ValidatingAdmissionPolicy']}/{NAME}")[1]
    assert found.get("status", {}).get("typeChecking", {}).get("expressionWarnings", []) == []


def test_objects_are_judged_as_by_the_definition_with_rules(api):
    wrong = SENSELESS | UNWRITABLE_LABELS | CEL_NEEDED
    assert {name: refusal(api, policy(spec)) for name, spec in SENSIBLE.items()} == dict.fromkeys(SENSIBLE, "")
    taken = [name for name, spec in wrong.items() if not refusal(api, policy(spec))]
    assert taken == []


def test_every_rule_refuses_something_in_its_own_words(api):
    """And none fails by an error of its own."""
    asked = [*(SENSELESS | UNWRITABLE_LABELS | CEL_NEEDED).values()]
    asked += [mirrored(spec) for spec in CEL_NEEDED.values()]
    asked += [replaced(ALL_FIELDS, path, odd) for path in paths(ALL_FIELDS) for odd in (*ODD, [{}] * 251, [1] * 17)]
    said = {refusal(api, policy(spec)) for spec in asked}
    said.add(refusal(api, with_networks("/")))
    assert [text for text in said if "resulted in error" in text or "cost" in text] == []
    [wanted] = [each for each in yaml.safe_load_all(FILE.read_text()) if each["kind"].endswith("Policy")]
    unused = [
        rule["message"]
        for rule in wanted["spec"]["validations"]
        if not any(text.endswith(rule["message"]) for text in said)
    ]
    assert unused == []


def mirrored(spec):
    """The same for egress."""
    names = {"from": "to", "ports": "ports"}
    return {"egress": [{names[key]: value for key, value in rule.items()} for rule in spec["ingress"]]}


@pytest.mark.parametrize("odd", [*ODD, None], ids=json.dumps)
def test_whatever_stands_anywhere_is_refused_if_the_agent_reports_it(api, odd):
    for path in paths(ALL_FIELDS):
        spec = replaced(ALL_FIELDS, path, odd)
        assert bool(refusal(api, policy(spec))) == bool(reported(spec)), path


def test_unknown_fields_are_refused(api):
    assert "no other fields than podSelector" in refusal(api, policy({"podSelectors": {}}))
    assert "spec.ingress[]" in refusal(api, policy({"ingress": [{"form": []}]}))


def with_networks(value):
    wanted = policy({})
    wanted["metadata"]["annotations"] = {} if value is None else {POLICY_FOR: value}
    return wanted


@pytest.mark.parametrize("value", ["a", "a,b", " a , demo/b", "demo / a", "a.b-c/d.e", "\ta\n"])
def test_networks_that_the_agent_understands_are_accepted(api, value):
    assert refusal(api, with_networks(value)) == ""


@pytest.mark.parametrize("value", [None, "", " ", "a,", ",a", "a/b/c", "/x", "x/", "A", "a_b", "-a", "a b"])
def test_networks_that_it_reports_are_refused(api, value):
    assert POLICY_FOR in refusal(api, with_networks(value))


@pytest.mark.parametrize("peers", ["blocks", "selectors"])
def test_the_largest_policy_that_an_agent_enforces_is_within_the_budget_for_cel(api, peers):
    """By default; one that is larger is refused, as it may cost too much to judge."""
    right, wrong = largest(peers, Budgets().policy.bytes)
    assert refusal(api, policy(right)) == ""
    assert "spec.ingress[].from[]" in refusal(api, policy(wrong))


def test_a_stored_policy_can_be_labelled_mended_and_deleted_but_not_made_worse(api):
    path = f"{path_of()}/old"
    merge = "application/merge-patch+json"
    assert api.request("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content_type=merge)[0] == 200
    assert api.request("PATCH", path, {"spec": {"ingress": 8}}, content_type=merge)[0] == 422
    assert api.request("PATCH", path, {"metadata": {"annotations": {POLICY_FOR: "/"}}}, content_type=merge)[0] == 422
    assert api.request("DELETE", f"{path}?dryRun=All")[0] == 200
    assert api.request("PATCH", path, {"spec": {"ingress": []}}, content_type=merge)[0] == 200


def test_both_versions_are_looked_at(api):
    wanted = policy({"ingress": 7}, version="v1beta2")
    assert create(api, wanted, "v1beta2")[0] == 422


def test_kustomize_adds_it_to_the_agent(tmp_path):
    program = find_present("kubectl")
    if program is None:
        pytest.skip("kubectl is neither in KUBEBUILDER_ASSETS nor built by the test bed")
    if (minor := minor_version(find("kube-apiserver"))) < 21:
        pytest.skip(f"the kustomize in kubectl 1.{minor} has no components")
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "mnp").symlink_to(ROOT)
    deploy = "../mnp/deploy/kustomize"
    wanted = {"resources": [f"{deploy}/base"], "components": [f"{deploy}/components/admission"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    made = subprocess.run([program, "kustomize", folder], capture_output=True, text=True, check=True).stdout
    kinds = [document["kind"] for document in yaml.safe_load_all(made)]
    assert {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "DaemonSet"} <= {*kinds}
