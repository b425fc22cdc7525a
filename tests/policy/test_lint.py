"""Doubts about valid objects: each rule finds its case and nothing beside it; what it calls superfluous is."""

from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import EVERYTHING, NOTHING, Block, Direction, Enforcement, ObjectName
from mnp_core.policy.evaluate import evaluate
from mnp_core.policy.lint import RULES, NetworkFacts, Snapshot, lint
from mnp_core.policy.lint.coverage import implies
from mnp_core.testing.builders import (
    block,
    named,
    namespace,
    network,
    packet,
    pod,
    pods,
    pods_across,
    policy,
    requirement,
    rule,
    selector,
    serves,
    status,
)
from mnp_core.testing.cluster import Cluster

NETWORKS = (network("net-a", "macvlan"), network("net-b", "macvlan"))
NAMESPACES = (namespace("default", team="a"), namespace("other", team="b"))
WEB = pod(
    "web",
    status("net-a", "net1", "10.0.0.1", "fd00::1"),
    status("net-b", "net2", "10.9.0.1"),
    labels={"app": "web"},
    ports=[serves("TCP/80", "http")],
)
DB = pod("db", status("net-a", "net1", "10.0.0.2", "fd00::2"), labels={"app": "db"}, ports=[serves("TCP/81", "http")])
FAR = pod("other/web", status("default/net-a", "net1", "10.0.0.3"), labels={"app": "web"})
LONE = pod("other/lone", status("default/net-b", "net1", "10.9.0.4"), labels={"app": "lone"})
PODS = (WEB, DB, FAR, LONE)
NET_A, NET_B = named("net-a"), named("net-b")


def a_cluster(*policies, **changes):
    return evolve(Cluster(pods=PODS, policies=policies, networks=NETWORKS, namespaces=NAMESPACES), **changes)


def snapshot(cluster, **changes):
    names = {str(each.name): each.name for each in cluster.pods}
    return evolve(
        Snapshot(
            policies=cluster.policies,
            pods=cluster.pods,
            attachments={name: cluster.claims(text).peers for text, name in names.items()},
            namespaces=cluster.namespaces,
            networks=frozenset(each.name for each in cluster.networks),
            sandbox=lambda name: cluster.sandbox(str(name)),
        ),
        **changes,
    )


def findings(*policies, pods=PODS, networks=NETWORKS, **changes):
    """Rule, object and field of each finding."""
    found = lint(snapshot(a_cluster(*policies, pods=pods, networks=networks), **changes))
    return [(each.rule.name, str(each.about.name), each.field) for each in found]


def of_a(**spec):
    return policy("p", networks=["net-a"], **spec)


POLICY_FOR = "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]"

# --- selection ------------------------------------------------------------------------------------------------------


def test_nothing_is_found_about_policies_that_reach_somebody():
    good = of_a(
        selector=selector(app="web"),
        ingress=[
            rule([pods(app="db"), block("10.1.0.0/16", "10.1.3.0/24")], ["TCP/http", "UDP/53"]),
            rule([pods_across(selector(team="b"), selector(app="web"))]),
        ],
        egress=[rule()],
    )
    assert findings(good) == []


def test_a_policy_whose_selector_matches_no_pod():
    assert findings(of_a(selector=selector(app="wbe"))) == [("SelectsNothing", "default/p", "spec.podSelector")]


def test_a_policy_whose_pods_are_on_other_networks():
    (found,) = findings(policy("p", networks=["net-b"], selector=selector(app="db")))
    assert found == ("SelectsNothing", "default/p", POLICY_FOR)


def test_pods_on_the_network_of_their_host_are_not_selected():
    """S5."""
    (found,) = findings(of_a(selector=selector(app="h")), pods=(DB, pod("h", labels={"app": "h"}, host_network=True)))
    assert found[0] == "SelectsNothing"


def test_a_network_without_pods():
    some = policy("p", networks=["net-a", "net-b"], selector=selector(app="db"))
    assert findings(some, pods=(DB,)) == [("NetworkOnNoPod", "default/p", POLICY_FOR)]


def test_an_unknown_network_is_left_to_its_report():
    assert findings(policy("p", networks=["nowhere"])) == []


@pytest.mark.parametrize(
    ("peer", "is_found"),
    [
        (pods(app="nobody"), True),
        (pods(app="db"), False),
        (pods(app="lone"), True),
        (pods_across(selector(team="b"), selector(app="db")), True),
        (pods_across(selector(team="b"), selector(app="lone")), True),
        (pods_across(selector(team="b"), selector(app="web")), False),
        (pods_across(selector(), selector(app="lone")), True),
        (evolve(pods(), pod_selector=NOTHING), False),
        (block("192.0.2.0/24"), False),
    ],
)
def test_a_peer_without_anybody_on_the_networks_of_the_policy(peer, is_found):
    """S21, S22: pods on other networks are nobody. A selector that cannot be evaluated has its report."""
    found = findings(of_a(selector=selector(app="web"), egress=[rule(), rule([block("10.0.0.0/8"), peer], ["UDP"])]))
    about_peer = [each for each in found if each[0] == "PeerMatchesNobody"]
    assert about_peer == ([("PeerMatchesNobody", "default/p", "spec.egress[1].to[1]")] if is_found else [])


@pytest.mark.parametrize("complete", [True, False])
def test_what_is_not_here_is_missing_only_if_everything_is_here(complete):
    """Manifests of one application name namespaces that others write."""
    elsewhere = [pods_across(selector(team="monitoring")), pods_across(selector(team="a"), selector(app="scraper"))]
    somewhere = policy("far/p", networks=["default/net-a"], ingress=[rule(elsewhere[:1])])
    found = findings(of_a(selector=selector(app="web"), ingress=[rule(elsewhere[:1])]), somewhere, complete=complete)
    everything = [
        ("PeerMatchesNobody", "default/p", "spec.ingress[0].from[0]"),
        ("PeerMatchesNobody", "far/p", "spec.ingress[0].from[0]"),
        ("SelectsNothing", "far/p", "spec.podSelector"),
    ]
    assert found == (everything if complete else [])


def test_positions_are_those_of_the_object_with_its_malformed_elements():
    some = of_a(selector=selector(app="web"), ingress=[rule([pods(app="nobody")], ["TCP/80", "TCP/80"])])
    written = {
        "spec": {
            "ingress": [
                {
                    "from": [{}, {"podSelector": {"matchLabels": {"app": "nobody"}}}],
                    "ports": [{"port": 80}, {"port": 0}, {"port": 80}],
                }
            ]
        }
    }
    found = findings(some, written={some.ref: written})
    assert [field for _, _, field in found] == ["spec.ingress[0].from[1]", "spec.ingress[0].ports[2]"]


# --- shadowed -------------------------------------------------------------------------------------------------------

CIDR = block("10.0.0.0/8")


@pytest.mark.parametrize(
    ("narrow", "wide", "is_shadowed"),
    [
        (rule([CIDR], ["TCP/80"]), rule(), True),
        (rule([CIDR], ["TCP/80"]), rule([CIDR], ["TCP/443", "TCP/1-100"]), True),
        (rule([CIDR], ["TCP/http"]), rule([CIDR], ["TCP"]), True),
        (rule([CIDR], ["TCP/http"]), rule([CIDR], ["TCP/1-65535"]), False),
        (rule([CIDR], ["TCP/80"]), rule([CIDR], ["UDP"]), False),
        (rule([CIDR]), rule([CIDR], ["TCP", "UDP", "SCTP"]), False),
        (rule(None, ["TCP/80"]), rule([CIDR]), False),
        (rule([block("10.0.0.0/24")]), rule([block(f"10.0.{part}/25") for part in ("0.0", "0.128", "1.0")]), True),
        (rule([block("10.0.0.0/24")]), rule([block("10.0.0.0/8", "10.0.0.7/32")]), False),
        (rule([block("10.0.0.0/24", "10.0.0.7/32")]), rule([block("10.0.0.0/8", "10.0.0.7/32")]), True),
        (rule([block("::/0")]), rule([block("0.0.0.0/0")]), False),
        (rule([pods(app="db")]), rule([pods()]), True),
        (rule([pods()]), rule([pods(app="db")]), False),
        (rule([pods(app="db")]), rule([pods_across(EVERYTHING)]), True),
        (rule([pods(app="db")]), rule([pods_across(selector(team="a"))]), False),
        (rule([pods(app="db")]), rule([pods(app="db", namespace="other")]), False),
        (rule([pods_across(selector(team="a", env="x"))]), rule([pods_across(selector(team="a"))]), True),
        (rule([pods(app="db")]), rule([block("0.0.0.0/0"), block("::/0")]), False),
        (rule([], ["TCP/80"]), rule(), False),
    ],
)
def test_a_rule_inside_a_wider_one(narrow, wide, is_shadowed):
    for rules, index in (((narrow, wide), 0), ((wide, narrow), 1)):
        found = findings(of_a(selector=selector(app="web"), ingress=list(rules)))
        shadowed = [each[2] for each in found if each[0] == "ShadowedRule"]
        assert (f"spec.ingress[{index}]" in shadowed) is is_shadowed, found
        assert len(shadowed) <= 1


def test_of_equal_rules_the_later_is_superfluous():
    equal = [rule([CIDR, block("11.0.0.0/8")]), rule([block("11.0.0.0/8"), CIDR])]
    assert [each[2] for each in findings(of_a(selector=selector(app="web"), ingress=equal))] == ["spec.ingress[1]"]


def test_a_rule_that_is_written_twice():
    once = of_a(selector=selector(app="web"), ingress=[rule([CIDR])])
    written = {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}] * 2}}
    assert findings(once, written={once.ref: written}) == [("ShadowedRule", "default/p", "spec.ingress[1]")]


def test_rules_of_different_directions_and_policies_shadow_nothing():
    narrow, wide = rule([CIDR], ["TCP/80"]), rule([CIDR])
    first = of_a(selector=selector(app="web"), ingress=[narrow], egress=[wide])
    second = policy("q", networks=["net-a"], selector=selector(app="web"), ingress=[wide])
    assert findings(first, second) == []


def test_peers_and_ports_inside_wider_ones_of_their_rule():
    peers = [block("10.1.0.0/16"), CIDR, pods(app="db"), pods(app="web"), pods(app="db")]
    found = findings(of_a(selector=selector(app="web"), ingress=[rule(peers, ["TCP/80", "UDP/53", "TCP"])]))
    assert found == [
        ("ShadowedPeer", "default/p", "spec.ingress[0].from[0]"),
        ("ShadowedPeer", "default/p", "spec.ingress[0].from[4]"),
        ("ShadowedPort", "default/p", "spec.ingress[0].ports[0]"),
    ]


def requirements():
    keys, values = st.sampled_from(["app", "tier"]), st.lists(st.sampled_from("abc"), min_size=1, max_size=2)
    return st.builds(
        lambda key, operator, some: requirement(key, operator, *(some if operator in {"In", "NotIn"} else ())),
        keys,
        st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
        values,
    )


selectors = st.lists(requirements(), max_size=3).map(lambda some: selector(*some))
LABELS = [
    {key: value for key, value in (("app", app), ("tier", tier)) if value}
    for app in (None, "a", "b", "c", "d")
    for tier in (None, "a", "b", "c", "d")
]


@given(selectors, selectors)
def test_implied_selectors_match_everything_that_the_others_match(one, other):
    if implies(one, other):
        assert all(other.matches(labels) for labels in LABELS if one.matches(labels))


blocks = st.sampled_from(
    [
        block("0.0.0.0/0"),
        block("::/0", "fd00::2/128"),
        block("10.0.0.0/24", "10.0.0.2/31", "10.0.0.0/31"),
        block("10.0.0.0/24", "10.0.0.2/31", "10.0.0.3/32"),
        block("10.0.0.0/30", "10.0.0.3/32"),
        block("10.0.0.2/32"),
        block("10.0.0.0/30"),
    ]
)
app_selectors = st.sampled_from(
    [
        *(EVERYTHING, NOTHING, selector(app="web"), selector(requirement("app", "In", "web", "db"))),
        *(selector(requirement("app", "Exists")), selector(requirement("app", "NotIn", "db"))),
    ]
)
peers = st.one_of(
    blocks,
    app_selectors.map(lambda wanted: evolve(pods(), pod_selector=wanted)),
    st.builds(pods_across, st.sampled_from([EVERYTHING, selector(team="a"), selector(team="b")]), app_selectors),
)
ports = st.sampled_from(["TCP", "TCP/80", "TCP/80-81", "UDP/80", "TCP/http", "UDP/http"])
rules = st.builds(rule, st.none() | st.lists(peers, max_size=3), st.none() | st.lists(ports, max_size=3))
directions = st.none() | st.lists(rules, max_size=4)
PACKETS = [
    packet(source, destination, port)
    for ends in (("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.0.4", "10.0.0.200"), ("fd00::1", "fd00::2", "fd00::9"))
    for source in ends
    for destination in ends
    for port in ("TCP/80", "TCP/81", "TCP/9", "UDP/80")
]


def policies_of(name):
    return st.builds(
        policy,
        st.just(name),
        networks=st.sampled_from([["net-a"], ["net-a", "net-b"]]),
        selector=st.sampled_from([EVERYTHING, selector(app="web")]),
        ingress=directions,
        egress=directions,
    )


def verdicts(cluster):
    """Whether each packet passes in each direction of each interface of web and db."""
    return {
        (name, each.interface, direction, sent): evaluate(sandbox, each.interface, direction, sent).allowed
        for name in ("web", "db")
        for sandbox in [cluster.sandbox(name)]
        for each in sandbox.interfaces
        for direction in Direction
        for sent in PACKETS
    }


def without(some, places):
    """A policy without its elements at some fields."""
    changed = {}
    for direction in Direction:
        known = some.rules(direction)
        kept = [
            evolve(
                each,
                peers=_kept(each.peers, f"spec.{direction.value.lower()}[{each.index}].{key}", places),
                ports=_kept(each.ports, f"spec.{direction.value.lower()}[{each.index}].ports", places),
            )
            for each in known or ()
            for key in ("from" if direction is Direction.INGRESS else "to",)
            if f"spec.{direction.value.lower()}[{each.index}]" not in places
        ]
        changed[direction.value.lower()] = None if known is None else tuple(kept)
    return evolve(some, **changed)


def _kept(elements, place, places):
    if not isinstance(elements, tuple):
        return elements
    return tuple(each for number, each in enumerate(elements) if f"{place}[{number}]" not in places)


SHADOWS = {"ShadowedRule", "ShadowedPeer", "ShadowedPort"}


def check_shadows(some, other):
    """Returns how many elements are shadowed."""
    found = lint(snapshot(a_cluster(some, other)))
    places = {each.field for each in found if each.rule.name in SHADOWS and each.about == some.ref}
    if places:
        smaller = without(some, places)
        assert smaller != some
        assert verdicts(a_cluster(smaller, other)) == verdicts(a_cluster(some, other)), places
    return len(places)


@given(policies_of("one"), policies_of("two"))
def test_without_everything_that_is_shadowed_every_verdict_is_the_same(some, other):
    check_shadows(some, other)


@given(policies_of("one"), policies_of("two"))
def test_without_an_except_that_has_no_effect_every_verdict_is_the_same(some, other):
    found = lint(snapshot(a_cluster(some, other)))
    fields = {each.field for each in found if each.rule.name == "ExceptWithoutEffect" and each.about == some.ref}
    for direction in Direction:
        for each in some.rules(direction) or ():
            for number, peer in enumerate(each.peers if isinstance(each.peers, tuple) else ()):
                key = "from" if direction is Direction.INGRESS else "to"
                place = f"spec.{direction.value.lower()}[{each.index}].{key}[{number}].ipBlock.except"
                if place in fields:
                    texts = [e.message for e in found if e.field == place]
                    ineffective = [e for e in peer.excepts if any(str(e) in text for text in texts)]
                    assert ineffective
                    # Several at once may need each other; each alone is superfluous.
                    assert any(_same_without(some, other, direction, each, number, e) for e in ineffective)


def _same_without(some, other, direction, a_rule, number, inner):
    peer = a_rule.peers[number]
    smaller = Block(cidr=peer.cidr, excepts=tuple(each for each in peer.excepts if each != inner))
    peers = (*a_rule.peers[:number], smaller, *a_rule.peers[number + 1 :])
    rules = tuple(evolve(e, peers=peers) if e.index == a_rule.index else e for e in some.rules(direction))
    changed = evolve(some, **{direction.value.lower(): rules})
    return verdicts(a_cluster(changed, other)) == verdicts(a_cluster(some, other))


# --- excepts ---------------------------------------------------------------------------------------------------------

CUT = block("10.0.0.0/8", "10.5.0.0/16")


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        ([rule([CUT])], False),
        ([rule([CUT, block("10.5.0.0/16")])], True),
        ([rule([CUT, block("10.5.0.0/17"), block("10.5.128.0/17")])], True),
        ([rule([CUT, block("10.5.0.0/17")])], False),
        ([rule([CUT]), rule(None, ["TCP/80"])], False),
        ([rule([CUT], ["TCP/80"]), rule(None, ["TCP"])], True),
        ([rule([CUT, pods(app="db")])], False),
        ([rule([block("10.0.0.0/8", "10.5.0.0/16", "10.5.1.0/24")])], True),
    ],
)
def test_an_except_that_keeps_nothing_out(rules, is_found):
    """S23."""
    found = findings(of_a(selector=selector(app="web"), ingress=rules))
    expected = ("ExceptWithoutEffect", "default/p", "spec.ingress[0].from[0].ipBlock.except")
    assert [each for each in found if each[0] == "ExceptWithoutEffect"] == ([expected] if is_found else [])


@pytest.mark.parametrize(
    ("other", "is_found"),
    [
        (policy("q", networks=["net-a"], ingress=[rule()]), True),
        (policy("q", networks=["net-a", "net-b"], ingress=[rule([CIDR])]), True),
        (evolve(policy("q", networks=["net-a"], ingress=[rule()]), enforcement=Enforcement.AUDIT), False),
        (policy("q", networks=["net-b"], ingress=[rule()]), False),
        (policy("q", networks=["net-a"], selector=selector(app="db"), ingress=[rule()]), False),
        (policy("q", networks=["net-a"], egress=[rule()]), False),
        (policy("other/q", networks=["default/net-a"], ingress=[rule()]), False),
    ],
)
def test_an_except_beside_other_policies(other, is_found):
    """S23: it never blocks what another policy allows; only one that selects every interface makes it useless."""
    found = findings(of_a(selector=selector(app="web"), ingress=[rule([CUT])]), other)
    assert ("ExceptWithoutEffect" in {each[0] for each in found}) is is_found


# --- networks --------------------------------------------------------------------------------------------------------

SUBNET, PART, APART = map(ip_network, ("10.0.0.0/16", "10.0.3.0/24", "10.9.0.0/16"))


@pytest.mark.parametrize(
    ("one", "other", "is_found"),
    [
        ({"subnets": (SUBNET,)}, {"subnets": (PART,)}, True),
        ({"subnets": (SUBNET,)}, {"subnets": (APART,)}, False),
        ({"subnets": (SUBNET,), "wire": "eth1"}, {"subnets": (SUBNET,), "wire": "eth1"}, False),
        ({"subnets": (SUBNET,), "wire": "eth1"}, {"subnets": (SUBNET,), "wire": "eth2"}, True),
        ({"subnets": (SUBNET,), "pool": "x"}, {"subnets": (SUBNET,), "pool": "x"}, False),
        ({"subnets": (SUBNET,)}, {"subnets": (ip_network("fd00::/64"),)}, False),
        ({"subnets": (SUBNET,)}, {}, False),
    ],
)
def test_networks_with_overlapping_addresses(one, other, is_found):
    """S21."""
    facts = {NET_A: NetworkFacts(**one), NET_B: NetworkFacts(**other)}
    both = policy("p", networks=["net-a", "net-b"], selector=selector(app="web"), ingress=[rule([pods(app="db")])])
    expected = [("OverlappingNetworks", "default/p", POLICY_FOR)] if is_found else []
    assert findings(both, facts=facts) == expected
    by_address = evolve(both, ingress=of_a(ingress=[rule([CIDR])]).ingress)
    assert findings(by_address, facts=facts) == []


# --- egress ----------------------------------------------------------------------------------------------------------

SERVER = ip_address("10.0.0.53")
FACTS = {NET_A: NetworkFacts(subnets=(ip_network("10.0.0.0/24"),), nameservers=(SERVER,))}


@pytest.mark.parametrize(
    ("egress", "is_found"),
    [
        ([rule([pods(app="db")])], True),
        ([rule([block("10.0.0.0/24")], ["TCP/53"])], True),
        ([rule([block("10.0.0.0/24")], ["UDP/53"])], False),
        ([rule()], False),
        ([], False),
        (None, False),
    ],
)
def test_a_name_server_of_the_network_that_egress_cuts_off(egress, is_found):
    some = of_a(selector=selector(app="web"), ingress=[], egress=egress)
    assert findings(some, facts=FACTS) == ([("DnsCutOff", "default/p", "spec.egress")] if is_found else [])
    allowing = policy("q", networks=["net-a"], egress=[rule([block("10.0.0.53/32")])])
    assert findings(some, allowing, facts=FACTS) == []


def test_policies_in_audit_mode_would_cut_off():
    """S72."""
    some = evolve(of_a(selector=selector(app="web"), egress=[rule([pods(app="db")])]), enforcement=Enforcement.AUDIT)
    (found,) = lint(snapshot(a_cluster(some), facts=FACTS))
    assert found.rule.name == "DnsCutOff"
    assert "it would be cut off from default/web" in found.message
    beside = policy("q", networks=["net-a"], egress=[])
    assert findings(some, beside, facts=FACTS) == []


def test_a_name_server_of_the_pod_counts_if_it_lies_behind_the_interface():
    some = of_a(selector=selector(app="web"), egress=[rule([pods(app="db")])])
    facts = {NET_A: NetworkFacts(subnets=(ip_network("10.0.0.0/24"),))}
    for server, is_found in (("10.0.0.53", True), ("192.0.2.53", False), ("10.0.0.1", False)):
        servers = {ObjectName("default", "web"): (ip_address(server),)}
        names = [each[0] for each in findings(some, facts=facts, nameservers=servers)]
        assert names == (["DnsCutOff"] if is_found else []), server


@pytest.mark.parametrize(
    ("egress", "is_found"),
    [
        ([rule([pods(app="db")])], True),
        ([rule([block("10.0.0.0/24")])], True),
        ([rule([block("10.0.0.0/8", "10.1.0.0/16")])], False),
        ([rule([block("203.0.113.0/24")], ["TCP/443"])], False),
        ([rule(None, ["TCP/443"])], False),
        ([], False),
    ],
)
def test_a_gateway_behind_which_egress_allows_nothing(egress, is_found):
    facts = {NET_A: NetworkFacts(subnets=(ip_network("10.0.0.0/24"),), routes=(ip_network("0.0.0.0/0"),))}
    found = findings(of_a(selector=selector(app="web"), egress=egress), facts=facts)
    assert found == ([("GatewayCutOff", "default/p", "spec.egress")] if is_found else [])


# --- the table -------------------------------------------------------------------------------------------------------


def test_ids_and_names_are_unique_and_every_rule_says_enough():
    assert len({each.name.casefold() for each in RULES.values()}) == len(RULES)
    for identity, each in RULES.items():
        assert identity == each.id
        assert each.meaning.rstrip(".") == each.meaning != ""
        assert each.remedy.rstrip(".") == each.remedy != ""
