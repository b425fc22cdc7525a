"""Selectors that can be evaluated, and those that cannot."""

import pytest

from mnp_core.model import EVERYTHING, NOTHING, ObjectName, ObjectRef, Reason, Selector
from mnp_core.model.parsing.field import Field, Findings
from mnp_core.model.parsing.selector import parse_peer_selector, parse_target_selector
from mnp_core.testing.builders import requirement


def read(parse, value):
    findings = Findings(ObjectRef("MultiNetworkPolicy", ObjectName("ns", "p")))
    selector = parse(Field(value, "s", findings))
    assert {report.reason for report in findings.reports()} <= {Reason.INVALID_SELECTOR}
    return selector, [report.field for report in findings.reports()]


@pytest.mark.parametrize(
    ("value", "requirements"),
    [
        (None, []),
        ({}, []),
        ({"matchLabels": None, "matchExpressions": None}, []),
        ({"matchLabels": {}, "matchExpressions": []}, []),
        ({"matchLabels": {"a": "b", "c": ""}}, [("a", "In", "b"), ("c", "In", "")]),
        (
            {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b", "c", "b"]}]},
            [("a", "NotIn", "b", "c")],
        ),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, [("a", "Exists")]),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist", "values": []}]}, [("a", "DoesNotExist")]),
    ],
)
def test_selectors(value, requirements):
    """S10: the same for a target and a peer."""
    expected = Selector(requirements=tuple(requirement(*each) for each in requirements))
    assert read(parse_target_selector, value) == (expected, [])
    assert read(parse_peer_selector, value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("app=web", "s"),
        ([], "s"),
        (False, "s"),
        ({"matchLabel": {"a": "b"}}, "s"),
        ({"matchLabels": ["a"]}, "s.matchLabels"),
        ({"matchLabels": {"a": 1}}, "s.matchLabels[a]"),
        ({"matchLabels": {"a": None}}, "s.matchLabels[a]"),
        ({"matchLabels": {1: "a"}}, "s.matchLabels[1]"),
        ({"matchExpressions": {"key": "a"}}, "s.matchExpressions"),
        ({"matchExpressions": [None]}, "s.matchExpressions[0].operator"),
        ({"matchExpressions": [{"key": "a", "operator": "Equals", "values": ["b"]}]}, "s.matchExpressions[0].operator"),
        ({"matchExpressions": [{"key": "a", "operator": []}]}, "s.matchExpressions[0].operator"),
        ({"matchExpressions": [{"operator": "Exists"}]}, "s.matchExpressions[0].key"),
        ({"matchExpressions": [{"key": "", "operator": "Exists"}]}, "s.matchExpressions[0].key"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "s.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}, "s.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": "b"}]}, "s.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", 1]}]}, "s.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "s.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "value": "b"}]}, "s.matchExpressions[0]"),
    ],
)
def test_malformed_selector_matches_every_target_and_no_peer(value, field):
    """S13."""
    assert read(parse_target_selector, value) == (EVERYTHING, [field])
    assert read(parse_peer_selector, value) == (NOTHING, [field])


def test_requirements_beside_one_that_cannot_be_evaluated_still_narrow_a_target():
    """S13: only the requirement counts as matching, not the selector."""
    value = {"matchLabels": {"a": "b", "c": 1}, "matchExpressions": [{"key": "d", "operator": "Exists"}, {"key": "e"}]}
    selector, fields = read(parse_target_selector, value)
    assert selector == Selector(requirements=(requirement("a", "In", "b"), requirement("d", "Exists")))
    assert fields == ["s.matchLabels[c]", "s.matchExpressions[1].operator"]
