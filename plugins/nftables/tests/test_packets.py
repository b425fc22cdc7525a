"""Effects of rules on packets that are particular to nft: the kit's standard tests cover the rest."""

import random
from ipaddress import ip_address

import pytest

from mnp_core.model import CustomRules, Direction, Packet, Protocol
from mnp_core.policy.evaluate import evaluate
from plugins.nftables.tests.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    isolated,
    only,
    origin,
)
from plugins.nftables.tests.wire import OTHER, PEER, POD, works

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


def test_of_many_rules_the_first_that_allows_a_packet_counts_it(wire):
    """S11: in chains by family and port, as in a row."""
    choice = random.Random(7).choice  # noqa: S311 # any rules do
    peers = ([GROUP], [OTHER_GROUP], ["10.0.0.2/31"], ["fd00::/127", OTHER_GROUP], ["192.0.2.0/24", "fd00::3/128"])
    ports = (["UDP/53"], ["UDP/80", "TCP/80"], ["UDP/70-90"], ["UDP/443", "TCP"], ["SCTP"])
    rules = [allow(choice(peers), choice(ports), source=origin(number)) for number in range(40)]
    rules += [allow(["10.0.0.3/32"], ["UDP"], source=origin(40)), allow(["fd00::3/128"], source=origin(41))]
    groups = [addresses(GROUP, PEER[4], PEER[6]), addresses(OTHER_GROUP, OTHER[4])]
    policy = only(ingress=isolated(*rules), groups=groups)
    wire.pod.enforce(policy)
    assert any("jump ingress." in line for line in wire.pod.nft("list ruleset\n").splitlines())
    for family in (4, 6):
        for source in (PEER, OTHER):
            for port in (53, 75, 80, 443, 8080):
                ends = {"source": ip_address(source[family]), "destination": ip_address(POD[family])}
                packet = Packet(**ends, protocol=Protocol.UDP, port=port)
                verdict = evaluate(policy, "net1", Direction.INGRESS, packet)
                before = wire.pod.counters()
                assert wire.into_pod(family, port, source=source) is verdict.allowed, packet
                if verdict.allowed:
                    assert wire.pod.counters()[str(verdict.origin)] == before[str(verdict.origin)] + 1, packet


def test_established_flows_are_counted_for_all_interfaces_together(wire):
    wire.pod.enforce(only(ingress=isolated(allow(ports=["TCP/80"]))))
    near, far = wire.connection(wire.peer, wire.pod, 80)
    assert works(near, far)
    found = {(c.interface, c.direction) for c in wire.pod.run(wire.pod.applier.counters) if c.label == "established"}
    assert found == {("", "Ingress")}
    assert wire.pod.counters()["established"] >= 2
