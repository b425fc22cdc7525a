"""Policies as a whole: policy types, policy-for, and what is missing."""

import pytest

from mnp_core.errors import InputError
from mnp_core.model import EVERYTHING, Direction, ObjectName, Reason, Scope
from mnp_core.model.parsing import POLICY_FOR, parse_policy

FOR = f"metadata.annotations[{POLICY_FOR}]"


def manifest(spec=None, *, policy_for="net", **metadata):
    annotations = {} if policy_for is None else {POLICY_FOR: policy_for}
    return {"metadata": {"name": "p", "namespace": "ns", "annotations": annotations, **metadata}, "spec": spec or {}}


def places(reports):
    return [(report.field, report.reason) for report in reports]


def isolated(policy):
    return {direction.value for direction in Direction if policy.rules(direction) is not None}


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ({}, {"Ingress"}),
        ({"policyTypes": None}, {"Ingress"}),
        ({"policyTypes": []}, {"Ingress"}),
        ({"policyTypes": ["Egress"]}, {"Egress"}),
        ({"policyTypes": ["Egress", "Ingress", "Egress"]}, {"Ingress", "Egress"}),
        ({"egress": [{}]}, {"Ingress", "Egress"}),
        ({"egress": [], "policyTypes": []}, {"Ingress"}),
        ({"egress": None}, {"Ingress"}),
        ({"egress": [{}], "policyTypes": ["Ingress"]}, {"Ingress"}),
    ],
)
def test_types_are_defaulted_as_the_api_server_would(spec, directions):
    """S1."""
    policy, reports = parse_policy(manifest(spec))
    assert isolated(policy) == directions
    assert reports == ()


@pytest.mark.parametrize("without", [{}, {"spec": None}])
def test_policy_without_a_spec_isolates_everybody_and_is_reported(without):
    """S1, S6: it is hardly what somebody meant."""
    written = {key: value for key, value in manifest().items() if key != "spec"}
    policy, reports = parse_policy(written | without)
    assert isolated(policy) == {"Ingress"}
    assert policy.pod_selector == EVERYTHING
    assert places(reports) == [("spec", Reason.MALFORMED)]


@pytest.mark.parametrize("egress", ["all", {}, 0, True])
def test_egress_that_cannot_be_read_isolates_and_allows_nothing(egress):
    """S1, S13."""
    policy, reports = parse_policy(manifest({"egress": egress}))
    assert policy.egress == ()
    assert places(reports) == [("spec.egress", Reason.MALFORMED)]


@pytest.mark.parametrize(
    ("types", "directions", "fields"),
    [
        (["ingress", "Egress"], {"Egress"}, ["spec.policyTypes[0]"]),
        (["Egress", None, 5], {"Egress"}, ["spec.policyTypes[1]", "spec.policyTypes[2]"]),
        (["INGRESS"], set(), ["spec.policyTypes[0]", "spec.policyTypes"]),
        ("Egress", {"Ingress"}, ["spec.policyTypes"]),
    ],
)
def test_types_are_matched_exactly_and_others_reported(types, directions, fields):
    """S1."""
    policy, reports = parse_policy(manifest({"policyTypes": types}))
    assert isolated(policy) == directions
    assert places(reports) == [(field, Reason.INVALID_POLICY_TYPE) for field in fields]


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("net", {"ns/net"}),
        (" net ,\tother/net\n,\u00a0third\r\n", {"ns/net", "other/net", "ns/third"}),
        ("ns/net,net", {"ns/net"}),
        ("net.example.com", {"ns/net.example.com"}),
    ],
)
def test_networks_are_separated_by_commas_and_any_white_space(text, networks):
    """S2."""
    policy, reports = parse_policy(manifest(policy_for=text))
    assert set(map(str, policy.scope.networks)) == networks
    assert reports == ()


@pytest.mark.parametrize(
    "entry", ["", " ", "a/b/c", "/x", "x/", "A", "a b", "a /b", "-a", "a\u200b", "a;drop", "x" * 254]
)
def test_malformed_entries_are_reported_and_the_others_count(entry):
    """S2."""
    policy, reports = parse_policy(manifest(policy_for=f"{entry},net"))
    assert policy.scope.networks == {ObjectName("ns", "net")}
    assert places(reports) == [(FOR, Reason.INVALID_POLICY_FOR)]


@pytest.mark.parametrize("policy_for", [None, "", "  ", "a/b/c", 7, ["net"], {}])
def test_a_policy_without_a_valid_network_selects_nothing(policy_for):
    """S2."""
    policy, reports = parse_policy(manifest(policy_for=policy_for))
    assert policy.scope == Scope(networks=frozenset())
    assert (FOR, Reason.INVALID_POLICY_FOR) in places(reports)


def test_kinds_of_plugins_may_be_about_all_networks():
    """S2: what is written still counts, and what is written wrongly does not become everything."""

    def scope(policy_for):
        raw = manifest(policy_for=policy_for)
        return parse_policy(
            raw, kind="MacvlanNetworkPolicy", scope_kinds=frozenset({"macvlan"}), networks_required=False
        )[0].scope

    assert scope(None) == Scope(networks=None, kinds=frozenset({"macvlan"}))
    assert scope("net") == Scope(networks=frozenset({ObjectName("ns", "net")}), kinds=frozenset({"macvlan"}))
    assert scope("a/b/c").networks == frozenset()


def test_kind_and_namespace_are_in_the_reference():
    policy, _ = parse_policy({"metadata": {"name": "p"}}, kind="MacvlanNetworkPolicy")
    assert str(policy.ref) == "MacvlanNetworkPolicy default/p"
    assert policy.pod_selector == EVERYTHING


@pytest.mark.parametrize("spec", ["spec", ["Ingress"], 7])
def test_a_spec_that_cannot_be_read_isolates_every_pod(spec):
    """S6, S13."""
    policy, reports = parse_policy(manifest(spec))
    assert (policy.pod_selector, policy.ingress) == (EVERYTHING, ())
    assert places(reports) == [("spec", Reason.MALFORMED)]


def test_unknown_fields_are_reported():
    _, reports = parse_policy(manifest({"podselector": {}, 5: None}))
    assert places(reports) == [("spec", Reason.MALFORMED)]
    assert "'podselector', 5" in reports[0].message


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        (None, "metadata.name"),
        ("p", "metadata.name"),
        ({}, "metadata.name"),
        ({"name": None}, "metadata.name"),
        ({"name": ""}, "metadata.name"),
        ({"name": 7}, "metadata.name"),
        ({"name": "../etc"}, "metadata.name"),
        ({"name": "p\n"}, "metadata.name"),
        ({"name": "x" * 254}, "metadata.name"),
        ({"name": "p", "namespace": "a.b"}, "metadata.namespace"),
        ({"name": "p", "namespace": 7}, "metadata.namespace"),
    ],
)
def test_an_object_without_a_usable_name_is_an_error(metadata, field):
    with pytest.raises(InputError, match="give the object a name") as caught:
        parse_policy({"metadata": metadata})
    assert caught.value.field == field


@pytest.mark.parametrize("raw", [None, [], "policy", 7])
def test_what_is_no_object_is_an_error(raw):
    with pytest.raises(InputError):
        parse_policy(raw)
