"""Flows that are older than the policy, with ``established-flows: recheck`` (S42). Needs root."""

from contextlib import ExitStack

import pytest
from attrs import evolve

from mnp_core.model import EstablishedFlows, Feature
from mnp_core.testing.conformance.packets import PacketConformance
from mnp_core.testing.hosts import FAMILIES, OTHER, PEER, POD, Router, Wire, arrives, passes, works
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    only,
    sandbox,
)

both_families = pytest.mark.parametrize("family", FAMILIES)

_RECHECK = EstablishedFlows.RECHECK
_WEB, _NOT_WEB = (isolated(allow(ports=[port])) for port in ("TCP/80", "TCP/81"))
_MESH = """table inet mesh {
 chain in {
  type nat hook prerouting priority dstnat; policy accept;
  udp dport 80 redirect to :15006
 }
}
"""
_PEERS = {  # allowed before, and after
    "any": (None, None),
    "host": ("{peer}/{all}", "{other}/{all}"),
    "network": ("{peer}/{some}", "{other}/{all}"),
    "group": (GROUP, OTHER_GROUP),
}


class EstablishedConformance(PacketConformance, standard=True):
    """For established flows, whose packets are judged anew if that is set."""

    def recheck_wire(self, cleanup: ExitStack) -> Wire:
        """A pod and its neighbour; the test is left out if the renderer refuses to recheck."""
        self.needs(Feature.RECHECK)
        return self.make_wire(cleanup)

    @pytest.mark.root
    @both_families
    def test_recheck_cuts_denied_flows_and_no_others(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S42, S40."""
        wire, both = self.recheck_wire(mnp_cleanup), isolated(allow(ports=["TCP/80-81"]))
        wire.pod.enforce(only(ingress=both, egress=both, established_flows=_RECHECK))
        ends = {"came": (wire.peer, wire.pod), "went": (wire.pod, wire.peer)}
        pairs = {(name, port): wire.connection(*ends[name], port, family) for name in ends for port in (80, 81)}
        assert all(works(*pair) for pair in pairs.values())
        wire.pod.enforce(only(ingress=_WEB, egress=_NOT_WEB, established_flows=_RECHECK))
        assert {key for key, pair in pairs.items() if works(*pair)} == {("came", 80), ("went", 81)}

    @pytest.mark.root
    @both_families
    @pytest.mark.parametrize("kind", _PEERS)
    @pytest.mark.parametrize("ports", [["TCP/80", "TCP/443"], ["TCP/79-81"], ["TCP"], None])
    def test_recheck_understands_every_way_to_allow(
        self, mnp_cleanup: ExitStack, family: int, kind: str, ports: list[str] | None
    ) -> None:
        """S42: a reply passes by the peers and ports of the packet that it answers, in both directions."""
        wire = self.recheck_wire(mnp_cleanup)
        names = {"peer": PEER[family], "other": OTHER[family], **_lengths(family)}
        before, after = (template and template.format(**names) for template in _PEERS[kind])
        groups = [addresses(GROUP, PEER[family]), addresses(OTHER_GROUP, OTHER[family])]

        def enforce(peer: str | None, ports: list[str] | None) -> None:
            rule = allow() if peer is None else allow([peer])
            rules = isolated(rule if ports is None else evolve(rule, ports=allow(ports=ports).ports))
            wire.pod.enforce(only(ingress=rules, egress=rules, groups=groups, established_flows=_RECHECK))

        enforce(before, ports)
        ends = (wire.peer, wire.pod), (wire.pod, wire.peer)
        both = [wire.connection(near, far, 80, family) for near, far in ends]
        enforce(before, ports)
        assert [works(*pair) for pair in both] == [True, True]
        enforce(after, ["TCP/8080"] if kind == "any" else ports)
        assert [works(*pair) for pair in both] == [False, False]

    @pytest.mark.root
    @both_families
    def test_recheck_knows_endpoints(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S42, S31."""
        wire = self.recheck_wire(mnp_cleanup)
        groups = [endpoints(GROUP, (PEER[family], "TCP", 80)), endpoints(OTHER_GROUP, (PEER[family], "TCP", 81))]
        for group, expected in zip(groups, (True, False), strict=True):
            egress = isolated(allow_endpoints(group.id))
            wire.pod.enforce(only(ingress=DENY, egress=egress, groups=[group], established_flows=_RECHECK))
            if expected:
                went = wire.connection(wire.pod, wire.peer, 80, family)
            assert works(*went) is expected

    @pytest.mark.root
    def test_recheck_stops_the_replies_of_a_flow_that_is_cut(self, mnp_cleanup: ExitStack) -> None:
        """S42: a server that goes on sending."""
        wire = self.recheck_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"])), egress=DENY, established_flows=_RECHECK))
        server, client = wire.pod.udp(POD[4], 80), wire.peer.udp(PEER[4])
        assert passes(client, server, (POD[4], 80))
        assert passes(server, client, client.getsockname())
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/81"])), egress=DENY, established_flows=_RECHECK))
        assert not passes(server, client, client.getsockname())

    @pytest.mark.root
    def test_recheck_leaves_an_open_direction_alone(self, mnp_cleanup: ExitStack) -> None:
        """S42: flows in a direction that no policy isolates go on, and so do their replies."""
        wire = self.recheck_wire(mnp_cleanup)
        wire.pod.enforce(only(established_flows=_RECHECK))
        went = wire.connection(wire.pod, wire.peer, 80)
        wire.pod.enforce(only(ingress=DENY, established_flows=_RECHECK))
        assert works(*went)
        assert not wire.into_pod()

    @pytest.mark.root
    def test_recheck_follows_membership(self, mnp_cleanup: ExitStack) -> None:
        """S42: a member that leaves a group loses the flows that the group allowed."""
        wire, rules = self.recheck_wire(mnp_cleanup), isolated(allow([GROUP]))
        before, after = addresses(GROUP, PEER[4]), addresses(GROUP, OTHER[4])
        wire.pod.enforce(only(ingress=rules, egress=DENY, groups=[before], established_flows=_RECHECK))
        came = wire.connection(wire.peer, wire.pod, 80)
        assert works(*came)
        wire.pod.regroup(before, after)
        assert not works(*came)

    @pytest.mark.root
    @both_families
    def test_recheck_lets_errors_of_allowed_flows_pass(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S42, S40."""
        wire = self.recheck_wire(mnp_cleanup)
        egress = isolated(allow(ports=["UDP/80"]))
        wire.pod.enforce(only(ingress=DENY, egress=egress, established_flows=_RECHECK))
        assert wire.gets_port_unreachable(family)

    @pytest.mark.root
    @both_families
    def test_recheck_of_forwarded_flows(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S42, S47: on the interface of each direction."""
        self.needs(Feature.RECHECK)
        router = Router(mnp_cleanup, self.make_pod)
        source, target = (router.address(side, family) for side in (1, 2))
        length = _lengths(family)["all"]

        def enforce(*ports: str) -> None:
            rules = isolated(allow([f"{source}/{length}", f"{target}/{length}"], ports))
            net1, net2 = interface("net1", ingress=rules, egress=DENY), interface("net2", ingress=DENY, egress=rules)
            router.pod.enforce(sandbox(net1, net2, established_flows=_RECHECK))

        client, server = router.left.udp(source, 1000), router.right.udp(target, 80)
        for ports, expected in ((["UDP/80"], True), (["UDP/81"], False)):
            enforce(*ports)
            assert passes(client, server, (target, 80)) is expected
            assert passes(server, client, (source, 1000)) is expected

    @pytest.mark.root
    def test_recheck_sees_through_address_translation_in_the_pod(self, mnp_cleanup: ExitStack) -> None:
        """S42, S49: a service mesh redirects port 80; its replies leave by another port than the request's."""
        wire = self.recheck_wire(mnp_cleanup)
        wire.pod.nft(_MESH)
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"])), egress=DENY, established_flows=_RECHECK))
        client, sidecar = wire.peer.udp(PEER[4]), wire.pod.udp(POD[4], 15006)
        client.sendto(b"a first datagram, redirected", (POD[4], 80))
        assert arrives(sidecar, b"a first", expected=True)
        sidecar.sendto(b"an answer from the sidecar", client.getsockname())
        assert arrives(client, b"an answer", expected=True)


def _lengths(family: int) -> dict[str, int]:
    return {"all": 32, "some": 30} if family == 4 else {"all": 128, "some": 126}
