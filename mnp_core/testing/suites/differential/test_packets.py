"""Three opinions on random policies: the naive reference, `evaluate`, and real packets between real namespaces.

The pods stand (`standing`), everything else is drawn: their labels and ports, those of namespaces, and policies. From
one case to the next the agent gets the changes alone, as in a living cluster.
"""

import json
from random import Random

import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from mnp_core.testing.suites.differential.evaluated import Evaluated
from mnp_core.testing.suites.differential.profile import CASES, SEED
from mnp_core.testing.suites.differential.questions import questions
from mnp_core.testing.suites.differential.standing import OUTSIDE, SHAPES, pairs
from mnp_core.testing.suites.differential.strategies import SUBNETS, policy_sets
from mnp_core.testing.suites.reference import naive
from mnp_core.testing.suites.wire.connections import wrong_connections
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.rig import Rig

pytestmark = pytest.mark.root

PROFILE = settings.get_profile("differential")
PAIRS = pairs()
PROBES = 120
CONNECTIONS = 0.15  # of the cases


@pytest.fixture(scope="module")
def opinions(mnp_backend, mnp_wiring):
    """The node, and the project's word for it."""
    with Rig(SUBNETS, OUTSIDE, backend=mnp_backend, wiring=mnp_wiring) as rig:
        yield rig, Evaluated()


def all_agree(opinions, cluster, dice) -> None:
    rig, evaluated = opinions
    rig.become(cluster.objects)
    evaluated.become(cluster.objects)
    chance = Random(dice)  # noqa: S311 - which packets to send is no secret
    expected = {probe: naive.allowed(cluster.objects, *probe) for probe in questions(cluster, chance, PROBES, PAIRS)}
    wrong = [f"evaluate is wrong about {p}" for p, reaches in expected.items() if evaluated.allowed(*p) is not reaches]
    wrong += [f"{p} {'got through' if reached else 'was lost'}" for p, reached in rig.wrong(expected).items()]
    if chance.random() < CONNECTIONS:
        between_pods = {p: reaches for p, reaches in expected.items() if _is_between_pods(p)}
        wrong += [f"the connection {p} was {verdict}" for p, verdict in wrong_connections(rig, between_pods).items()]
    if wrong:
        note(json.dumps(cluster.objects, indent=1))
        pytest.fail("\n".join(wrong))


def _is_between_pods(probe: Probe) -> bool:
    """Whether the prober can ask it: it knows pods alone, and no way to another address of the same one for SCTP."""
    pods = {probe.source.pod, probe.destination.pod}
    return len(pods - {None}) == 2


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=CASES)
@given(policy_sets(SHAPES), st.integers(min_value=0, max_value=1 << 32))
@pytest.mark.timeout(900)
def test_packets_agree_with_both_evaluations(opinions, cluster, dice):
    """S1 to S32, S40, S44"""
    all_agree(opinions, cluster, dice)


@pytest.mark.long
@seed(int(SEED or 1))
@settings(PROFILE, max_examples=5000)
@given(policy_sets(SHAPES), st.integers(min_value=0, max_value=1 << 32))
@pytest.mark.timeout(3600)
def test_packets_agree_with_both_evaluations_in_thousands_of_cases(opinions, cluster, dice):
    """S1 to S32, S40, S44"""
    all_agree(opinions, cluster, dice)
