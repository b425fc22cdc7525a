"""The verdict on a packet (S10 to S13, S20 to S25, S30 to S32, S43 to S45)."""

from ipaddress import ip_network

import pytest
from attrs import evolve

from mnp_core.model import (
    NOTHING,
    CommonRules,
    Direction,
    Enforcement,
    Packet,
    Protocol,
    parse_address,
)
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing.builders import (
    block,
    network,
    packet,
    pod,
    pods,
    policy,
    rule,
    serves,
    status,
)
from mnp_core.testing.cluster import Cluster

WEB = pod(
    "web", status("net-a", "net1", "10.0.0.1", "fd00::1"), labels={"app": "web"}, ports=[serves("TCP/80", "http")]
)
DB = pod("db", status("net-a", "net1", "10.0.0.2", "fd00::2"), labels={"app": "db"}, ports=[serves("TCP/81", "http")])


def cluster(*policies, **common):
    return Cluster(
        pods=(WEB, DB), policies=policies, networks=(network("net-a", "macvlan"),), common=CommonRules(**common)
    )


def ingress(*rules, name="p"):
    return policy(name, networks=["net-a"], ingress=rules)


def egress(*rules, name="p"):
    return policy(name, networks=["net-a"], egress=rules)


def enters(a_cluster, a_packet, interface="net1"):
    return evaluate(a_cluster.sandbox("web"), interface, Direction.INGRESS, a_packet).allowed


def leaves(a_cluster, a_packet, interface="net1"):
    return evaluate(a_cluster.sandbox("web"), interface, Direction.EGRESS, a_packet).allowed


def icmpv6(kind, hop_limit=255):
    return Packet(
        source=parse_address("fd00::9"),
        destination=parse_address("fd00::1"),
        protocol=Protocol.ICMPV6,
        icmp_type=kind,
        hop_limit=hop_limit,
    )


FROM_DB = packet("10.0.0.2", "10.0.0.1")


def test_an_open_direction_lets_everything_pass_and_names_no_policy():
    """S10, S11."""
    verdict = evaluate(cluster(ingress()).sandbox("web"), "net1", Direction.EGRESS, FROM_DB)
    assert (verdict.allowed, verdict.policies, verdict.origin) == (True, (), None)


def test_no_rule_denies_and_an_empty_rule_allows():
    """S12: `Isolated(())` and `[{}]` are opposite things."""
    assert not enters(cluster(ingress()), FROM_DB)
    assert enters(cluster(ingress(rule())), FROM_DB)


def test_the_verdict_names_the_rule_that_allows_and_all_that_isolate():
    """S11."""
    one, two = ingress(rule(ports=["UDP"]), name="one"), ingress(rule([]), rule(ports=["TCP"]), name="two")
    verdict = evaluate(cluster(two, one).sandbox("web"), "net1", Direction.INGRESS, FROM_DB)
    assert str(verdict.origin) == "MultiNetworkPolicy default/two ingress[1]"
    assert verdict.policies == (one.ref, two.ref)


def test_an_interface_that_is_not_enforced_and_lo_are_open():
    """S44."""
    assert enters(cluster(ingress()), FROM_DB, interface="eth0")
    assert leaves(cluster(egress()), packet("10.0.0.1", "10.0.0.1"), interface="lo")


def test_the_pods_own_address_as_source_is_no_privilege():
    """S44."""
    assert not enters(cluster(ingress(rule([pods(app="db")]))), packet("10.0.0.1", "10.0.0.1"))


def test_ingress_looks_at_the_source_and_egress_at_the_destination():
    """S20."""
    peer = [pods(app="db")]
    assert enters(cluster(ingress(rule(peer))), FROM_DB)
    assert not enters(cluster(ingress(rule(peer))), packet("10.0.0.9", "10.0.0.2"))
    assert leaves(cluster(egress(rule(peer))), packet("10.0.0.1", "10.0.0.2"))
    assert not leaves(cluster(egress(rule(peer))), packet("10.0.0.2", "10.0.0.9"))


def test_a_selector_that_matches_no_pod_matches_no_packet():
    """S22, S13."""
    assert not enters(cluster(ingress(rule([pods(app="nobody")]))), FROM_DB)
    never = evolve(pods(), pod_selector=NOTHING)
    assert not enters(cluster(ingress(rule([never]))), FROM_DB)


@pytest.mark.parametrize(
    ("peers", "source", "allowed"),
    [
        ([block("10.0.0.0/24", "10.0.0.0/28")], "10.0.0.2", False),
        ([block("10.0.0.0/24", "10.0.0.0/28")], "10.0.0.16", True),
        ([block("10.0.0.0/24", "10.0.0.0/28"), block("10.0.0.2/32")], "10.0.0.2", True),
        ([block("10.0.0.0/24", "10.0.0.0/28"), pods(app="db")], "10.0.0.2", True),
        ([block("10.0.0.0/24", "10.0.0.0/24")], "10.0.0.2", False),
        ([block("10.0.0.0/24", "10.0.0.0/25", "10.0.0.0/28")], "10.0.0.129", True),
        ([block("10.0.0.0/24"), block("10.0.0.0/8", "10.0.0.0/16")], "10.0.0.2", True),
    ],
)
def test_an_except_limits_only_its_own_peer(peers, source, allowed):
    """S23."""
    assert enters(cluster(ingress(rule(peers))), packet(source, "10.0.0.1")) is allowed


def test_an_except_never_blocks_another_rule_or_policy():
    """S23, S11."""
    excepted = rule([block("10.0.0.0/24", "10.0.0.2/32")])
    assert enters(cluster(ingress(excepted, rule([block("10.0.0.2/32")]))), FROM_DB)
    assert enters(cluster(ingress(excepted), ingress(rule([pods(app="db")]), name="q")), FROM_DB)


@pytest.mark.parametrize(
    ("cidr", "source", "destination"),
    [("0.0.0.0/0", "fd00::2", "fd00::1"), ("::/0", "10.0.0.2", "10.0.0.1")],
)
def test_a_block_matches_its_own_family_only(cidr, source, destination):
    """S25."""
    assert not enters(cluster(ingress(rule([block(cidr)]))), packet(source, destination))
    assert enters(cluster(ingress(rule())), packet(source, destination))


@pytest.mark.parametrize(
    ("ports", "sent", "allowed"),
    [
        (["TCP"], "TCP/1", True),
        (["TCP"], "UDP/1", False),
        (["TCP", "TCP/80"], "TCP/443", True),
        (["TCP/80", "TCP"], "TCP/443", True),
        (["TCP/80", "UDP/53"], "UDP/53", True),
        (["TCP/80", "UDP/53"], "TCP/53", False),
        (["SCTP/99"], "SCTP/99", True),
        (["TCP/80-82"], "TCP/80", True),
        (["TCP/80-82"], "TCP/82", True),
        (["TCP/80-82"], "TCP/83", False),
        (["TCP/http"], "TCP/80", True),
        (["TCP/http"], "TCP/81", False),
        (["UDP/http"], "UDP/80", False),
        ([], "TCP/80", False),
    ],
)
def test_ports_are_alternatives_by_protocol(ports, sent, allowed):
    """S30, S31, S32."""
    assert enters(cluster(ingress(rule(ports=ports))), packet("10.0.0.2", "10.0.0.1", sent)) is allowed


@pytest.mark.parametrize(
    ("destination", "port", "allowed"),
    [
        ("10.0.0.2", "TCP/81", True),
        ("10.0.0.2", "TCP/80", False),
        ("10.0.0.2", "UDP/81", False),
        ("10.0.0.9", "TCP/81", False),
    ],
)
@pytest.mark.parametrize("peers", [[pods(app="db")], [block("10.0.0.2/31")], None])
def test_a_named_egress_port_is_the_number_on_each_peer(peers, destination, port, allowed):
    """S31: address, protocol and port together; db serves http on 81."""
    a_cluster = cluster(egress(rule(peers, ["TCP/http"])))
    assert leaves(a_cluster, packet("10.0.0.1", destination, port)) is allowed


def test_other_protocols_pass_only_by_a_rule_without_ports():
    """S45, S43."""
    gre = evolve(FROM_DB, protocol=47, port=None)
    echo = packet("10.0.0.2", "10.0.0.1", "ICMP")
    assert enters(cluster(ingress(rule([pods(app="db")]))), gre)
    assert enters(cluster(ingress(rule())), echo)
    every_port = cluster(ingress(rule(ports=["TCP", "UDP", "SCTP"])))
    assert not enters(every_port, gre)
    assert not enters(every_port, echo)


@pytest.mark.parametrize("kind", range(133, 138))
def test_neighbour_discovery_always_passes(kind):
    """S43: with hop limit 255 only, which no router lets through."""
    verdict = evaluate(cluster(ingress()).sandbox("web"), "net1", Direction.INGRESS, icmpv6(kind))
    assert (verdict.allowed, verdict.setting) == (True, "neighbour-discovery")
    assert leaves(cluster(egress()), icmpv6(kind))
    assert not enters(cluster(ingress()), icmpv6(kind, hop_limit=254))


@pytest.mark.parametrize("kind", [128, 132, 138])
def test_other_icmpv6_follows_the_policy(kind):
    """S43."""
    assert not enters(cluster(ingress()), icmpv6(kind))


V4, V6 = ("10.0.0.9", "10.0.0.1"), ("fd00::9", "fd00::1")
IGMP_V6 = Packet(source=parse_address("fd00::9"), destination=parse_address("fd00::1"), protocol=2)
IGMP = Packet(source=parse_address("10.0.0.9"), destination=parse_address("224.0.0.22"), protocol=2)


@pytest.mark.parametrize(
    ("setting", "passes", "denied"),
    [
        ("accept_icmp", packet(*V4, "ICMP"), packet(*V6, "ICMPV6")),
        ("accept_icmpv6", packet(*V6, "ICMPV6"), packet(*V4, "ICMP")),
        ("accept_icmp", packet(*V4, "ICMP"), packet(*V6, "ICMP")),
        ("accept_icmpv6", packet(*V6, "ICMPV6"), packet(*V4, "ICMPV6")),
        ("accept_multicast_management", IGMP, packet(*V4, "ICMP")),
        ("accept_multicast_management", IGMP, IGMP_V6),
        ("accept_multicast_management", icmpv6(143, hop_limit=1), icmpv6(128)),
    ],
)
def test_a_setting_lets_its_own_protocol_and_family_pass_in_both_directions(setting, passes, denied):
    """S43, S25."""
    a_cluster = cluster(ingress(), egress(name="q"), **{setting: True})
    verdict = evaluate(a_cluster.sandbox("web"), "net1", Direction.INGRESS, passes)
    assert (verdict.allowed, verdict.origin, verdict.setting) == (True, None, setting.replace("_", "-"))
    assert leaves(a_cluster, passes)
    assert not enters(a_cluster, denied)
    assert not leaves(a_cluster, denied)
    assert not enters(cluster(ingress()), passes)


def test_source_prefixes_open_ingress_and_destination_prefixes_egress():
    """Section 7."""
    prefix = (ip_network("10.0.0.0/30"), ip_network("fd00::/126"))
    sources = cluster(ingress(), egress(name="q"), allow_src_prefixes=prefix)
    assert enters(sources, FROM_DB)
    assert not enters(sources, packet("10.0.0.9", "10.0.0.1"))
    assert not leaves(sources, packet("10.0.0.1", "10.0.0.2"))
    destinations = cluster(ingress(), egress(name="q"), allow_dst_prefixes=prefix)
    assert leaves(destinations, packet("fd00::1", "fd00::2"))
    assert not leaves(destinations, packet("fd00::1", "fd00::9"))
    assert not enters(destinations, FROM_DB)


def test_settings_do_not_isolate_open_interfaces():
    verdict = evaluate(cluster(accept_icmp=True).sandbox("web"), "net1", Direction.INGRESS, packet(*V4, "ICMP"))
    assert (verdict.allowed, verdict.setting) == (True, "")


# --- audit mode -------------------------------------------------------------------------------------------------


def in_audit(a_policy):
    return evolve(a_policy, enforcement=Enforcement.AUDIT)


def judged(*policies, port="TCP/80", **common):
    a_cluster = cluster(*policies, **common)
    return evaluate(a_cluster.sandbox("web"), "net1", Direction.INGRESS, packet("10.0.0.2", "10.0.0.1", port))


def test_an_audit_denies_nothing_and_says_what_it_would():
    """S71, S72."""
    audit = in_audit(ingress(rule(ports=["TCP/80"]), name="try"))
    allowed, denied = judged(audit), judged(audit, port="TCP/81")
    assert (allowed.allowed, allowed.would_deny, str(allowed.origin)) == (
        True,
        False,
        "MultiNetworkPolicy default/try ingress[0]",
    )
    assert (denied.allowed, denied.would_deny, denied.origin) == (True, True, None)
    assert denied.audits == (audit.ref,)
    assert denied.policies == ()


def test_an_audit_loosens_nothing_that_is_enforced():
    """S71, S72: its rules allow nothing where another policy isolates, and it denies nothing there."""
    audit = in_audit(ingress(rule(), name="all"))
    for policies in ((ingress(name="close"), audit), (audit, ingress(name="close"))):
        verdict = judged(*policies)
        assert (verdict.allowed, verdict.would_deny, verdict.origin) == (False, False, None)
        assert (len(verdict.policies), verdict.audits) == (1, (audit.ref,))


def test_two_audits_add_up():
    """S72: they would be enforced together."""
    audits = (in_audit(ingress(name="close")), in_audit(ingress(rule(ports=["TCP/80"]), name="web")))
    assert [judged(*audits, port=port).would_deny for port in ("TCP/80", "TCP/81")] == [False, True]


def test_settings_hold_in_audit_mode():
    """S72."""
    verdict = judged(in_audit(ingress()), allow_src_prefixes=(ip_network("10.0.0.0/24"),))
    assert (verdict.would_deny, verdict.setting) == (False, "allow-src-prefix")
