"""Effects of rules on packets that are particular to iptables: the kit's standard tests cover the rest."""

import pytest

from mnp_core.model import CustomRules, DenyAction, Direction
from mnp_core.testing.hosts import FAMILIES, PEER, POD, Router, arrives
from mnp_core.testing.policies import DENY, allow, interface, isolated, only, sandbox
from plugins.iptables.tests.pods import Pod

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


def test_allowed_packets_still_meet_foreign_rules(wire):
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
def test_ports_are_those_on_the_wire_also_under_a_mesh(wire, deny_action):
    """S49, S31: packets that are redirected inside the pod are judged by their original destination."""
    wire.pod.nft(
        "table inet mesh {\n chain in {\n type nat hook prerouting priority dstnat; policy accept;\n"
        " udp dport { 80, 82 } redirect to :15006\n }\n}\n"
    )
    sidecar = wire.pod.udp(POD[4], 15006)
    for port, rules in ((80, ["UDP/80"]), (82, ["UDP/15006"])):
        wire.pod.enforce(only(ingress=isolated(allow(ports=rules)), deny_action=deny_action))
        wire.peer.udp(PEER[4]).sendto(b"to port %d" % port, (POD[4], port))
        assert arrives(sidecar, b"to port %d" % port, expected=port == 80) is (port == 80)


@both_families
def test_a_router_that_rejects_judges_both_interfaces(cleanup, way, family):
    """S47, S48: as in the table that drops."""
    router, web = Router(cleanup, lambda *place: Pod(*place, way)), isolated(allow(ports=["UDP/80"]))
    for ingress, egress, expected in ((web, web, True), (DENY, web, False), (web, DENY, False)):
        interfaces = interface("net1", ingress=ingress), interface("net2", egress=egress)
        router.pod.enforce(sandbox(*interfaces, deny_action=REJECT))
        assert router.forwarded(family, 80) is expected
        assert not router.forwarded(family, 81)
