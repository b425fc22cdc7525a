"""Flows that are older than the policy (S42), as far as it is about nft: the kit's standard tests say the rest."""

import pytest

from mnp_core.model import CustomRules, Direction, EstablishedFlows
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from plugins.nftables.tests.policies import DENY, allow, isolated, only
from plugins.nftables.tests.wire import FAMILIES, works

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)
RECHECK = EstablishedFlows.RECHECK
NOT_WEB = isolated(allow(ports=["TCP/81"]))


def test_recheck_and_custom_rules(wire):
    """S42, section 7: replies to a flow that a custom rule allows pass; without the rule, the flow is cut."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=("tcp dport 9999 accept",))
    wire.pod.enforce(only(ingress=DENY, egress=DENY, custom=(custom,), established_flows=RECHECK))
    came = wire.connection(wire.peer, wire.pod, 9999)
    assert works(*came)
    wire.pod.enforce(only(ingress=DENY, egress=DENY, established_flows=RECHECK))
    assert not works(*came)


def _flush():
    nft.load("flush ruleset\n")


OPEN_POD = only()


@both_families
def test_a_connection_outlives_a_moment_without_our_table_and_the_first_policy_after_it(wire, family):
    """S41, S63: its conntrack entry stays while tracking is off, and tracking goes on with it."""
    wire.pod.enforce(OPEN_POD)
    came, went = wire.connection(wire.peer, wire.pod, 80, family), wire.connection(wire.pod, wire.peer, 80, family)
    run_inside(wire.pod.sandbox, _flush)
    assert works(*came)
    assert works(*went)
    wire.pod.enforce(OPEN_POD)
    wire.pod.enforce(only(ingress=NOT_WEB, egress=NOT_WEB))
    assert works(*came)
    assert works(*went)


@both_families
def test_a_connection_opened_without_our_table_is_known_once_it_has_sent_something_after_it(wire, family):
    """S41, S63: before that no tracker can know of it, and the first policy cuts it."""
    wire.pod.enforce(OPEN_POD)
    run_inside(wire.pod.sandbox, _flush)
    used, idle = (wire.connection(wire.peer, wire.pod, 80, family) for _ in range(2))
    wire.pod.enforce(OPEN_POD)
    assert works(*used)
    wire.pod.enforce(only(ingress=NOT_WEB, egress=NOT_WEB))
    assert works(*used)
    assert not works(*idle)
