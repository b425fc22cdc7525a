"""How problems are shown, however large or odd the value is."""

from datetime import date

import pytest

from mnp_core.model import ObjectName, ObjectRef, Reason, Severity
from mnp_core.model.parsing.field import MOST_REPORTS, Field, Findings, shown


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        pytest.param(10**10_000, "a huge number", id="huge number"),
        ("web", "'web'"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        ("\ud800", r"'\ud800'"),
        ("\u202eevil", r"'\u202eevil'"),
        ({}, "a mapping"),
        (nested(10_000), "a list"),
        (date(2026, 1, 1), "a value of another type"),
    ],
)
def test_values_are_shown_briefly(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 10_000_000, "\x00" * 57, "\U000e0001" * 100, "é" * 57], ids=["long", "nulls", "tags", "accents"]
)
def test_long_text_is_cut(value):
    assert len(shown(value)) <= 60
    assert shown(value).endswith("…")


def test_text_that_just_fits_is_not_cut():
    assert shown("x" * 56) == repr("x" * 56)


def test_one_object_cannot_flood_the_reports():
    findings = Findings(ObjectRef("Pod", ObjectName("ns", "p")))
    for number in range(MOST_REPORTS + 7):
        Field(number, f"f[{number}]", findings).report(Reason.MALFORMED, "it is wrong", "Mend it")
    *listed, last = findings.reports()
    assert len(listed) == MOST_REPORTS
    assert last.message == "7 more problems are not listed"


def test_hints_crowd_out_no_problem():
    findings = Findings(ObjectRef("Pod", ObjectName("ns", "p")))
    for number in range(2 * MOST_REPORTS):
        Field(number, f"f[{number}]", findings).hint(Reason.SPELLING, "it is odd", "Write it plainly")
    Field(0, "g", findings).report(Reason.MALFORMED, "it is wrong", "Correct it")
    first, *hints = findings.reports()
    assert (first.field, first.severity) == ("g", Severity.PROBLEM)
    assert [hint.severity for hint in hints] == [Severity.HINT] * MOST_REPORTS
