"""The definitions of policies: accepted by an API server, refused by it, and judged alike by the agent."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from mnp_core.model import Severity
from mnp_core.model.parsing import parse_policy
from tests.deploy.policies import CEL_NEEDED, SENSELESS, SENSIBLE, UNWRITABLE_LABELS, policy
from tests.deploy.structural import children, refusals

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = ("scheme.yml", "scheme-cel.yml", "macvlan-networkpolicies.yml")
DEFINITIONS = {name: yaml.load((DEPLOY / name).read_text(), yaml.CSafeLoader) for name in FILES}
POLICIES = [
    (path.parent.name, document)
    for path in sorted(ROOT.glob("examples/*/policy.yaml"))
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader)
    if document["kind"].endswith("NetworkPolicy")
]

each_file = pytest.mark.parametrize("name", FILES)
each_variant = pytest.mark.parametrize("name", FILES[:2])


def schemas(name):
    return {version["name"]: version["schema"]["openAPIV3Schema"] for version in DEFINITIONS[name]["spec"]["versions"]}


def schema_of(name):
    return next(iter(schemas(name).values()))


def refused(name, value):
    return refusals(schema_of(name), copy.deepcopy(value))


def reported(spec):
    return [str(report) for report in parse_policy(policy(spec))[1]]


def each(objects):
    return pytest.mark.parametrize("spec", objects.values(), ids=objects.keys())


def test_files_equal_the_output_of_their_script(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts/schemes", tmp_path], check=True, stdout=subprocess.DEVNULL)
    written = (*FILES, "nodepolicysummaries.yml")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    for name in written:
        assert (tmp_path / name).read_text() == (DEPLOY / name).read_text(), f"run scripts/schemes: {name} is older"


def test_the_admission_policy_is_of_the_same_schema(tmp_path):
    """What it does with objects, an API server decides: tests/cluster/test_policy_admission.py."""
    made, kept = tmp_path / "policy.yaml", DEPLOY / "kustomize/components/admission/policy.yaml"
    subprocess.run([sys.executable, ROOT / "scripts/admission", made], check=True, stdout=subprocess.DEVNULL)
    assert made.read_text() == kept.read_text(), f"run scripts/admission: {kept} is older"


def test_names_are_those_that_clusters_have():
    for name in FILES[:2]:
        definition = DEFINITIONS[name]
        assert definition["metadata"]["name"] == "multi-networkpolicies.k8s.cni.cncf.io"
        assert definition["spec"]["group"] == "k8s.cni.cncf.io"
        assert definition["spec"]["scope"] == "Namespaced"
        assert definition["spec"]["names"] == {
            "kind": "MultiNetworkPolicy",
            "listKind": "MultiNetworkPolicyList",
            "plural": "multi-networkpolicies",
            "singular": "multi-networkpolicy",
            "shortNames": ["multi-policy"],
        }


@each_variant
def test_both_versions_are_served_and_the_one_is_stored_that_clusters_have_stored(name):
    """S1. A definition that does not list a version of status.storedVersions is refused."""
    versions = DEFINITIONS[name]["spec"]["versions"]
    assert [(version["name"], version["served"], version["storage"]) for version in versions] == [
        ("v1beta1", True, True),
        ("v1beta2", True, False),
    ]
    assert schemas(name)["v1beta1"] == schemas(name)["v1beta2"]  # there is no webhook that could convert


@each_file
def test_columns_name_the_networks(name):
    for version in DEFINITIONS[name]["spec"]["versions"]:
        columns = {column["name"]: column["jsonPath"] for column in version["additionalPrinterColumns"]}
        assert columns["Networks"] == r".metadata.annotations.k8s\.v1\.cni\.cncf\.io/policy-for"
        status = ["Accepted", "Enforced", "Nodes", "Interfaces"] if name != "macvlan-networkpolicies.yml" else []
        assert list(columns) == ["Networks", "Types", *status, "Pods", "Age"]


# --- the schema as such ---------------------------------------------------------------------------------------------

INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
VALUE_KEYWORDS = {
    "anyOf",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maximum",
    "minimum",
    "oneOf",
    "pattern",
    "required",
}
KEYWORDS = VALUE_KEYWORDS | {
    "additionalProperties", "default", "description", "items", "properties", "type",
    "x-kubernetes-int-or-string", "x-kubernetes-validations",
}  # fmt: skip
INSIDE = {"required", "properties", "not", "anyOf", "enum", "minItems", "maxItems", "maxLength"}


def nodes(schema, place=""):
    yield place, schema
    for key, child in children(schema):
        yield from nodes(child, f"{place}.{key or '[]'}")


def logical(schema):
    for key in ("oneOf", "anyOf", "allOf"):
        for child in schema.get(key, ()):
            yield child
            yield from logical(child)
    if "not" in schema:
        yield schema["not"]
        yield from logical(schema["not"])


@each_file
def test_schema_is_structural(name):
    """Kubernetes, "Specifying a structural schema": API servers refuse any other."""
    for schema in schemas(name).values():
        Draft202012Validator.check_schema(schema)
        for place, node in nodes(schema):
            assert set(node) <= KEYWORDS, place
            if node.get("x-kubernetes-int-or-string"):
                assert "type" not in node, place
                assert node["anyOf"] == INT_OR_STRING, place
                continue
            assert node["type"] in {"object", "array", "string", "integer"}, place
            assert ("items" in node) == (node["type"] == "array"), place
            assert not {"properties", "additionalProperties"} <= set(node), place
            for inner in logical(node):
                assert set(inner) <= INSIDE, place
                assert set(inner.get("properties", ())) <= set(node["properties"]), place


@each_file
def test_every_field_is_described(name):
    """For `kubectl explain`."""
    for place, node in nodes(schema_of(name)):
        if "[]" not in place.rpartition(".")[2] and not place.endswith(".metadata"):
            assert node.get("description", "").endswith("."), place


@each_file
def test_patterns_mean_the_same_to_the_server(name):
    """Its regular expressions are RE2's, without lookaround; and like here a pattern is searched for, not matched."""
    for place, node in nodes(schema_of(name)):
        pattern = node.get("pattern", "^$")
        assert re.fullmatch(r"\^.*\$", pattern), place
        assert "(?" not in pattern, place


def test_both_variants_publish_the_same_fields():
    """So that one can replace the other, with the stored objects."""
    plain, cel = (
        [
            (place, node.get("type"), node.get("description"), node.get("default"))
            for place, node in nodes(schema_of(name))
        ]
        for name in FILES[:2]
    )
    assert plain == cel


# --- objects --------------------------------------------------------------------------------------------------------


@each_file
@each(SENSIBLE)
def test_valid_objects_are_accepted(name, spec):
    assert refused(name, policy(spec)) == []
    assert [report for report in parse_policy(policy(spec))[1] if report.severity is Severity.PROBLEM] == []


@pytest.mark.parametrize(("example", "document"), POLICIES, ids=lambda value: value if isinstance(value, str) else "")
def test_examples_are_accepted(example, document):
    assert example
    for name in FILES:
        if DEFINITIONS[name]["spec"]["names"]["kind"] == document["kind"]:
            assert refused(name, document) == []


@each_file
@each(SENSELESS)
def test_meaningless_objects_are_refused_and_reported(name, spec):
    """S6: the agent reports the same, for clusters with a definition that refuses nothing."""
    assert refused(name, policy(spec))
    assert reported(spec)


@each(CEL_NEEDED)
def test_servers_with_cel_refuse_more(spec):
    assert refused("scheme.yml", policy(spec)) == []
    assert refused("scheme-cel.yml", policy(spec))
    assert reported(spec)


@each_file
@each(UNWRITABLE_LABELS)
def test_labels_that_nothing_can_have_are_refused(name, spec):
    assert refused(name, policy(spec))


@each_file
def test_object_without_a_spec_is_refused(name):
    assert refused(name, {"metadata": {}})


ALL_FIELDS = {
    "podSelector": {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}],
    },
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [
        {
            "from": [
                {"podSelector": {"matchLabels": {"app": "web"}}, "namespaceSelector": {"matchExpressions": []}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
            ],
            "ports": [{"protocol": "UDP", "port": 80, "endPort": 90}, {"port": "http"}],
        }
    ],
    "egress": [{"to": [{"podSelector": {}}], "ports": [{"protocol": "SCTP"}]}],
}
ODD = (True, 7, 1.5, "word", "", [], [7], ["word"], [[]], [{}], {})


def paths(value, path=()):
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in entries:
        yield from paths(child, (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], other)
    return changed


@pytest.mark.parametrize("path", list(paths(ALL_FIELDS)), ids=lambda path: ".".join(map(str, path)) or "spec")
def test_reported_values_are_refused_in_any_place(path):
    """With CEL the schema can say all that the agent says of a spec, but for fields that it does not know."""
    for odd in ODD:
        spec = replaced(ALL_FIELDS, path, odd)
        assert bool(refused("scheme-cel.yml", policy(spec))) == bool(reported(spec)), odd


def test_cel_says_it_in_words():
    said = {text for spec in (SENSELESS | CEL_NEEDED).values() for text in refused("scheme-cel.yml", policy(spec))}
    for _, node in nodes(schema_of("scheme-cel.yml")):
        for rule in node.get("x-kubernetes-validations", ()):
            assert any(text.endswith(rule["message"]) for text in said), rule


# --- every rule is needed -------------------------------------------------------------------------------------------


def weaker(schema, node, keyword):
    """The schema without one keyword, in every place where this very node stands."""
    if schema == node:
        schema = {key: value for key, value in schema.items() if key != keyword}
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {key: weaker(child, node, keyword) for key, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            result[key] = weaker(schema[key], node, keyword)
    return result


def rules_of(schema):
    """Every node that narrows, once, with each keyword that does."""
    found = {json.dumps(node): (place, node) for place, node in nodes(schema)}
    for place, node in found.values():
        # The server checks the form of the object itself before any schema, and takes no status from authors.
        if place not in ("", ".apiVersion", ".kind", ".metadata") and not place.startswith(".status"):
            narrowing = set(node) & (VALUE_KEYWORDS | {"type"})
            yield from ((place, node, keyword) for keyword in sorted(narrowing) if not is_redundant(node, keyword))


def is_redundant(node, keyword):
    """Redundant restrictions that the server, or `kubectl explain`, requires."""
    if keyword == "type":
        return {"enum", "oneOf"} & set(node)
    return keyword in {"format", "anyOf", "enum"} and node[keyword] in ("int32", INT_OR_STRING, OPERATORS)


OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"]  # said again where it stands which of them take values
RULES = list(rules_of(schema_of("scheme.yml")))


@pytest.mark.parametrize(
    ("node", "keyword"), [rule[1:] for rule in RULES], ids=[f"{rule[0]} {rule[2]}" for rule in RULES]
)
def test_every_rule_refuses_something_that_no_other_does(node, keyword):
    schema = weaker(schema_of("scheme.yml"), node, keyword)
    assert any(not refusals(schema, copy.deepcopy(policy(spec))) for spec in (SENSELESS | UNWRITABLE_LABELS).values())
