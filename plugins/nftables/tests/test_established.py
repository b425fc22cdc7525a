"""Flows that are older than the policy (S42), with ``established-flows: keep`` and ``recheck``."""

import pytest

from mnp_core.model import CustomRules, Direction, EstablishedFlows
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
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
from plugins.nftables.tests.wire import FAMILIES, OTHER, PEER, POD, arrives, passes, works

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)
RECHECK = EstablishedFlows.RECHECK

WEB = isolated(allow(ports=["TCP/80"]))
NOT_WEB = isolated(allow(ports=["TCP/81"]))


@both_families
def test_flows_survive_a_policy_that_would_not_allow_them(wire, family):
    """S42: the default."""
    wire.pod.enforce(only(ingress=WEB, egress=WEB))
    came, went = wire.connection(wire.peer, wire.pod, 80, family), wire.connection(wire.pod, wire.peer, 80, family)
    wire.pod.enforce(only(ingress=NOT_WEB, egress=NOT_WEB))
    assert works(*came)
    assert works(*went)


@both_families
def test_recheck_cuts_what_is_no_longer_allowed_and_nothing_else(wire, family):
    """S42, S40."""
    both = isolated(allow(ports=["TCP/80-81"]))
    wire.pod.enforce(only(ingress=both, egress=both, established_flows=RECHECK))
    pairs = {
        (name, port): wire.connection(*ends, port, family)
        for name, ends in {"came": (wire.peer, wire.pod), "went": (wire.pod, wire.peer)}.items()
        for port in (80, 81)
    }
    assert all(works(*pair) for pair in pairs.values())
    wire.pod.enforce(only(ingress=WEB, egress=NOT_WEB, established_flows=RECHECK))
    alive = {key for key, pair in pairs.items() if works(*pair)}
    assert alive == {("came", 80), ("went", 81)}


PEERS = {
    "any": ("any", "any"),
    "host": ("{peer}/{all}", "{other}/{all}"),
    "network": ("{peer}/{some}", "{other}/{all}"),
    "group": (GROUP, "b" * 20),
}


@both_families
@pytest.mark.parametrize("kind", PEERS)
@pytest.mark.parametrize("ports", [["TCP/80", "TCP/443"], ["TCP/79-81"], ["TCP"], None], ids=str)
def test_recheck_understands_every_way_to_allow(wire, family, kind, ports):
    """S42: a reply passes by the same peers and ports as the packet that it answers, in both directions."""
    names = {
        "peer": PEER[family],
        "other": OTHER[family],
        "all": {4: 32, 6: 128}[family],
        "some": {4: 30, 6: 126}[family],
    }
    before, after = (template.format(**names) for template in PEERS[kind])
    groups = [addresses(GROUP, PEER[family]), addresses("b" * 20, OTHER[family])]

    def enforce(peer, *, ports):
        rule = allow(**({} if peer == "any" else {"peers": [peer]}), **({} if ports is None else {"ports": ports}))
        rules = isolated(rule)
        wire.pod.enforce(only(ingress=rules, egress=rules, groups=groups, established_flows=RECHECK))

    enforce(before, ports=ports)
    came, went = wire.connection(wire.peer, wire.pod, 80, family), wire.connection(wire.pod, wire.peer, 80, family)
    enforce(before, ports=ports)
    assert works(*came)
    assert works(*went)
    enforce(after, ports=["TCP/8080"] if kind == "any" else ports)
    assert not works(*came)
    assert not works(*went)


@both_families
def test_recheck_knows_endpoints(wire, family):
    """S42, S31."""
    groups = [endpoints(GROUP, (PEER[family], "TCP", 80)), endpoints("b" * 20, (PEER[family], "TCP", 81))]
    wire.pod.enforce(
        only(ingress=DENY, egress=isolated(allow_endpoints(GROUP)), groups=groups[:1], established_flows=RECHECK)
    )
    went = wire.connection(wire.pod, wire.peer, 80, family)
    assert works(*went)
    wire.pod.enforce(
        only(ingress=DENY, egress=isolated(allow_endpoints("b" * 20)), groups=groups[1:], established_flows=RECHECK)
    )
    assert not works(*went)


def test_recheck_stops_the_replies_of_a_flow_that_is_cut(wire):
    """S42: a server that goes on sending although it is no longer asked."""
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"])), egress=DENY, established_flows=RECHECK))
    server, client = wire.pod.udp(POD[4], 80), wire.peer.udp(PEER[4])
    assert passes(client, server, (POD[4], 80))
    assert passes(server, client, client.getsockname())
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/81"])), egress=DENY, established_flows=RECHECK))
    assert not passes(server, client, client.getsockname())


def test_recheck_lets_an_open_direction_alone(wire):
    """S42: what no policy isolates is not cut, and neither are its replies."""
    wire.pod.enforce(only(established_flows=RECHECK))
    went = wire.connection(wire.pod, wire.peer, 80)
    wire.pod.enforce(only(ingress=DENY, established_flows=RECHECK))
    assert works(*went)
    came = wire.into_pod()
    assert not came


def test_recheck_follows_membership(wire):
    """S42: who leaves a group loses the flows that the group allowed."""
    rules = isolated(allow([GROUP]))
    wire.pod.enforce(only(ingress=rules, egress=DENY, groups=[addresses(GROUP, PEER[4])], established_flows=RECHECK))
    came = wire.connection(wire.peer, wire.pod, 80)
    assert works(*came)
    wire.pod.regroup(addresses(GROUP, PEER[4]), addresses(GROUP, OTHER[4]))
    assert not works(*came)


@both_families
def test_recheck_lets_errors_of_allowed_flows_pass(wire, family):
    """S42, S40."""
    wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"])), established_flows=RECHECK))
    client = wire.pod.udp(POD[family])
    client.connect((PEER[family], 80))
    client.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)


def test_recheck_and_custom_rules(wire):
    """S42, section 7: replies to what a custom rule allows pass; without the rule, the flow is cut."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=("tcp dport 9999 accept",))
    wire.pod.enforce(only(ingress=DENY, egress=DENY, custom=(custom,), established_flows=RECHECK))
    came = wire.connection(wire.peer, wire.pod, 9999)
    assert works(*came)
    wire.pod.enforce(only(ingress=DENY, egress=DENY, established_flows=RECHECK))
    assert not works(*came)


@both_families
def test_recheck_of_forwarded_flows(router, family):
    """S42, S47: asked for on the interface of each direction."""
    pod, left, right = router
    source, target = ({4: f"10.{side}.0.2", 6: f"fd0{side}::2"}[family] for side in (1, 2))

    def enforce(rules):
        net1, net2 = interface("net1", ingress=rules, egress=DENY), interface("net2", ingress=DENY, egress=rules)
        pod.enforce(sandbox(net1, net2, established_flows=RECHECK))

    enforce(isolated(allow([f"{source}/{source_length(family)}", f"{target}/{source_length(family)}"], ["UDP/80"])))
    client, server = left.udp(source, 1000), right.udp(target, 80)
    assert passes(client, server, (target, 80))
    assert passes(server, client, (source, 1000))
    enforce(isolated(allow(ports=["UDP/81"])))
    assert not passes(client, server, (target, 80))
    assert not passes(server, client, (source, 1000))


def source_length(family):
    return {4: 32, 6: 128}[family]


def test_recheck_sees_through_address_translation_in_the_pod(wire):
    """S42, S49: a service mesh redirects what comes to port 80; replies leave with another port than was asked for."""
    wire.pod.nft(
        "table inet mesh {\n chain in {\n type nat hook prerouting priority dstnat; policy accept;\n"
        " udp dport 80 redirect to :15006\n }\n}\n"
    )
    wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"])), egress=DENY, established_flows=RECHECK))
    client, sidecar = wire.peer.udp(PEER[4]), wire.pod.udp(POD[4], 15006)
    client.sendto(b"a first datagram, redirected", (POD[4], 80))
    assert arrives(sidecar, b"a first")
    sidecar.sendto(b"an answer from the sidecar", client.getsockname())
    assert arrives(client, b"an answer")


def _flush():
    nft.load("flush ruleset\n")


OPEN_POD = only()


@both_families
def test_a_connection_outlives_a_moment_without_our_table_and_the_first_policy_after_it(wire, family):
    """S41, S63: its conntrack entry stays while nobody tracks, and tracking goes on with it."""
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
