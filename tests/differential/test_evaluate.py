"""Two opinions on random clusters: `evaluate`, through parser, ClusterState and compiler, and the naive reference."""

import json
from random import Random

import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from mnp_core.testing.suites.differential.evaluated import Evaluated
from mnp_core.testing.suites.differential.profile import SEED, in_proportion
from mnp_core.testing.suites.differential.questions import questions
from mnp_core.testing.suites.differential.strategies import Cluster, clusters
from mnp_core.testing.suites.reference import naive
from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.hosts import Probe

PROFILE = settings.get_profile("differential")
PROBES = 100


def agree(states: list[Cluster], chance: Random) -> None:
    """Go through the states one after the other; at each, both must answer all questions alike.

    Each direction is asked by itself, so that a mistake in ingress cannot hide behind a denial in egress.
    """
    evaluated = Evaluated()
    for cluster in states:
        evaluated.become(cluster.objects)
        for probe in questions(cluster, chance, PROBES):
            for direction, here, peer in (("Egress", *probe[:2]), ("Ingress", probe[1], probe[0])):
                if here.pod is not None:
                    compare(evaluated, cluster, direction, here, peer.address, probe)


def compare(evaluated: Evaluated, cluster: Cluster, direction: str, here: End, peer: str, probe: Probe) -> None:
    question = direction, here, peer, probe.protocol, probe.port
    ours, theirs = evaluated.passes(*question), naive.passes(cluster.objects, *question)
    if ours is not theirs:
        note(json.dumps(cluster.objects, indent=1))
        pytest.fail(f"{direction} of {probe}: evaluate says {ours}, the reference {theirs}")


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(300))
@given(clusters(), st.integers(min_value=0, max_value=1 << 32))
def test_evaluate_agrees_with_the_reference(cluster, dice):
    """S1 to S32"""
    agree([cluster], Random(dice))  # noqa: S311 - which packets to ask about is no secret


@pytest.mark.full
@seed(int(SEED or 2))
@settings(PROFILE, max_examples=700)
@given(clusters(), st.integers(min_value=0, max_value=1 << 32))
def test_evaluate_agrees_with_the_reference_in_more_cases(cluster, dice):
    """S1 to S32"""
    agree([cluster], Random(dice))  # noqa: S311 - as above


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(60))
@given(st.lists(clusters(), min_size=2, max_size=4), st.integers(min_value=0, max_value=1 << 32))
def test_changes_in_force_agree_with_the_reference(states, dice):
    """S61: on the way from one cluster to another, nothing that matters is overlooked."""
    agree(states, Random(dice))  # noqa: S311 - as above


@pytest.mark.full
@seed(int(SEED or 2))
@settings(PROFILE, max_examples=140)
@given(st.lists(clusters(), min_size=2, max_size=4), st.integers(min_value=0, max_value=1 << 32))
def test_changes_in_force_agree_with_the_reference_in_more_cases(states, dice):
    """S61"""
    agree(states, Random(dice))  # noqa: S311 - as above


@pytest.mark.long
@pytest.mark.timeout(3600)
@seed(int(SEED or 1))
@settings(PROFILE, max_examples=5000)
@given(st.lists(clusters(), min_size=1, max_size=4), st.integers(min_value=0, max_value=1 << 32))
def test_evaluate_agrees_with_the_reference_in_thousands_of_cases(states, dice):
    """S1 to S32, S61"""
    agree(states, Random(dice))  # noqa: S311 - as above
