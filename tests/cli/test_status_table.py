"""The table of `mnp status`, from answers."""

import pytest

from mnp_core.cli.formats.columns import age, in_columns, span
from mnp_core.cli.formats.status import findings, table

NODE = {"time": "2026-01-01T00:00:10.000Z"}


def pod(**fields):
    return {"namespace": "a", "name": "b", "condition": "InForce", "interfaces": [], "problems": []} | fields


def interface(enforced=(), audited=()):
    ingress = {"isolated": bool(enforced), "policies": [*enforced], "audit-policies": [*audited]}
    open_way = {"isolated": False, "policies": [], "audit-policies": []}
    return {"interface": "net1", "network": "a/n", "ingress": ingress, "egress": open_way}


@pytest.mark.parametrize(
    ("policies", "cell", "wide"),
    [
        ({}, "open", "open"),
        ({"enforced": ["P a/x", "P a/y"]}, "isolated:2", "a/x,a/y"),
        ({"audited": ["P a/x"]}, "audited:1", "a/x(audit)"),
        ({"enforced": ["P a/x"], "audited": ["P a/y"]}, "isolated:1,audited:1", "a/x,a/y(audit)"),
    ],
)
def test_audited_policies_do_not_count_as_isolating(policies, cell, wide):
    """S70: they deny nothing."""
    answer = [pod(interfaces=[interface(**policies)])]
    assert list(table(NODE, answer, wide=False))[1].split()[3] == cell
    assert list(table(NODE, answer, wide=True))[1].split()[3] == wide


def test_each_row_has_a_word_for_each_head():
    """So that awk and cut can read it."""
    answer = [pod(), pod(interfaces=[interface()], **{"in-force-since": "2026-01-01T00:00:00.000Z"})]
    for wide in (False, True):
        heads, *rows = list(table(NODE, answer, wide=wide))
        assert [len(row.split()) for row in rows] == [len(heads.split())] * 2


def test_failures_are_told_before_problems_and_the_rest_is_counted():
    problems = [{"kind": "Pod", "name": "a/b", "field": "f", "reason": "R", "message": "m", "remedy": "r"}] * 30
    lines = list(findings([pod(error="no", condition="Failed", problems=problems)]))
    assert lines[:2] == ["a/b: Failed: no", "a/b: R: Pod a/b f: m. r."]
    assert lines[-1].startswith("and 11 more")
    assert len(list(findings([pod(problems=problems)], None))) == 30


def test_answers_of_other_versions_are_shown_as_far_as_they_go():
    assert list(table({}, [{"interfaces": 7, "problems": None, "groups": [1]}], wide=True))


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (5, "5s"), (65, "1m5s"), (60, "1m"), (3700, "1h1m"), (200_000, "2d7h")]
)
def test_durations_have_two_units(seconds, text):
    assert span(seconds) == text


def test_times_that_are_none_have_no_age():
    assert age(None, "2026-01-01T00:00:00Z") == age("x", "y") == age("2026-01-01", "2026-01-01T00:00:00Z") == ""


def test_columns_fit_their_widest_cell():
    assert list(in_columns(["A", "B"], [["long", ""]])) == ["A      B", "long   -"]
