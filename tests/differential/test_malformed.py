"""A mistake in a rule never makes it allow more (S6, S13, S24, S32): a wrong type in any place of it."""

import copy
import json
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from mnp_core.testing.suites.differential.evaluated import Evaluated
from mnp_core.testing.suites.differential.profile import SEED, in_proportion
from mnp_core.testing.suites.differential.questions import questions
from mnp_core.testing.suites.differential.strategies import clusters
from mnp_core.testing.suites.reference.naive import of_kind

PROFILE = settings.get_profile("differential")
WRONG = {
    dict: ("junk", 7, ["junk"], True),
    list: ("junk", 7, {"junk": 1}, True),
    str: (7, ["junk"], {"junk": 1}, True),
    int: (["junk"], {"junk": 1}, True, 8.5, "8 5"),
}


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(60))
@given(clusters(), st.integers(min_value=0, max_value=1 << 32))
def test_a_wrong_type_in_a_rule_allows_nothing_that_was_denied(cluster, dice):
    """S6"""
    break_some(cluster, Random(dice))  # noqa: S311 - where to put junk is no secret


@pytest.mark.full
@seed(int(SEED or 2))
@settings(PROFILE, max_examples=140)
@given(clusters(), st.integers(min_value=0, max_value=1 << 32))
def test_a_wrong_type_in_a_rule_allows_nothing_that_was_denied_in_more_cases(cluster, dice):
    """S6"""
    break_some(cluster, Random(dice))  # noqa: S311 - as above


def break_some(cluster, chance):
    """Put three values of wrong types into the rules, one after the other: each may only deny more."""
    before, after = Evaluated(), Evaluated()
    before.become(cluster.objects)
    for _ in range(3):
        objects = copy.deepcopy(cluster.objects)
        broken = _break(objects, chance)
        after.become(objects)
        for probe in questions(cluster, chance, 60):
            if after.allowed(*probe) and not before.allowed(*probe):
                note(json.dumps(cluster.objects, indent=1))
                raise AssertionError(f"{broken} lets {probe} through")


def _break(objects: list, chance: Random) -> str:
    """Put a value of a wrong type somewhere into a rule; return its description."""
    specs = [policy["spec"] for policy in of_kind(objects, "MultiNetworkPolicy")]
    places = [place for spec in specs for field in ("ingress", "egress") for place in _places(spec, field, field)]
    if not places:
        return "nothing"
    holder, key, path = chance.choice(places)
    junk = chance.choice(WRONG[type(holder[key])])
    told = f"{junk!r} for {holder[key]!r} in {path}"
    holder[key] = junk
    return told


def _places(holder, key, path) -> Iterator[tuple]:
    value = holder[key] if not isinstance(holder, dict) else holder.get(key)
    if value is None:
        return
    yield holder, key, path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for child, _ in inside:
        yield from _places(value, child, f"{path}.{child}")
