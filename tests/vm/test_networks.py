"""One pod, five networks of different kinds, the same addresses on all of them, other policies on each."""

import pytest

from tests.vm.corpus import states, verdict
from tests.vm.devices import KINDS
from tests.vm.network import Site

pytestmark = pytest.mark.vm
BY_NAME = {kind.name: kind for kind in KINDS}
CHOSEN = ("macvlan", "ipvlan-l2", "vlan", "bond", "sriov")
STATE_OF = {"lan1": "mixed", "lan2": "closed", "lan4": "mixed"}  # lan3 and lan5 are open


@pytest.fixture(scope="module")
def site():
    with Site([BY_NAME[name] for name in CHOSEN]) as site:
        yield site


def test_five_networks(site, engine, check):
    """S10, S21. Not ICMP: the kernel answers it by the pod's routes, which cannot tell the networks apart."""
    questions = [question for question in site.questions if question.protocol != "ICMP"]
    with site.enforced(engine) as enforce:
        rules = enforce(policy for network, state in STATE_OF.items() for policy in states(network)[state])
        assert check("five networks", site.talk, {question: verdict(rules, question) for question in questions}) == {}
