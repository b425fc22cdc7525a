"""From policies to the rules of one pod's interfaces (S10 to S13, S20 to S23, S30, S31)."""

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    OPEN,
    AddressGroup,
    Allow,
    AllowEndpoints,
    Audited,
    CommonRules,
    Direction,
    EndpointGroup,
    Enforcement,
    GroupSpec,
    Isolated,
    Origin,
    Peers,
    Ports,
    Scope,
    parse_address,
)
from mnp_core.model.block_list import block_list_id
from mnp_core.policy.compile import compile_policy, compile_sandbox, selects
from mnp_core.testing.builders import (
    attachment,
    block,
    named,
    pod,
    pods,
    policy,
    policy_port,
    requirement,
    rule,
    selector,
    serves,
)

WEB = pod("web", labels={"app": "web"}, ports=[serves("TCP/8080", "http"), serves("UDP/53", "dns")])
NET1 = attachment("web", "net-a", "net1", "10.0.0.1")
NET2 = attachment("web", "net-b", "net2", "10.9.0.1")
SCOPE = Scope(networks=frozenset({named("net-a")}))


def compiled(*policies, attachments=(NET1,), a_pod=WEB, groups=None):
    return compile_sandbox(a_pod, attachments, map(compile_policy, policies), groups or {}, CommonRules())


def on(sandbox, interface="net1", direction=Direction.INGRESS):
    return next(entry.of(direction) for entry in sandbox.interfaces if entry.interface == interface)


def ingress(*rules, **changes):
    return policy("p", networks=["net-a"], ingress=rules, **changes)


def egress(*rules, **changes):
    return policy("p", networks=["net-a"], egress=rules, **changes)


def ranges(*texts):
    return Ports(ranges=tuple(map(policy_port, texts)))


# --- selection and isolation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (selector(), True),
        (selector(app="web"), True),
        (selector(app="db"), False),
        (selector(requirement("app", "In", "web", "db")), True),
        (selector(requirement("app", "NotIn", "db")), True),
        (selector(requirement("tier", "NotIn", "db")), True),
        (selector(requirement("tier", "DoesNotExist")), True),
        (selector(requirement("app", "Exists"), requirement("tier", "Exists")), False),
    ],
)
def test_a_policy_selects_pods_by_the_full_selector(wanted, matches):
    """S10: NotIn and DoesNotExist match absent keys."""
    assert selects(policy("p", networks=["net-a"], selector=wanted), WEB) is matches


def test_a_policy_selects_pods_of_its_own_namespace_only():
    """S10."""
    elsewhere = policy("other/p", networks=["default/net-a"], ingress=[])
    assert not selects(elsewhere, WEB)
    assert on(compiled(elsewhere)) == OPEN


def test_a_pod_of_the_hosts_network_is_no_target():
    """S5."""
    assert not selects(ingress(), pod("web", host_network=True))


def test_an_interface_that_no_policy_selects_is_listed_and_open():
    """S10, S41."""
    sandbox = compiled(ingress(), attachments=(NET2, NET1))
    assert [entry.interface for entry in sandbox.interfaces] == ["net1", "net2"]
    assert on(sandbox, "net1") == Isolated(policies=(ingress().ref,))
    assert on(sandbox, "net2") == OPEN


def test_a_direction_is_isolated_by_a_policy_of_its_type_alone():
    """S11, S12: rules missing under Ingress allow nothing, and leave egress open."""
    sandbox = compiled(ingress())
    assert on(sandbox, direction=Direction.INGRESS) == Isolated(policies=(ingress().ref,))
    assert on(sandbox, direction=Direction.EGRESS) == OPEN


def test_a_policy_without_policy_types_that_isolate_leaves_everything_open():
    """S11."""
    sandbox = compiled(policy("p", networks=["net-a"]))
    assert (on(sandbox), on(sandbox, direction=Direction.EGRESS)) == (OPEN, OPEN)


def test_rules_of_all_selecting_policies_are_a_union():
    """S11: each keeps its origin, also where two allow the same."""
    same = [rule(ports=["TCP/80"])]
    one, two = policy("one", networks=["net-a"], ingress=same), policy("two", networks=["net-a"], ingress=same)
    allows = on(compiled(two, one)).allows
    assert [str(allow.origin) for allow in allows] == [
        "MultiNetworkPolicy default/one ingress[0]",
        "MultiNetworkPolicy default/two ingress[0]",
    ]
    assert on(compiled(two, one)).policies == (one.ref, two.ref)


def test_attachments_that_share_an_interface_share_the_union_of_their_policies():
    """S11: the interface is one, for packets of every network."""
    shared = evolve(NET2, interface="net1")
    assert compiled(attachments=(shared, NET1)) == compiled(attachments=(NET1, shared))
    for_b = policy("b", networks=["net-b"], ingress=[])
    sandbox = compiled(ingress(rule()), for_b, attachments=(NET1, shared))
    (entry,) = sandbox.interfaces
    assert entry.networks == (named("net-a"), named("net-b"))
    assert entry.ingress.policies == (for_b.ref, ingress().ref)


def test_a_policy_for_kinds_selects_attachments_of_these_kinds_on_any_network():
    kinds = policy("p", networks=None, kinds=["macvlan"], ingress=[])
    other = evolve(NET2, kind="sriov")
    sandbox = compiled(kinds, attachments=(NET1, other))
    assert (on(sandbox, "net1"), on(sandbox, "net2")) == (Isolated(policies=(kinds.ref,)), OPEN)


def test_an_attachment_of_unknown_kind_is_isolated_as_if_it_were_of_every_kind():
    """S6: deleting a definition must not open a pod."""
    kinds = policy("p", networks=None, kinds=["macvlan"], ingress=[])
    assert on(compiled(kinds, attachments=(evolve(NET1, kind=""),))) == Isolated(policies=(kinds.ref,))
    elsewhere = policy("p", networks=["net-b"], kinds=["macvlan"], ingress=[])
    assert on(compiled(elsewhere, attachments=(evolve(NET1, kind=""),))) == OPEN


# --- rules ------------------------------------------------------------------------------------------------------


def test_an_empty_rule_allows_everything():
    """S12."""
    (allow,) = on(compiled(ingress(rule()))).allows
    assert (allow.peers, allow.ports) == (ANY_PEER, ANY_PORT)


def test_blocks_keep_their_own_excepts_and_stand_beside_groups():
    """S23, S20: alternatives, sorted, without duplicates."""
    wide, narrow = block("10.0.0.0/8", "10.1.0.0/16"), block("10.1.0.0/24")
    p = ingress(rule([narrow, pods(app="db"), wide, narrow]))
    identity = GroupSpec(scope=SCOPE, peer=pods(app="db")).identity()
    (allow,) = on(compiled(p)).allows
    origin = Origin(policy=p.ref, direction=Direction.INGRESS, rule=0)
    assert allow == Allow(
        peers=Peers(blocks=(wide, narrow), groups=(identity,), list_id=block_list_id(origin)),
        ports=ANY_PORT,
        origin=origin,
    )


def test_blocks_are_in_the_order_of_their_addresses():
    """The order that backends and people expect; IPv4 first."""
    ordered = (block("9.0.0.0/8"), block("10.0.0.0/8"), block("10.0.0.0/8", "10.0.0.0/9"), block("fd00::/8"))
    for order in permutations(ordered):
        (allow,) = on(compiled(ingress(rule(order)))).allows
        assert allow.peers.blocks == ordered


def test_a_rule_of_which_nothing_can_match_stays_and_allows_nothing():
    """S22, S32: it can be seen and counted."""
    for rules in ([rule([])], [rule(ports=[])], [rule([], [])], [rule([], ["TCP/http"])]):
        for direction, p in ((Direction.INGRESS, ingress(*rules)), (Direction.EGRESS, egress(*rules))):
            (allow,) = on(compiled(p), direction=direction).allows
            assert Peers() == allow.peers or Ports() == allow.ports


def test_policies_that_mean_the_same_peers_share_a_group():
    one = policy("one", networks=["net-a"], ingress=[rule([pods(app="db")])])
    two = policy("two", networks=["net-a"], egress=[rule([pods(app="db")], ["TCP/80"])])
    assert len(compiled(one, two).groups) == 1


def test_exactly_the_groups_that_rules_refer_to_are_there():
    """A group that is not known has no members (S22)."""
    p = ingress(rule([pods(app="db")]))
    elsewhere = policy("x", networks=["net-b"], ingress=[rule([pods(app="x")])])
    (identity,) = compile_policy(p).groups
    known = AddressGroup(id=identity, members=frozenset({parse_address("10.0.0.2")}))
    assert compiled(p, elsewhere).groups == {identity: AddressGroup(id=identity)}
    assert compiled(p, elsewhere, groups={identity: known, "more": known}).groups == {identity: known}


# --- ports ------------------------------------------------------------------------------------------------------


def test_a_named_ingress_port_is_looked_up_on_the_selected_pod():
    """S31."""
    p = ingress(rule(ports=["TCP/http", "TCP/8081"]))
    (allow,) = on(compiled(p)).allows
    assert allow.ports == ranges("TCP/8080-8081")
    other = evolve(WEB, ports=(serves("TCP/9090", "http"), serves("TCP/9091", "http"), serves("UDP/1", "http")))
    (allow,) = on(compiled(p, a_pod=other)).allows
    assert allow.ports == ranges("TCP/8081", "TCP/9090-9091")


@pytest.mark.parametrize("port", ["UDP/http", "TCP/ssh"])
def test_a_named_ingress_port_that_the_pod_does_not_serve_matches_nothing(port):
    """S31: under another protocol, or not in any of its containers; never /etc/services."""
    (allow,) = on(compiled(ingress(rule(ports=[port])))).allows
    assert allow.ports == Ports()


def test_named_egress_ports_are_endpoints_of_each_peer():
    """S31: for pods, blocks and any peer; numbers of the same rule stay an allow of their own."""
    port = policy_port("TCP/http")
    peers = [pods(app="db"), block("10.0.0.0/8")]
    sandbox = compiled(egress(rule(peers, ["TCP/http", "UDP/53"])))
    numeric, *endpoints = on(sandbox, direction=Direction.EGRESS).allows
    assert numeric.ports == ranges("UDP/53")
    identities = {GroupSpec(scope=SCOPE, peer=peer, port=port).identity() for peer in peers}
    assert [allow.group for allow in endpoints] == sorted(identities)
    assert {identity for identity, group in sandbox.groups.items() if isinstance(group, EndpointGroup)} == identities


def test_a_named_egress_port_to_anybody_is_looked_up_everywhere():
    """S31."""
    p = egress(rule(ports=["TCP/http"]))
    (allow,) = on(compiled(p), direction=Direction.EGRESS).allows
    assert allow == AllowEndpoints(
        group=GroupSpec(scope=SCOPE, peer=ANY_PEER, port=policy_port("TCP/http")).identity(),
        origin=Origin(policy=p.ref, direction=Direction.EGRESS, rule=0),
    )


def test_a_name_says_nothing_new_beside_every_port_of_its_protocol():
    """S30."""
    sandbox = compiled(egress(rule(ports=["TCP/http", "TCP"])))
    (allow,) = on(sandbox, direction=Direction.EGRESS).allows
    assert allow.ports == ranges("TCP")
    assert sandbox.groups == {}


# --- canonical --------------------------------------------------------------------------------------------------

MIXED = (
    policy(
        "b",
        networks=["net-a"],
        ingress=[
            rule([block("10.1.0.0/16"), pods(app="x"), block("fd00::/8")], ["UDP", "TCP/http", "TCP/80"]),
            rule([]),
        ],
    ),
    policy("a", networks=["net-b", "net-a"], selector=selector(app="web"), ingress=[], egress=[rule([pods()])]),
    policy(
        "c",
        networks=["net-a"],
        egress=[rule([pods(app="y"), pods(app="z")], ["TCP/http", "UDP/dns"]), rule(ports=["SCTP", "TCP/1"])],
    ),
)


def reversed_inside(p):
    """The same policy with the alternatives of each rule written the other way round."""

    def turned(rules):
        return rules and tuple(
            evolve(
                r,
                peers=r.peers if r.peers == ANY_PEER else r.peers[::-1],
                ports=r.ports if r.ports == ANY_PORT else r.ports[::-1],
            )
            for r in rules
        )

    return evolve(p, ingress=turned(p.ingress), egress=turned(p.egress))


def test_order_never_matters():
    """S11: neither of policies, attachments, peers, ports nor known groups."""
    expected = compiled(*MIXED, attachments=(NET1, NET2))
    for order in permutations(MIXED):
        assert compiled(*order, attachments=(NET2, NET1)) == expected
        assert compiled(*map(reversed_inside, order), attachments=(NET1, NET2)) == expected


DUMP = """
import sys
sys.path.insert(0, {folder!r})
from test_compile import MIXED, NET1, NET2, compiled
sandbox = compiled(*MIXED, attachments=(NET1, NET2))
print([(e.interface, e.networks, e.ingress, e.egress) for e in sandbox.interfaces], list(sandbox.groups))
"""


def test_the_result_is_the_same_in_every_process():
    """S62: a fresh process must recognise existing rules; string hashing differs from process to process."""
    code = DUMP.format(folder=str(Path(__file__).parent))
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(outputs) == 1
    assert "net1" in outputs.pop()


# --- audit mode -------------------------------------------------------------------------------------------------


def test_policies_in_audit_mode_isolate_nothing():
    """S71, S72: where they are alone the direction is audited, else they are only named."""
    audit, enforced = (
        evolve(ingress(rule()), enforcement=Enforcement.AUDIT),
        policy("q", networks=["net-a"], ingress=[]),
    )
    (alone,) = compiled(audit).interfaces
    assert isinstance(alone.ingress, Audited)
    assert (len(alone.ingress.allows), alone.ingress.policies, alone.egress) == (1, (audit.ref,), OPEN)
    for both in (compiled(audit, enforced), compiled(enforced, audit)):
        assert both.interfaces[0].ingress == Isolated(policies=(enforced.ref,), audits=(audit.ref,))
