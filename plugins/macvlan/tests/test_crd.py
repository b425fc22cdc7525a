"""The definition of MacvlanNetworkPolicy: valid for an API server, and the objects that it accepts."""

import copy
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from mnp_core.plugins import load_plugins

ROOT = Path(__file__).parents[3]
CRD = yaml.safe_load((ROOT / "deploy/macvlan-networkpolicies.yml").read_text())
(VERSION,) = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
EXAMPLES = (ROOT / "examples/macvlan-networkpolicy/policy.yaml").read_text()

FORMATS = FormatChecker(())
FORMATS.checks("cidr", ValueError)(lambda text: ip_network(text, strict=False) and "/" in text)
SPEC = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [
        {},
        {
            "from": [
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                {"ipBlock": {"cidr": "fd00::/64"}},
                {"podSelector": {}, "namespaceSelector": {"matchExpressions": [{"key": "a/b", "operator": "Exists"}]}},
                {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x", ""]}]}},
            ],
            "ports": [{"port": 80, "endPort": 90}, {"protocol": "UDP", "port": "dns"}, {"protocol": "SCTP"}],
        },
    ],
    "egress": [],
}
PEER, PORT = ("ingress", 1, "from"), ("ingress", 1, "ports")


def errors(spec):
    return [error.message for error in Draft202012Validator(SCHEMA, format_checker=FORMATS).iter_errors({"spec": spec})]


def with_(path, value):
    """SPEC with another value somewhere."""
    spec = copy.deepcopy(SPEC)
    *way, last = path
    place = spec
    for key in way:
        place = place[key]
    place[last] = value
    return spec


def test_names_are_those_that_the_plugin_reads():
    names, spec = CRD["spec"]["names"], load_plugins().policy_kinds.require("macvlan-networkpolicies")
    assert (CRD["apiVersion"], CRD["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert CRD["metadata"]["name"] == f"{spec.plural}.{spec.group}"
    assert (CRD["spec"]["group"], names["plural"], names["kind"]) == (spec.group, spec.plural, spec.kind)
    assert names["shortNames"] == ["macvlan-policy"]
    assert (VERSION["name"], VERSION["served"], VERSION["storage"]) == (spec.versions[0], True, True)
    assert CRD["spec"]["scope"] == "Namespaced"


def nodes(schema, place="", *, inside=False):
    """Every schema in a schema: where it is, and whether inside of a logical one."""
    yield place, schema, inside
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{place}.{name}", inside=inside)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{place}.{key}", inside=inside)
    for key in ("anyOf", "oneOf", "allOf"):
        for number, child in enumerate(schema.get(key, ())):
            yield from nodes(child, f"{place}.{key}[{number}]", inside=True)
    if "not" in schema:
        yield from nodes(schema["not"], f"{place}.not", inside=True)


INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def test_schema_is_structural():
    """Kubernetes, "Specifying a structural schema": API servers refuse any other."""
    Draft202012Validator.check_schema(SCHEMA)
    for place, schema, inside in nodes(SCHEMA):
        if inside:
            assert schema in INT_OR_STRING or not {"type", "default", "description", "items"} & set(schema), place
        elif schema.get("x-kubernetes-int-or-string"):
            assert "type" not in schema, place
            assert schema["anyOf"] == INT_OR_STRING, place
        else:
            assert schema["type"] in {"object", "array", "string", "integer"}, place
            assert ("items" in schema) == (schema["type"] == "array"), place
            assert not {"properties", "additionalProperties"} <= set(schema), place


def test_properties_of_logical_schemas_are_known_outside():
    for _, schema, inside in nodes(SCHEMA):
        for alternative in () if inside else (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
            assert set(alternative.get("properties", ())) <= set(schema.get("properties", ()))


def test_sensible_policy_is_accepted():
    assert errors(SPEC) == []
    for example in yaml.safe_load_all(EXAMPLES):
        if example["kind"] == "MacvlanNetworkPolicy":
            assert errors(example["spec"]) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("policyTypes",), ["ingress"]),
        (("podSelector",), None),
        (("podSelector",), {"matchLabels": {"app": "no spaces"}}),
        (("podSelector",), {"matchExpressions": [{"key": "app", "operator": "in", "values": ["x"]}]}),
        (("podSelector",), {"matchExpressions": [{"key": "app", "operator": "In"}]}),
        (("podSelector",), {"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}),
        (("podSelector",), {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]}),
        (("podSelector",), {"matchExpressions": [{"operator": "Exists"}]}),
        ((*PEER, 0), {}),
        ((*PEER, 0), {"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
        ((*PEER, 0), {"ipBlock": {"cidr": "10.0.0.1"}}),
        ((*PEER, 0), {"ipBlock": {"cidr": "10.0.0.0/33"}}),
        ((*PEER, 0), {"ipBlock": {"except": ["10.0.0.0/9"]}}),
        ((*PEER, 0), {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}),
        ((*PORT, 0), {"endPort": 90}),
        ((*PORT, 0), {"port": 0}),
        ((*PORT, 0), {"port": 65536}),
        ((*PORT, 0), {"port": 1.5}),
        ((*PORT, 0), {"port": "Http"}),
        ((*PORT, 0), {"port": "much-too-long-a-name"}),
        ((*PORT, 0), {"port": 80, "endPort": "90"}),
        ((*PORT, 0), {"protocol": "ICMP"}),
        (("ingress",), {}),
    ],
)
def test_meaningless_definition_is_refused(path, value):
    assert errors(with_(path, value))


def test_object_without_a_spec_is_refused():
    assert list(Draft202012Validator(SCHEMA).iter_errors({"metadata": {}}))
