"""Flows that are older than the policy (S42), as far as it is about iptables: the kit's standard tests say the rest."""

import pytest

from mnp_core.model import CustomRules, Direction, EstablishedFlows
from mnp_core.testing.hosts import works
from mnp_core.testing.policies import DENY, only

pytestmark = pytest.mark.root


def test_recheck_and_custom_rules(wire):
    """S42, section 7: replies to a flow that a custom rule allows pass; without the rule, the flow is cut."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=("-p tcp --dport 9999 -j ACCEPT",))
    settings = {"established_flows": EstablishedFlows.RECHECK}
    wire.pod.enforce(only(ingress=DENY, egress=DENY, custom=(custom,), **settings))
    came = wire.connection(wire.peer, wire.pod, 9999)
    assert works(*came)
    wire.pod.enforce(only(ingress=DENY, egress=DENY, **settings))
    assert not works(*came)
