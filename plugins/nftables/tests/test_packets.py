"""Effects of rules on packets that are particular to nft: the kit's standard tests cover the rest."""

import pytest

from mnp_core.model import CustomRules, Direction
from plugins.nftables.tests.policies import DENY, allow, isolated, only

pytestmark = pytest.mark.root


def test_neighbour_discovery_has_a_counter(wire):
    """S43: a solicitation out and an advertisement in."""
    wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"]))))
    assert wire.out_of_pod(6)
    assert wire.pod.counters()["neighbour-discovery"] >= 2


def test_custom_rules_decide_before_policies_and_for_their_family_only(wire):
    """Semantics section 7: lines as other engines take them; `return` leaves it to the policies."""
    lines = (
        "# a comment",
        "",
        "udp dport { 9999, 9998 } accept # the web; really",
        "udp dport 80 return",
        "udp dport 81 drop",
    )
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=lines)
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80-81"])), egress=DENY, custom=(custom,)))
    assert [wire.into_pod(4, port) for port in (9999, 80, 81, 82)] == [True, True, False, False]
    assert [wire.into_pod(6, port) for port in (9999, 81)] == [False, True]
    assert not wire.out_of_pod(4, 9999)
