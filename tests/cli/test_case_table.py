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
