"""Policies as a whole: policy types, policy-for, missing fields."""

import pytest

from mnp_core.errors import InputError
from mnp_core.model import EVERYTHING, Direction, Enforcement, ObjectName, Reason, Scope, Severity
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
        ({"egress": [{}], "ingress": [{}]}, {"Ingress", "Egress"}),
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


@pytest.mark.parametrize(
    ("spec", "hinted"),
    [
        ({"egress": [{}]}, True),
        ({"egress": [{}], "ingress": []}, True),
        ({"egress": [{}], "policyTypes": []}, True),
        ({"egress": [{}], "policyTypes": ["Ingress", "Egress"]}, False),
        ({"egress": [{}], "policyTypes": ["Egress"]}, False),
        ({"egress": [{}], "ingress": [{"ports": [{"port": 80}]}]}, False),
    ],
)
def test_egress_rules_without_types_close_ingress_and_say_so(spec, hinted):
    """S1: those who move over from an engine that isolates egress alone lose all ingress."""
    _, reports = parse_policy(manifest(spec))
    assert [(report.field, report.reason, report.severity) for report in reports] == (
        [("spec.policyTypes", Reason.IMPLIED_TYPE, Severity.HINT)] if hinted else []
    )


@pytest.mark.parametrize("without", [{}, {"spec": None}])
def test_policy_without_a_spec_isolates_everybody_and_is_reported(without):
    """S1, S6: it is hardly intended."""
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
        (["INGRESS"], {"Ingress"}, ["spec.policyTypes[0]", "spec.policyTypes"]),
        ([None, ["Egress"]], {"Ingress"}, ["spec.policyTypes[0]", "spec.policyTypes[1]", "spec.policyTypes"]),
        ("Egress", {"Ingress"}, ["spec.policyTypes"]),
    ],
)
def test_types_are_matched_exactly_and_a_mistake_never_opens(types, directions, fields):
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
    "entry", ["", " ", "a/b/c", "/x", " / x", "x/", "A", "a b", "a b/c", "-a", "a\u200b", "a;drop", "x" * 254]
)
def test_malformed_entries_are_reported_and_the_others_count(entry):
    """S2."""
    policy, reports = parse_policy(manifest(policy_for=f"{entry},net"))
    assert policy.scope.networks == {ObjectName("ns", "net")}
    assert places(reports) == [(FOR, Reason.INVALID_POLICY_FOR)]


@pytest.mark.parametrize("entry", ["demo /net", "demo/ net", "demo / net", "demo\t/\n net", "\u00a0demo\u2003/net "])
def test_white_space_around_the_slash_does_not_count_and_is_hinted_at(entry):
    """S2: both other engines read it so."""
    policy, reports = parse_policy(manifest(policy_for=f" {entry} , other"))
    assert policy.scope.networks == {ObjectName("demo", "net"), ObjectName("ns", "other")}
    assert [(report.field, report.reason, report.severity) for report in reports] == [
        (FOR, Reason.SPELLING, Severity.HINT)
    ]


@pytest.mark.parametrize("types", [["Ingres"], ["Ingress"], [], None])
def test_problems_in_rules_are_reported_for_any_policy_types(types):
    """S1, S6."""
    broken = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]}]
    _, reports = parse_policy(manifest({"policyTypes": types, "egress": broken, "ingress": [{"ports": [{"port": 0}]}]}))
    assert {
        ("spec.egress[0].to[0].ipBlock.cidr", Reason.INVALID_BLOCK),
        ("spec.ingress[0].ports[0].port", Reason.INVALID_PORT),
    } <= set(places(reports))


@pytest.mark.parametrize("policy_for", [None, "", "  ", "a/b/c", 7, ["net"], {}])
def test_a_policy_without_a_valid_network_selects_nothing(policy_for):
    """S2."""
    policy, reports = parse_policy(manifest(policy_for=policy_for))
    assert policy.scope == Scope(networks=frozenset())
    assert (FOR, Reason.INVALID_POLICY_FOR) in places(reports)


def test_kinds_of_plugins_may_be_about_all_networks():
    """S2: valid entries still count, and a malformed one does not become everything."""

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
def test_non_object_is_an_error(raw):
    with pytest.raises(InputError):
        parse_policy(raw)


# --- audit mode -------------------------------------------------------------------------------------------------

MODE = "mnp.k8s.cni.cncf.io/enforcement"


def read_with_mode(value):
    raw = {"metadata": {"name": "p", "namespace": "ns", "annotations": {POLICY_FOR: "net", MODE: value}}, "spec": {}}
    return parse_policy(raw)


@pytest.mark.parametrize(
    ("value", "enforcement"),
    [("audit", Enforcement.AUDIT), ("enforce", Enforcement.ENFORCE), (None, Enforcement.ENFORCE)],
)
def test_the_annotation_says_whether_a_policy_is_enforced(value, enforcement):
    """S70."""
    policy, reports = read_with_mode(value)
    assert (policy.enforcement, reports) == (enforcement, ())


@pytest.mark.parametrize("value", ["Audit", " audit", "audit\n", "dry-run", "", True, 0, ["audit"], {"audit": 1}])
def test_a_mode_that_there_is_not_is_reported_and_enforced(value):
    """S70: a mistake never opens."""
    policy, (report,) = read_with_mode(value)
    assert policy.enforcement is Enforcement.ENFORCE
    assert (report.field, report.reason) == (f"metadata.annotations[{MODE}]", Reason.INVALID_ENFORCEMENT)
    assert report.message.endswith(" is neither enforce nor audit: the policy is enforced")
    assert report.remedy == "Write audit to try the policy, or remove the annotation"
