"""Single packets that backends judge wrongly: discovery, multicast, fragments, invalid ones. Needs root."""

import socket
import struct
import time
from collections.abc import Iterable
from contextlib import ExitStack
from ipaddress import ip_network
from itertools import chain, count

import pytest
from attrs import evolve

from mnp_core.model import (
    CommonRules,
    DeniedLog,
    DenyAction,
    Direction,
    Feature,
    LoggedVerdict,
    LogMark,
    Protocol,
)
from mnp_core.netfilter.headers import parse_headers
from mnp_core.netfilter.nflog import Logged, open_group, read_packets
from mnp_core.testing.conformance.pods import PodConformance
from mnp_core.testing.frames import datagram_fragments, multicast_frame
from mnp_core.testing.hosts import FAMILIES, OTHER, PEER, POD, Host, Wire, af, arrives, passes
from mnp_core.testing.policies import DENY, allow, isolated, only
from mnp_core.testing.sending import drops_expected

both_families = pytest.mark.parametrize("family", FAMILIES)
both_actions = pytest.mark.parametrize("action", DenyAction)

_IGMP, _ICMPV6, _RAW = 2, 58, 255
_NEIGHBOUR_SOLICITATION, _LISTENER_REPORT, _ECHO = 135, 143, 128
_TOKEN = b"token of a packet"
_LOGGED_WITHIN = 0.1  # seconds; the kernel keeps a packet a hundredth of one at most
_FRAGMENTED = 3000  # bytes of payload, three fragments
_identities = count(1)  # of ICMPv6 messages, so that each is a flow of its own


class PacketConformance(PodConformance, standard=True):
    """For packets that are neither the first ones of a flow nor part of a connection."""

    # --- discovery, ICMP, multicast -------------------------------------------------------------------------------

    @pytest.mark.root
    @pytest.mark.parametrize("hops", [255, 64])
    def test_discovery_that_a_router_has_forwarded_is_denied(self, mnp_cleanup: ExitStack, hops: int) -> None:
        """S43: the hop limit is the proof."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY))
        assert _icmpv6_into_pod(wire, _NEIGHBOUR_SOLICITATION, hops) is (hops == 255)

    @pytest.mark.root
    @both_families
    def test_icmp_follows_policy_or_the_setting(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S43: by a rule without ports, or by the setting of its own family."""
        self.needs(Feature.ACCEPT_ICMP)
        self.needs(Feature.ACCEPT_ICMPV6)
        wire = self.make_wire(mnp_cleanup)
        for rules, settings, expected in (
            (isolated(allow(ports=["UDP/80"])), CommonRules(), False),
            (isolated(allow([f"{PEER[family]}/{_length(family)}"])), CommonRules(), True),
            (DENY, CommonRules(accept_icmp=True), family == 4),
            (DENY, CommonRules(accept_icmpv6=True), family == 6),
        ):
            wire.pod.enforce(evolve(only(ingress=rules), common=settings))
            assert _echo_into_pod(wire, family) is expected, (rules, settings)

    @pytest.mark.root
    @pytest.mark.parametrize("accept", [True, False])
    def test_multicast_management_passes_by_the_setting(self, mnp_cleanup: ExitStack, accept: bool) -> None:  # noqa: FBT001 # a parameter
        """S43: IGMP and multicast listener reports, and no other ICMPv6."""
        self.needs(Feature.ACCEPT_MULTICAST_MANAGEMENT)
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY, accept_multicast_management=accept))
        assert _raw(wire.peer, PEER[4], wire.pod, POD[4], 4, _IGMP) is accept
        assert _icmpv6_into_pod(wire, _LISTENER_REPORT) is accept
        assert not _icmpv6_into_pod(wire, _ECHO)

    @pytest.mark.root
    @both_families
    def test_allowed_prefixes_are_of_one_direction(self, mnp_cleanup: ExitStack, family: int) -> None:
        """Semantics section 7: by source in ingress, by destination in egress."""
        self.needs(Feature.ALLOW_SRC_PREFIXES)
        self.needs(Feature.ALLOW_DST_PREFIXES)
        wire, prefixes = self.make_wire(mnp_cleanup), (ip_network(f"{PEER[family]}/{_length(family)}"),)
        wire.pod.enforce(only(ingress=DENY, egress=DENY, allow_src_prefixes=prefixes))
        assert [wire.into_pod(family, source=source) for source in (PEER, OTHER)] == [True, False]
        assert not wire.out_of_pod(family)
        wire.pod.enforce(only(ingress=DENY, egress=DENY, allow_dst_prefixes=prefixes))
        assert [wire.out_of_pod(family, target=target) for target in (PEER, OTHER)] == [True, False]
        assert not wire.into_pod(family)

    # --- the wire -------------------------------------------------------------------------------------------------

    @pytest.mark.root
    @pytest.mark.parametrize("allowed", [True, False])
    def test_the_own_address_on_the_wire_is_no_privilege(self, mnp_cleanup: ExitStack, allowed: bool) -> None:  # noqa: FBT001 # a parameter
        """S44: the neighbour claims the pod's address and sends from it."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=isolated(allow([f"{POD[6]}/128"])) if allowed else DENY))
        target = wire.pod.udp("::", 80)
        sender = wire.peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.sendto(multicast_frame(POD[6], "ff02::1", 80, _TOKEN), ("out", 0))
        assert arrives(target, _TOKEN, expected=allowed) is allowed

    @pytest.mark.root
    @both_families
    def test_a_pod_cannot_hide_a_datagram_in_fragments_of_its_own(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S46: reassembled before they are judged, in egress too."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(egress=isolated(allow(ports=["UDP/80"]))))
        sender = wire.pod.raw(family, _RAW)
        for number, port in enumerate((80, 81), start=1):
            token, target = b"%020d" % number, wire.peer.udp(PEER[family], port)
            for fragment in datagram_fragments(POD[family], PEER[family], port, token + bytes(_FRAGMENTED), number):
                with drops_expected():
                    sender.sendto(fragment, (PEER[family], 0))
            assert arrives(target, token, expected=port == 80) is (port == 80)

    @pytest.mark.root
    @both_families
    def test_more_ranges_than_fit_into_rules_mean_the_same(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S23, S32: many blocks and port ranges often become sets."""
        wire = self.make_wire(mnp_cleanup)
        blocks = [f"10.0.0.{2 + 4 * n}/31" for n in range(30)] + [f"fd00::{2 + 4 * n:x}/127" for n in range(30)]
        ports = [f"UDP/{100 * n}-{100 * n + 5}" for n in range(1, 40)]
        rules = isolated(allow(blocks, [*ports, "UDP/7", "UDP/4000"]))
        wire.pod.enforce(only(ingress=rules, egress=rules))
        for allowed in (7, 105, 4000):
            assert wire.into_pod(family, allowed)
        assert wire.out_of_pod(family, 3900)
        assert not wire.into_pod(family, 106)
        assert not wire.out_of_pod(family, 99)

    @pytest.mark.root
    @both_families
    @both_actions
    def test_an_invalid_packet_is_judged_like_a_new_one(
        self, mnp_cleanup: ExitStack, family: int, action: DenyAction
    ) -> None:
        """S48: SYN and FIN together, which connection tracking calls invalid."""
        if action is DenyAction.REJECT:
            self.needs(Feature.REJECT)
        wire = self.make_wire(mnp_cleanup)
        for rules, expected in ((isolated(allow(ports=["TCP/80"])), True), (DENY, False)):
            wire.pod.enforce(only(ingress=rules, deny_action=action))
            receiver, sender = (host.raw(family, socket.IPPROTO_TCP) for host in (wire.pod, wire.peer))
            sender.bind((PEER[family], 0))
            segment = struct.pack("!HHIIBBHHH", 1234, 80, 7, 0, 5 << 4, 0x03, 100, 0, 0) + _TOKEN
            sender.sendto(segment, (POD[family], 0))
            assert arrives(receiver, _TOKEN, expected=expected) is expected

    # --- the log --------------------------------------------------------------------------------------------------

    @pytest.mark.root
    @both_families
    def test_denied_packets_are_logged_with_their_mark(self, mnp_cleanup: ExitStack, family: int) -> None:
        """Semantics section 7: those that are denied, by interface and direction, and no others."""
        self.needs(Feature.LOG_DENIED)
        wire, web = self.make_wire(mnp_cleanup), isolated(allow(ports=["UDP/80"]))
        wire.pod.enforce(only(ingress=web, egress=web, denied_log=DeniedLog()))
        log = _open_log(wire.pod, mnp_cleanup)
        assert [wire.into_pod(family, port) for port in (80, 81)] == [True, False]
        assert [wire.out_of_pod(family, port) for port in (80, 82)] == [True, False]
        expected = {Direction.INGRESS: 81, Direction.EGRESS: 82}
        assert set(_udp(_read_log(log))) == {
            (LogMark(verdict=LoggedVerdict.DENIED, direction=direction, interface="net1"), port)
            for direction, port in expected.items()
        }

    @pytest.mark.root
    def test_no_more_packets_are_logged_than_the_limit_says(self, mnp_cleanup: ExitStack) -> None:
        """Semantics section 7: the kernel leaves out the rest, and they are denied all the same."""
        self.needs(Feature.LOG_DENIED)
        wire, limited = self.make_wire(mnp_cleanup), DeniedLog(rate=1, burst=5)
        wire.pod.enforce(only(ingress=DENY, denied_log=limited))
        log, sender, receiver = _open_log(wire.pod, mnp_cleanup), wire.peer.udp(PEER[4]), wire.pod.udp(POD[4], 80)
        start = time.monotonic()
        for _ in range(10 * limited.burst):
            sender.sendto(_TOKEN, (POD[4], 80))
        found = _read_log(log)
        assert len(found) >= limited.burst  # neighbours' IPv6 packets may take a part of it
        assert len(_udp(found)) <= limited.burst + 1 + time.monotonic() - start
        assert not arrives(receiver, _TOKEN, expected=False)

    # --- reject ---------------------------------------------------------------------------------------------------

    @pytest.mark.root
    @both_families
    def test_a_pod_that_may_not_send_learns_it_at_once(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S48: with ``deny-action: reject``, and not as if the peer had refused."""
        self.needs(Feature.REJECT)
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(egress=DENY, deny_action=DenyAction.REJECT))
        client = wire.pod.socket(af(POD[family]), socket.SOCK_STREAM)
        with pytest.raises(OSError) as caught:  # noqa: PT011 # the test is about its type
            client.connect((PEER[family], 80))
        assert not isinstance(caught.value, (TimeoutError, ConnectionRefusedError))

    @pytest.mark.root
    @both_families
    def test_rules_that_reject_allow_the_same(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S48: some backends need other hooks for them, where packets look different."""
        self.needs(Feature.REJECT)
        wire, web = self.make_wire(mnp_cleanup), isolated(allow([f"{PEER[family]}/{_length(family)}"], ["UDP/80-81"]))
        wire.pod.enforce(only(ingress=web, egress=web, deny_action=DenyAction.REJECT))
        for source, port, expected in ((PEER, 80, True), (PEER, 82, False), (OTHER, 80, False)):
            assert wire.into_pod(family, port, source=source) is expected
            assert wire.out_of_pod(family, port, target=source) is expected
        long = bytes(5000)
        for port in (81, 82):
            assert passes(
                wire.peer.udp(PEER[family]), wire.pod.udp(POD[family], port), (POD[family], port), payload=long
            ) is (port == 81)


def _open_log(pod: Host, cleanup: ExitStack) -> socket.socket:
    settings = DeniedLog()
    return cleanup.enter_context(pod.run(lambda: open_group(settings.group, settings.size)))


def _read_log(log: socket.socket) -> list[Logged]:
    time.sleep(_LOGGED_WITHIN)
    return list(chain.from_iterable(iter(lambda: read_packets(log), None)))


def _udp(found: Iterable[Logged]) -> list[tuple[LogMark | None, int | None]]:
    """The marks and destination ports of UDP packets."""
    parsed = ((LogMark.parse(each.prefix), parse_headers(each.payload)) for each in found)
    return [(mark, headers.target_port) for mark, headers in parsed if headers and headers.protocol == Protocol.UDP]


def _length(family: int) -> int:
    return {4: 32, 6: 128}[family]


def _echo_into_pod(wire: Wire, family: int) -> bool:
    if family == 6:
        return _icmpv6_into_pod(wire, _ECHO)
    return _raw(wire.peer, PEER[4], wire.pod, POD[4], 4, socket.IPPROTO_ICMP)


def _raw(sender: Host, source: str, receiver: Host, target: str, family: int, protocol: int) -> bool:
    """Whether a packet of another protocol passes; the same bytes are an ICMP message without a meaning."""
    near, far = sender.raw(family, protocol), receiver.raw(family, protocol)
    near.bind((source, 0))
    return passes(near, far, (target, 0))


def _icmpv6_into_pod(wire: Wire, kind: int, hops: int = 64) -> bool:
    far, near = wire.pod.raw(6, _ICMPV6), wire.peer.raw(6, _ICMPV6)
    near.bind((PEER[6], 0))
    near.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    near.sendto(struct.pack("!BBHI", kind, 0, 0, next(_identities) << 16) + _TOKEN, (POD[6], 0))
    return arrives(far, _TOKEN)
