"""Why a flow passes or not, in words and as JSON."""

import json

from attrs import evolve

from mnp_core.model import CommonRules, Enforcement, ObjectRef, Protocol, parse_address
from mnp_core.policy.ends import Flow, Standing
from mnp_core.policy.explain import describe, explain, obstacles
from mnp_core.testing.builders import block, named, network, pod, pods, policy, rule, selector, status
from mnp_core.testing.cluster import Cluster

HTTP = Flow(protocol=Protocol.TCP, port=80)
PING = Flow(protocol=Protocol.ICMP)
DENY = policy("deny", networks=["net-a"], selector=selector(app="web"), ingress=[])
FROM_DB = policy(
    "from-db", networks=["net-a"], selector=selector(app="web"), ingress=[rule([pods(app="db")], ["TCP/80"])]
)
CLUSTER = Cluster(
    pods=(
        pod("web", status("net-a", "net1", "10.0.0.1", "fd00::1"), labels={"app": "web"}),
        pod("db", status("net-a", "net1", "10.0.0.2"), status("net-b", "net2", "10.9.0.2"), labels={"app": "db"}),
        pod("far", status("net-b", "net1", "10.9.0.3"), status("ovs", "net2", "10.8.0.3")),
        pod("odd", status("ovs", "net2", "10.8.0.4"), labels={"app": "web"}),
    ),
    policies=(DENY, FROM_DB),
    networks=(network("net-a", "macvlan"), network("net-b", "macvlan"), network("ovs", "ovs")),
)


def test_an_allowed_flow_names_the_rule_and_all_policies_that_isolate():
    (explanation,) = CLUSTER.explain("db", "web", HTTP)
    assert explanation.allowed
    assert describe(explanation).splitlines() == [
        "default/db (net1, 10.0.0.2) -> default/web (net1, 10.0.0.1) TCP/80 on default/net-a: allowed",
        "  egress of default/db on net1: allowed, no policy isolates it",
        (
            "  ingress of default/web on net1: allowed by rule MultiNetworkPolicy default/from-db ingress[0]; "
            "isolated by MultiNetworkPolicy default/deny, MultiNetworkPolicy default/from-db"
        ),
    ]


def test_a_denied_flow_says_that_no_rule_allows_it():
    (explanation,) = CLUSTER.explain("db", "web", Flow(protocol=Protocol.TCP, port=81))
    assert not explanation.allowed
    assert "denied, no rule allows it; isolated by" in describe(explanation)


def test_the_json_is_a_probe_with_reasons():
    (explanation,) = CLUSTER.explain("db", "web", HTTP)
    assert json.loads(json.dumps(explanation.as_json())) == {
        "from": "default/db",
        "to": "default/web",
        "network": "default/net-a",
        "interface": "net1",
        "address": "10.0.0.1",
        "protocol": "TCP",
        "port": 80,
        "verdict": "allowed",
        "would-deny": False,
        "egress": {
            "interface": "net1",
            "address": "10.0.0.2",
            "standing": "open",
            "verdict": "allowed",
            "would-deny": False,
            "policies": [],
            "audit-policies": [],
            "rule": None,
            "setting": None,
            "custom-rules": False,
        },
        "ingress": {
            "interface": "net1",
            "address": "10.0.0.1",
            "standing": "isolated",
            "verdict": "allowed",
            "would-deny": False,
            "policies": ["MultiNetworkPolicy default/deny", "MultiNetworkPolicy default/from-db"],
            "audit-policies": [],
            "rule": {"policy": "MultiNetworkPolicy default/from-db", "direction": "Ingress", "index": 0},
            "setting": None,
            "custom-rules": False,
        },
    }


def test_both_sides_decide():
    """S11: the source's egress can deny a packet that the destination allows."""
    no_egress = policy("quiet", networks=["net-a"], selector=selector(app="db"), egress=[])
    cluster = Cluster(pods=CLUSTER.pods, policies=(FROM_DB, no_egress), networks=CLUSTER.networks)
    (explanation,) = cluster.explain("db", "web", HTTP)
    assert (explanation.source.verdict.allowed, explanation.destination.verdict.allowed) == (False, True)
    assert not explanation.allowed


def test_ways_are_networks_that_both_ends_share():
    assert [str(way.network) for way in CLUSTER.explain("db", "far", HTTP)] == ["default/net-b"]
    assert CLUSTER.explain("web", "far", HTTP) == ()


def test_families_never_mix():
    """S25: db has no IPv6 address, so web's cannot be reached from it."""
    assert {way.destination.address.version for way in CLUSTER.explain("db", "web", HTTP)} == {4}


def test_a_pods_own_address_is_reached_through_lo():
    """S44."""
    ways = CLUSTER.explain("web", "web", HTTP)
    assert [str(way.destination.address) for way in ways] == ["10.0.0.1", "fd00::1"]
    assert all(way.allowed and way.destination.standing is Standing.LOOPBACK for way in ways)
    assert "lo" in describe(ways[0])


def test_an_unenforced_interface_is_named_as_such():
    """S64: never silently open."""
    (explanation,) = CLUSTER.explain("far", "odd", HTTP)
    assert explanation.destination.standing is Standing.UNENFORCED
    assert "ingress of default/odd on net2: allowed, the interface is not enforced" in describe(explanation)


def test_an_address_outside_of_the_cluster_can_be_either_end():
    out, inside = parse_address("10.0.0.200"), CLUSTER.host("web")
    (explanation,) = explain(out, inside, HTTP)
    assert (explanation.allowed, explanation.source.standing) == (False, Standing.OUTSIDE)
    assert explanation.as_json()["from"] == "10.0.0.200"
    ways = explain(CLUSTER.host("db"), out, HTTP)
    assert [(str(way.network), way.as_json()["interface"]) for way in ways] == [
        ("default/net-a", "net1"),
        ("default/net-b", "net2"),
    ]
    assert "10.0.0.200 is outside of the cluster" in describe(ways[0])
    assert explain(out, out, HTTP) == ()


def test_a_block_explains_an_outside_source():
    """S23."""
    allow = policy("block", networks=["net-a"], ingress=[rule([block("10.0.0.0/24", "10.0.0.128/25")])])
    cluster = Cluster(pods=CLUSTER.pods, policies=(allow,), networks=CLUSTER.networks)
    verdicts = [explain(parse_address(a), cluster.host("web"), HTTP)[0].allowed for a in ("10.0.0.9", "10.0.0.200")]
    assert verdicts == [True, False]


def test_ping_is_an_echo_request_of_the_addresses_family():
    """S43, S45."""
    cluster = Cluster(
        pods=CLUSTER.pods,
        policies=(DENY, policy("ping", networks=["net-a"], ingress=[rule([block("::/0")])])),
        networks=CLUSTER.networks,
    )
    ways = {
        source.version: explain(source, cluster.host("web"), PING)[0].allowed
        for source in map(parse_address, ("10.0.0.9", "fd00::9"))
    }
    assert ways == {4: False, 6: True}


def test_a_setting_is_given_as_the_reason():
    """S43."""
    cluster = Cluster(
        pods=CLUSTER.pods, policies=(DENY,), networks=CLUSTER.networks, common=CommonRules(accept_icmp=True)
    )
    (explanation,) = cluster.explain("db", "web", PING)
    assert "ingress of default/web on net1: allowed by accept-icmp; isolated by" in describe(explanation)


def test_a_pod_that_does_not_count_has_no_ways():
    """S5."""
    done = pod("done", status("net-a", "net1", "10.0.0.9"), phase="Succeeded")
    cluster = Cluster(pods=(*CLUSTER.pods, done), networks=CLUSTER.networks)
    assert cluster.host("done").pod == named("done")
    assert cluster.explain("db", "done", HTTP) == ()


def test_networks_of_one_wire_are_one_way():
    """S21: the policy's networks decide, not the networks of the two ends."""
    wires = {named("net-a"): "macvlan on eth1", named("net-b"): "macvlan on eth1"}
    (way,) = explain(CLUSTER.host("far"), CLUSTER.host("web"), HTTP, wires)
    assert not way.allowed
    assert describe(way).splitlines()[0].endswith("on default/net-a, one wire with default/net-b: denied")
    assert explain(CLUSTER.host("far"), CLUSTER.host("web"), HTTP) == ()


def test_a_way_without_known_addresses_is_an_obstacle_and_not_missing():
    """S21: networks without IPAM."""
    bare = Cluster(
        pods=(pod("a", status("net-a", "net1")), pod("b", status("net-a", "net2")), pod("c", status("net-b", "net1"))),
        networks=(network("net-a", "bridge"), network("net-b", "bridge")),
    )
    a, b, c = map(bare.host, "abc")
    assert explain(a, b, HTTP) == ()
    (obstacle,) = obstacles(a, b)
    assert obstacle.startswith(
        "default/a and default/b are both attached to default/net-a,"
        " but no address of default/a (net1) and of default/b (net2) is known there"
    )
    assert obstacles(a, c) == ()
    assert obstacles(a, parse_address("10.0.0.1")) == ()


def test_ways_without_a_common_family_are_an_obstacle():
    """S25."""
    cluster = Cluster(
        pods=(pod("a", status("net-a", "net1", "10.0.0.1")), pod("b", status("net-a", "net1", "fd00::1"))),
        networks=(network("net-a", "bridge"),),
    )
    (obstacle,) = obstacles(cluster.host("a"), cluster.host("b"))
    assert obstacle.endswith("have no address family in common there")


def with_audit(*enforced):
    audit = evolve(FROM_DB, ref=ObjectRef("MultiNetworkPolicy", named("try")), enforcement=Enforcement.AUDIT)
    policies = (audit, *enforced)
    return Cluster(pods=CLUSTER.pods, policies=policies, networks=CLUSTER.networks)


def test_an_audit_says_what_it_would_do():
    """S72."""
    (allowed,), (denied,) = (
        with_audit().explain("db", "web", Flow(protocol=Protocol.TCP, port=port)) for port in (80, 81)
    )
    side = "  ingress of default/web on net1: allowed, "
    assert describe(allowed).splitlines()[0].endswith(" on default/net-a: allowed")
    assert describe(allowed).splitlines()[2] == (
        f"{side}rule MultiNetworkPolicy default/try ingress[0] would allow it; "
        "in audit mode: MultiNetworkPolicy default/try"
    )
    assert describe(denied).splitlines()[0].endswith(" on default/net-a: allowed, would deny (audit)")
    assert describe(denied).splitlines()[2] == (
        f"{side}would deny (audit), no rule allows it; in audit mode: MultiNetworkPolicy default/try"
    )
    found = denied.as_json()
    assert (found["verdict"], found["would-deny"]) == ("allowed", True)
    assert found["ingress"]["standing"] == "audited"
    assert found["ingress"]["audit-policies"] == ["MultiNetworkPolicy default/try"]
    assert found["ingress"]["policies"] == []


def test_an_audit_beside_an_enforced_policy_is_named_as_without_effect():
    """S71, S72."""
    (explanation,) = with_audit(DENY).explain("db", "web", HTTP)
    assert (explanation.allowed, explanation.would_deny) == (False, False)
    assert (
        describe(explanation)
        .splitlines()[2]
        .endswith(
            "denied, no rule allows it; isolated by MultiNetworkPolicy default/deny; "
            "in audit mode, without effect here: MultiNetworkPolicy default/try"
        )
    )
