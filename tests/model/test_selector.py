"""Label selectors against labels."""

import pytest

from mnp_core.model import EVERYTHING, NOTHING, Operator, Requirement, Selector

LABELS = {"app": "web", "tier": ""}


def requirement(key, operator, *values):
    return Requirement(key=key, operator=Operator(operator), values=frozenset(values))


@pytest.mark.parametrize(
    ("key", "operator", "values", "expected"),
    [
        ("app", "In", ["web", "db"], True),
        ("app", "In", ["db"], False),
        ("absent", "In", ["web"], False),
        ("app", "NotIn", ["web"], False),
        ("app", "NotIn", ["db"], True),
        ("absent", "NotIn", ["web"], True),
        ("app", "Exists", [], True),
        ("tier", "Exists", [], True),
        ("absent", "Exists", [], False),
        ("app", "DoesNotExist", [], False),
        ("absent", "DoesNotExist", [], True),
        ("tier", "In", [""], True),
        ("absent", "In", [""], False),
    ],
)
def test_operators_follow_the_api(key, operator, values, expected):
    """S10: NotIn and DoesNotExist match objects that lack the label."""
    assert Selector(requirements=(requirement(key, operator, *values),)).matches(LABELS) is expected


def test_all_requirements_must_hold():
    """S10."""
    both = (requirement("app", "In", "web"), requirement("tier", "DoesNotExist"))
    assert not Selector(requirements=both).matches(LABELS)
    assert Selector(requirements=both).matches({"app": "web"})


def test_everything_and_nothing():
    """S10, S13."""
    assert EVERYTHING.matches({})
    assert not NOTHING.matches({})
    assert not Selector(requirements=(requirement("app", "Exists"),), never=True).matches(LABELS)


def test_equal_selectors_are_equal_however_they_were_written():
    one, two = requirement("a", "In", "x", "y"), requirement("b", "Exists")
    assert Selector(requirements=(one, two)) == Selector(requirements=(two, one, one))
    assert hash(Selector(requirements=(one, two))) == hash(Selector(requirements=(two, one)))
