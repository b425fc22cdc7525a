"""What the rules do to packets, rule by rule of the contract, on the real kernel."""

import socket
import struct
from ipaddress import ip_network

import pytest

from mnp_core.model import CustomRules, DenyAction, Direction
from plugins.nftables.tests.policies import (
    DENY,
    GROUP,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    only,
    sandbox,
)
from plugins.nftables.tests.wire import FAMILIES, OTHER, PEER, POD, QUIET, SOON, af, arrives, passes, works

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)

GRE, IGMP, ICMPV6 = 47, 2, 58
NEIGHBOUR_SOLICITATION, MLD_REPORT, ECHO = 135, 143, 128


# --- isolation, peers, ports ------------------------------------------------------------------------------------


@both_families
def test_open_isolated_and_allowed(wire, family):
    """S11, S12."""
    wire.pod.enforce(only())
    assert wire.into_pod(family)
    assert wire.out_of_pod(family)
    wire.pod.enforce(only(ingress=DENY))
    assert not wire.into_pod(family)
    assert wire.out_of_pod(family)
    wire.pod.enforce(only(egress=DENY))
    assert wire.into_pod(family)
    assert not wire.out_of_pod(family)
    wire.pod.enforce(only(ingress=isolated(allow()), egress=isolated(allow())))
    assert wire.into_pod(family)
    assert wire.out_of_pod(family)


@both_families
def test_peers_by_block_and_by_group(wire, family):
    """S21, S23."""
    length = {4: 32, 6: 128}[family]
    for peer in (f"{PEER[family]}/{length}", GROUP):
        rules = isolated(allow([peer]))
        wire.pod.enforce(only(ingress=rules, egress=rules, groups=[addresses(GROUP, *PEER.values())]))
        assert wire.into_pod(family, source=PEER)
        assert not wire.into_pod(family, source=OTHER)
        assert wire.out_of_pod(family, target=PEER)
        assert not wire.out_of_pod(family, target=OTHER)


def test_a_group_without_members_and_ports_without_entries_match_nothing(wire):
    """S22, S31."""
    for rules in (isolated(allow([GROUP])), isolated(allow([])), isolated(allow(ports=[]))):
        wire.pod.enforce(only(ingress=rules, egress=rules, groups=[addresses(GROUP)]))
        assert not wire.into_pod()
        assert not wire.out_of_pod(6)


def test_families_are_separate(wire):
    """S25."""
    for everything, matched, other in (("0.0.0.0/0", 4, 6), ("::/0", 6, 4)):
        wire.pod.enforce(only(ingress=isolated(allow([everything])), egress=isolated(allow([everything]))))
        assert wire.into_pod(matched)
        assert wire.out_of_pod(matched)
        assert not wire.into_pod(other)
        assert not wire.out_of_pod(other)


@both_families
def test_ports_single_ranges_and_every(wire, family):
    """S30, S32."""
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80", "UDP/443", "UDP/5000-5010", "TCP/90"]))))
    found = {port: wire.into_pod(family, port) for port in (79, 80, 90, 443, 4999, 5000, 5010, 5011)}
    assert [port for port, arrived in found.items() if arrived] == [80, 443, 5000, 5010]
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80", "UDP"]))))
    assert wire.into_pod(family, 79)


@both_families
def test_more_ranges_than_fit_into_rules(wire, family):
    """S23, S32: they become interval sets, which must mean the same."""
    blocks = [f"10.0.0.{2 + 4 * n}/31" for n in range(30)] + [f"fd00::{2 + 4 * n:x}/127" for n in range(30)]
    rules = isolated(allow(blocks, [f"UDP/{100 * n}-{100 * n + 5}" for n in range(1, 40)]))
    wire.pod.enforce(only(ingress=rules, egress=rules))
    assert wire.into_pod(family, 105)
    assert not wire.into_pod(family, 106)
    assert wire.out_of_pod(family, 3900)
    assert not wire.out_of_pod(family, 99)


@both_families
def test_endpoints_are_address_protocol_and_port_together(wire, family):
    """S31."""
    group = endpoints(GROUP, *((PEER[f], "UDP", 80) for f in FAMILIES), *((OTHER[f], "TCP", 90) for f in FAMILIES))
    wire.pod.enforce(only(egress=isolated(allow_endpoints(GROUP)), groups=[group]))
    assert wire.out_of_pod(family, 80, target=PEER)
    assert not wire.out_of_pod(family, 81, target=PEER)
    assert not wire.out_of_pod(family, 80, target=OTHER)
    assert not wire.out_of_pod(family, 90, target=OTHER)


# --- S40, S41: connections --------------------------------------------------------------------------------------


@both_families
def test_replies_pass_where_the_other_direction_is_isolated(wire, family):
    """S40."""
    wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["TCP/80"]))))
    assert works(*wire.connection(wire.pod, wire.peer, 80, family))
    wire.pod.enforce(only(ingress=isolated(allow(ports=["TCP/80"])), egress=DENY))
    assert works(*wire.connection(wire.peer, wire.pod, 80, family))


@both_families
def test_icmp_errors_of_an_allowed_flow_pass(wire, family):
    """S40."""
    wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"]))))
    client = wire.pod.udp(POD[family])
    client.connect((PEER[family], 80))  # where nobody listens
    client.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)


@both_families
def test_connections_are_tracked_before_the_first_policy(wire, family):
    """S41."""
    wire.pod.enforce(only())
    connection = wire.connection(wire.peer, wire.pod, 80, family)
    other_way = wire.connection(wire.pod, wire.peer, 81, family)
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    assert works(*connection)
    assert works(*other_way)
    assert not wire.into_pod(family)


def test_connections_are_tracked_after_the_last_policy(wire):
    """S41."""
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    wire.pod.enforce(only())
    connection = wire.connection(wire.peer, wire.pod, 80)
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    assert works(*connection)


# --- S43: discovery, ICMP, multicast management -----------------------------------------------------------------


def test_neighbours_find_each_other_whatever_is_denied(wire):
    """S43."""
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"]))))
    assert wire.out_of_pod(6)  # needs a solicitation out and an advertisement in
    assert wire.pod.counters()["neighbour-discovery"] >= 2


@pytest.mark.parametrize("hops", [255, 64])
def test_discovery_that_a_router_has_forwarded_is_no_discovery(wire, hops):
    """S43: the hop limit is the proof."""
    wire.pod.enforce(only(ingress=DENY))
    assert icmpv6_into_pod(wire, NEIGHBOUR_SOLICITATION, hops) is (hops == 255)


def test_icmp_follows_policy_or_the_setting(wire):
    """S43."""
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"]))))
    assert not icmpv6_into_pod(wire, ECHO)
    assert not raw_into_pod(wire, 4, socket.IPPROTO_ICMP)
    wire.pod.enforce(only(ingress=isolated(allow([f"{PEER[4]}/32"]))))
    assert not icmpv6_into_pod(wire, ECHO)
    assert raw_into_pod(wire, 4, socket.IPPROTO_ICMP)
    wire.pod.enforce(only(ingress=DENY, accept_icmp=True))
    assert raw_into_pod(wire, 4, socket.IPPROTO_ICMP)
    assert not icmpv6_into_pod(wire, ECHO)
    wire.pod.enforce(only(ingress=DENY, accept_icmpv6=True))
    assert not raw_into_pod(wire, 4, socket.IPPROTO_ICMP)
    assert icmpv6_into_pod(wire, ECHO)


@pytest.mark.parametrize("accept", [True, False])
def test_multicast_management_passes_by_setting(wire, accept):
    """S43."""
    wire.pod.enforce(only(ingress=DENY, accept_multicast_management=accept))
    assert raw_into_pod(wire, 4, IGMP) is accept
    assert icmpv6_into_pod(wire, MLD_REPORT) is accept
    assert not icmpv6_into_pod(wire, ECHO)


# --- S44 to S46 -------------------------------------------------------------------------------------------------


@both_families
def test_a_pod_reaches_itself(wire, family):
    """S44."""
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    assert wire.datagram(wire.pod.udp(POD[family]), wire.pod.udp(POD[family], 80))


@pytest.mark.parametrize("rules", [DENY, isolated(allow(["fd00::1/128"]))], ids=["denied", "allowed"])
def test_the_own_address_on_the_wire_is_no_privilege(wire, rules):
    """S44: the neighbour claims the pod's address and sends from it."""
    wire.pod.enforce(only(ingress=rules))
    target = wire.pod.udp("::", 80)
    frame = datagram_frame(source=POD[6], destination="ff02::1", port=80)
    wire.peer.socket(socket.AF_PACKET, socket.SOCK_RAW).sendto(frame, ("out", 0))
    assert arrives(target, b"token") is (rules is not DENY)


def test_protocols_without_ports_pass_by_a_rule_without_ports_only(wire):
    """S45."""
    every_port = isolated(allow(ports=["TCP", "UDP", "SCTP"]))
    for family in FAMILIES:
        wire.pod.enforce(only(ingress=every_port, egress=every_port))
        assert not raw_into_pod(wire, family, GRE)
        assert not raw_out_of_pod(wire, family, GRE)
        wire.pod.enforce(only(ingress=isolated(allow()), egress=isolated(allow())))
        assert raw_into_pod(wire, family, GRE)
        assert raw_out_of_pod(wire, family, GRE)


@both_families
def test_fragments_go_the_way_of_their_datagram(wire, family):
    """S46."""
    rules = isolated(allow(ports=["UDP/80"]))
    wire.pod.enforce(only(ingress=rules, egress=rules))
    pod, peer, long = wire.pod.udp(POD[family]), wire.peer.udp(PEER[family]), bytes(5000)
    for sender, receiver, address in ((peer, wire.pod, POD[family]), (pod, wire.peer, PEER[family])):
        for port in (80, 81):
            assert passes(sender, receiver.udp(address, port), (address, port), payload=long) is (port == 80)


def test_a_pod_cannot_hide_a_datagram_in_fragments_of_its_own(wire):
    """S46: put together before they are judged, on the way out too."""
    wire.pod.enforce(only(egress=isolated(allow(ports=["UDP/80"]))))
    for port in (80, 81):
        target = wire.peer.udp(PEER[4], port)
        sender = wire.pod.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for fragment in fragments(POD[4], PEER[4], port):
            try:
                sender.sendto(fragment, (PEER[4], 0))
            except PermissionError:
                assert port == 81
        assert arrives(target, b"token") is (port == 80)


# --- S47: forwarding --------------------------------------------------------------------------------------------


@both_families
def test_what_a_pod_forwards_is_policed_on_both_interfaces(router, family):
    """S47."""
    pod, left, right = router
    source, target = ({4: f"10.{side}.0.2", 6: f"fd0{side}::2"}[family] for side in (1, 2))
    web = isolated(allow(ports=["UDP/80"]))

    def forwarded(port=80):
        receiver = right.udp(target, port)
        return passes(left.udp(source), receiver, (target, port))

    for ingress, egress, expected in ((web, web, True), (DENY, web, False), (web, DENY, False)):
        pod.enforce(sandbox(interface("net1", ingress=ingress), interface("net2", egress=egress)))
        assert forwarded() is expected
        assert not forwarded(81)
    pod.enforce(sandbox(interface("net1", egress=DENY), interface("net2", ingress=DENY)))
    assert forwarded()  # only the other way is denied
    receiver = left.udp(source, 80)
    assert not passes(right.udp(target), receiver, (source, 80))


# --- S48, S49 ---------------------------------------------------------------------------------------------------


@both_families
@pytest.mark.parametrize("egress", [DENY, isolated(allow())], ids=["egress denied", "egress allowed"])
def test_denied_packets_are_answered_only_if_that_is_set(wire, family, egress):
    """S48: even where egress is isolated, the answer gets out."""
    for action, answered in ((DenyAction.REJECT, True), (DenyAction.DROP, False)):
        wire.pod.enforce(only(ingress=DENY, egress=egress, deny_action=action))
        client = wire.peer.socket(af(POD[family]), socket.SOCK_STREAM)
        client.settimeout(SOON if answered else QUIET)  # the kernel heeds an answer to the second SYN, after a second
        with pytest.raises(OSError) as caught:  # noqa: PT011 # which one is what is tested
            client.connect((POD[family], 80))
        assert isinstance(caught.value, TimeoutError) is not answered
        assert not isinstance(caught.value, ConnectionRefusedError)


@both_families
def test_a_pod_that_may_not_send_is_told_at_once_if_that_is_set(wire, family):
    """S48."""
    wire.pod.enforce(only(egress=DENY, deny_action=DenyAction.REJECT))
    client = wire.pod.socket(af(POD[family]), socket.SOCK_STREAM)
    with pytest.raises(OSError) as caught:  # noqa: PT011 # which one is what is tested
        client.connect((PEER[family], 80))
    assert not isinstance(caught.value, (TimeoutError, ConnectionRefusedError))


@both_families
def test_an_invalid_packet_is_judged_like_a_new_one(wire, family):
    """S48: SYN and FIN together, which connection tracking calls invalid."""
    for rules, expected in ((isolated(allow(ports=["TCP/80"])), True), (DENY, False)):
        wire.pod.enforce(only(ingress=rules))
        receiver = wire.pod.raw(family, socket.IPPROTO_TCP)
        sender = wire.peer.raw(family, socket.IPPROTO_TCP)
        sender.bind((PEER[family], 0))
        segment = struct.pack("!HHIIBBHHH", 1234, 80, 7, 0, 5 << 4, 0x03, 100, 0, 0) + b"token"
        sender.sendto(segment, (POD[family], 0))
        assert arrives(receiver, b"token") is expected


def test_marks_are_no_way_out(wire):
    """S49."""
    wire.pod.enforce(only(egress=DENY))
    for mark in (1, 0x10000, 0x30000, 0xFFFFFFFF):
        sender = wire.pod.udp(POD[4])
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)
        assert not wire.datagram(sender, wire.peer.udp(PEER[4], 80))


def test_rules_of_others_hold_and_stay(wire):
    """S49: what we allow, another table may still deny."""
    theirs = (
        "table inet mesh {\n chain input {\n type filter hook input priority 0; policy accept;\n"
        " udp dport 81 drop\n }\n chain early {\n type filter hook prerouting priority -200; policy accept;\n"
        " udp dport 82 drop\n }\n}\n"
    )
    wire.pod.nft(theirs)
    before = wire.pod.nft("list table inet mesh\n")
    wire.pod.enforce(only(ingress=isolated(allow())))
    assert [wire.into_pod(port=port) for port in (80, 81, 82)] == [True, False, False]
    assert wire.pod.nft("list table inet mesh\n") == before


# --- settings ---------------------------------------------------------------------------------------------------


def test_allowed_prefixes(wire):
    """Semantics section 7: by source in ingress, by destination in egress, each family on its own."""
    prefixes = tuple(map(ip_network, (f"{PEER[4]}/32", f"{PEER[6]}/128")))
    wire.pod.enforce(only(ingress=DENY, egress=DENY, allow_src_prefixes=prefixes))
    assert all(wire.into_pod(family, source=PEER) for family in FAMILIES)
    assert not any(wire.into_pod(family, source=OTHER) for family in FAMILIES)
    assert not wire.out_of_pod(4)
    wire.pod.enforce(only(ingress=DENY, egress=DENY, allow_dst_prefixes=prefixes))
    assert all(wire.out_of_pod(family, target=PEER) for family in FAMILIES)
    assert not any(wire.out_of_pod(family, target=OTHER) for family in FAMILIES)
    assert not wire.into_pod(4)


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


# --- packets made by hand ---------------------------------------------------------------------------------------


def raw_into_pod(wire, family, protocol):
    return _raw(wire.peer, PEER[family], wire.pod, POD[family], family, protocol)


def raw_out_of_pod(wire, family, protocol):
    return _raw(wire.pod, POD[family], wire.peer, PEER[family], family, protocol)


def _raw(sender, source, receiver, target, family, protocol):
    """A packet of another protocol; the same bytes are an ICMP message without a meaning."""
    near, far = sender.raw(family, protocol), receiver.raw(family, protocol)
    near.bind((source, 0))
    return passes(near, far, (target, 0))


def icmpv6_into_pod(wire, kind, hops=64):
    far, near = wire.pod.raw(6, ICMPV6), wire.peer.raw(6, ICMPV6)
    near.bind((PEER[6], 0))
    near.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    token = struct.pack("!BBHI", kind, 0, 0, 0) + b"token of an ICMPv6 message"
    near.sendto(token, (POD[6], 0))
    return arrives(far, token[8:])


def datagram_frame(*, source, destination, port):
    """An Ethernet frame with a datagram over IPv6 that is sent to a multicast address."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    datagram = struct.pack("!HHHH", 1234, port, 8 + 6, 0) + b"token."
    words = struct.unpack("!27H", addresses + struct.pack("!II", len(datagram), socket.IPPROTO_UDP) + datagram)
    total = sum(words)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    datagram = datagram[:6] + struct.pack("!H", checksum) + datagram[8:]
    ip = struct.pack("!IHBB", 6 << 28, len(datagram), socket.IPPROTO_UDP, 64) + addresses
    return bytes.fromhex("333300000001") + bytes.fromhex("020000000099") + b"\x86\xdd" + ip + datagram


def fragments(source, destination, port):
    """A datagram of 32 bytes in two fragments; the second has no ports (RFC 791)."""
    datagram = struct.pack("!HHHH", 1234, port, 32, 0) + b"token".ljust(24)
    for offset, more in ((0, 0x2000), (16, 0)):
        part = datagram[offset : offset + 16]
        flags = more | offset // 8
        yield (
            struct.pack(
                "!BBHHHBBH4s4s",
                *(0x45, 0, 20 + len(part), port, flags, 64, socket.IPPROTO_UDP, 0),
                *map(socket.inet_aton, (source, destination)),
            )
            + part
        )
