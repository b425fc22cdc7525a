"""Flows that are older than the policy (S42): the nftables plugin's tests, for these ways into the kernel."""

import pytest

from mnp_core.model import CustomRules, Direction, EstablishedFlows
from plugins.nftables.tests.policies import DENY, only
from plugins.nftables.tests.test_established import (  # noqa: F401 # pytest finds them here
    test_flows_survive_a_policy_that_would_not_allow_them,
    test_recheck_cuts_what_is_no_longer_allowed_and_nothing_else,
    test_recheck_follows_membership,
    test_recheck_knows_endpoints,
    test_recheck_lets_an_open_direction_alone,
    test_recheck_lets_errors_of_allowed_flows_pass,
    test_recheck_of_forwarded_flows,
    test_recheck_sees_through_address_translation_in_the_pod,
    test_recheck_stops_the_replies_of_a_flow_that_is_cut,
    test_recheck_understands_every_way_to_allow,
)
from plugins.nftables.tests.wire import works

pytestmark = pytest.mark.root


def test_recheck_and_custom_rules(wire):
    """S42, section 7: replies to what a custom rule allows pass; without the rule, the flow is cut."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=("-p tcp --dport 9999 -j ACCEPT",))
    settings = {"established_flows": EstablishedFlows.RECHECK}
    wire.pod.enforce(only(ingress=DENY, egress=DENY, custom=(custom,), **settings))
    came = wire.connection(wire.peer, wire.pod, 9999)
    assert works(*came)
    wire.pod.enforce(only(ingress=DENY, egress=DENY, **settings))
    assert not works(*came)
