"""One pod, five networks of different kinds, the same addresses on all of them, other policies on each."""

import pytest

from tests.vm.corpus import states, verdict
from tests.vm.devices import KINDS
from tests.vm.network import PodNetwork

pytestmark = pytest.mark.vm
BY_NAME = {kind.name: kind for kind in KINDS}
CHOSEN = ("macvlan", "ipvlan-l2", "vlan", "bond", "sriov")
STATE_OF = {"lan1": "mixed", "lan2": "closed", "lan4": "mixed"}  # lan3 and lan5 are open


@pytest.fixture(scope="module")
def network():
    with PodNetwork([BY_NAME[name] for name in CHOSEN]) as network:
        yield network


def test_five_networks(network, engine, check):
    """S10, S21. Not ICMP: the kernel answers it by the pod's routes, which cannot distinguish the networks."""
    questions = [question for question in network.questions if question.protocol != "ICMP"]
    with network.enforced(engine) as enforce:
        rules = enforce(policy for name, state in STATE_OF.items() for policy in states(name)[state])
        expected = {question: verdict(rules, question) for question in questions}
        assert check("five networks", network.conversations, expected) == {}
