"""Manifests from the field offline: `mnp validate` reports as a node would, but for problems visible only in a pod."""

import json

import pytest

from tests.cases.table import CASES, GROUPS


def test_there_are_five_variants_of_every_input():
    assert {name: len(cases) > 5 for name, cases in GROUPS.items()} == dict.fromkeys(GROUPS, True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_validate_reports_like_a_node(mnp, write, case):
    """S1-S6, S21, S30, S64."""
    path = write("objects.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": case.objects}))
    options = ["--namespace", case.namespace] if case.namespace else []
    if case.network_plugins:
        options += ["--settings", write("settings.yaml", json.dumps({"network-plugins": list(case.network_plugins)}))]
    ended = mnp("validate", path, *options, "--output", "json")
    assert ended.status in {0, 1}, ended.err
    found = [report for report in json.loads(ended.out)["reports"] if report["severity"] == "problem"]
    assert {f"{r['reason']} {r['kind']} {r['name']}" for r in found} == case.problems


NOBODY = "NetworkOnNoPod demo/odd: no pod is attached to demo/"
TRUE_DOUBTS = {
    "policy-for 'other,\\n  demo/\\ndata\\n'": {"NetworkOnNoPod demo/deny: no pod is attached to demo/other"},
    "only its own network in policy-for": {
        "PeerMatchesNobody a/p: none of the pods that match (b/pod) is attached to a/net, the networks of the policy"
    },
    "two interfaces of one result": {NOBODY + "noindex", NOBODY + "none"},
    "addresses of no interface": {NOBODY + "none"},
    "no interface at all, as userspace CNI writes it": {NOBODY + "two", NOBODY + "noindex"},
    "a result that network-status lost": {NOBODY + "none"},
    "a network that network-status has under the name of another pod's interface": {
        NOBODY + "noindex",
        NOBODY + "none",
    },
}
"""Doubts about cases, all of them true: the policy of odd results names three networks, and each case uses some."""


def test_doubts_about_cases_are_true_ones(mnp, write):
    found = {}
    for case in CASES:
        path = write("objects.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": case.objects}))
        options = ["--namespace", case.namespace] if case.namespace else []
        reports = json.loads(mnp("validate", path, *options, "--select", "MNP1", "--output", "json").out)["reports"]
        if reports:
            found[case.name] = {f"{r['reason']} {r['name']}: {r['message'].partition(': ')[0]}" for r in reports}
    assert found == TRUE_DOUBTS
