"""What the rules do to packets: the nftables plugin's tests, and what is about the language of iptables."""

import pytest
from attrs import evolve

from mnp_core.model import CustomRules, DenyAction, Direction
from plugins.nftables.tests.policies import DENY, allow, isolated, only
from plugins.nftables.tests.test_packets import (  # noqa: F401 # pytest finds them here
    test_a_group_without_members_and_ports_without_entries_match_nothing,
    test_a_pod_cannot_hide_a_datagram_in_fragments_of_its_own,
    test_a_pod_reaches_itself,
    test_a_pod_that_may_not_send_is_told_at_once_if_that_is_set,
    test_allowed_prefixes,
    test_an_invalid_packet_is_judged_like_a_new_one,
    test_connections_are_tracked_after_the_last_policy,
    test_connections_are_tracked_before_the_first_policy,
    test_denied_packets_are_answered_only_if_that_is_set,
    test_discovery_that_a_router_has_forwarded_is_no_discovery,
    test_endpoints_are_address_protocol_and_port_together,
    test_families_are_separate,
    test_fragments_go_the_way_of_their_datagram,
    test_icmp_errors_of_an_allowed_flow_pass,
    test_icmp_follows_policy_or_the_setting,
    test_marks_are_no_way_out,
    test_more_ranges_than_fit_into_rules,
    test_multicast_management_passes_by_setting,
    test_neighbours_find_each_other_whatever_is_denied,
    test_open_isolated_and_allowed,
    test_peers_by_block_and_by_group,
    test_ports_single_ranges_and_every,
    test_protocols_without_ports_pass_by_a_rule_without_ports_only,
    test_replies_pass_where_the_other_direction_is_isolated,
    test_rules_of_others_hold_and_stay,
    test_the_own_address_on_the_wire_is_no_privilege,
    test_what_a_pod_forwards_is_policed_on_both_interfaces,
)
from plugins.nftables.tests.wire import FAMILIES, PEER, POD, arrives

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)
REJECT = DenyAction.REJECT


def test_custom_rules_decide_before_policies_and_for_their_family_only(wire):
    """Semantics section 7: lines as the engine takes them; ``RETURN`` leaves it to the policies."""
    lines = (
        "# a comment",
        "",
        "-m udp -p udp --dport 9999 -j ACCEPT",
        "-p udp -m udp --dport 80 -m limit --limit 1000/second -j RETURN",
        '-p udp -m multiport --dports 81,83 -m comment --comment "-j ACCEPT; really" --jump DROP',
    )
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=lines)
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80-81"])), egress=DENY, custom=(custom,)))
    assert [wire.into_pod(4, port) for port in (9999, 80, 81, 82)] == [True, True, False, False]
    assert [wire.into_pod(6, port) for port in (9999, 81)] == [False, True]
    assert not wire.out_of_pod(4, 9999)


@both_families
@pytest.mark.parametrize("deny_action", DenyAction)
def test_a_custom_rule_that_rejects(wire, family, deny_action):
    """Semantics section 7, S48: REJECT works in one table alone, and then everything is there."""
    custom = CustomRules(direction=Direction.INGRESS, family=family, lines=("-p udp -m udp --dport 81 -j REJECT",))
    rules = isolated(allow(ports=["UDP/80-81"]))
    wire.pod.enforce(only(ingress=rules, custom=(custom,), deny_action=deny_action))
    assert wire.into_pod(family, 80)
    client = wire.peer.udp(PEER[family])
    client.connect((POD[family], 81))
    client.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)


def test_what_is_allowed_still_meets_the_rules_of_others(wire):
    """S49: in the same chains of the same table, after ours; they stay as they are, in their order."""
    theirs = [("-p", "udp", "--dport", str(port), "-j", "DROP") for port in (81, 82)]
    wire.pod.iptables("-t", "mangle", "-N", "MESH")
    wire.pod.iptables("-t", "mangle", "-A", "PREROUTING", "-j", "MESH")
    for rule in theirs:
        wire.pod.iptables("-t", "mangle", "-A", "MESH", *rule)
    wire.pod.iptables("-t", "mangle", "-A", "POSTROUTING", "-m", "ttl", "--ttl-eq", "77", "-g", "MESH")
    before = wire.pod.listing()
    accept = CustomRules(direction=Direction.INGRESS, family=4, lines=("-p udp -m udp --dport 82 -j ACCEPT",))
    for _ in range(2):
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80-81"])), custom=(accept,)))
        assert [wire.into_pod(port=port) for port in (80, 81, 82)] == [True, False, False]
    assert [line for line in wire.pod.listing() if "MNP" not in line and "mnp" not in line] == before
    wire.pod.run(wire.pod.applier.remove)
    assert wire.pod.listing() == before


@pytest.mark.parametrize("deny_action", DenyAction)
def test_ports_are_those_on_the_wire_whatever_a_mesh_does(wire, deny_action):
    """S49, S31: what is redirected inside the pod is judged by where it was sent."""
    wire.pod.nft(
        "table inet mesh {\n chain in {\n type nat hook prerouting priority dstnat; policy accept;\n"
        " udp dport { 80, 82 } redirect to :15006\n }\n}\n"
    )
    sidecar = wire.pod.udp(POD[4], 15006)
    for port, rules in ((80, ["UDP/80"]), (82, ["UDP/15006"])):
        wire.pod.enforce(only(ingress=isolated(allow(ports=rules)), deny_action=deny_action))
        wire.peer.udp(PEER[4]).sendto(b"to port %d" % port, (POD[4], port))
        assert arrives(sidecar, b"to port %d" % port) is (port == 80)


@both_families
def test_a_router_that_rejects_judges_both_interfaces(router, family):
    """S47, S48: as in the table that drops."""
    test_what_a_pod_forwards_is_policed_on_both_interfaces((Rejecting(router[0]), *router[1:]), family)


@both_families
@pytest.mark.parametrize(
    "test",
    [
        test_an_invalid_packet_is_judged_like_a_new_one,
        test_fragments_go_the_way_of_their_datagram,
        test_open_isolated_and_allowed,
        test_peers_by_block_and_by_group,
        test_ports_single_ranges_and_every,
        test_more_ranges_than_fit_into_rules,
        test_endpoints_are_address_protocol_and_port_together,
        test_replies_pass_where_the_other_direction_is_isolated,
    ],
)
def test_rules_that_reject_allow_the_same(wire, family, test):
    """S48: they are in another table, where packets look different."""
    wire.pod = Rejecting(wire.pod)
    test(wire, family)


class Rejecting:
    """A pod that answers whatever it denies."""

    def __init__(self, pod):
        self._pod = pod

    def __getattr__(self, name):
        return getattr(self._pod, name)

    def enforce(self, policy):
        return self._pod.enforce(evolve(policy, common=evolve(policy.common, deny_action=REJECT)))
