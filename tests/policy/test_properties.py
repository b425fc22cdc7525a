"""Properties of all policies: a union, without order, family by family (S11, S25).

The vocabulary is small, so that policies meet, overlap and contradict each other.
"""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import NOTHING, Direction
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing.builders import (
    block,
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

NETWORKS = (network("net-a", "macvlan"), network("net-b", "tuning", "macvlan"))
NAMESPACES = (namespace("default", team="a"), namespace("other", team="b"))
PODS = (
    pod(
        "web",
        status("net-a", "net1", "10.0.0.1", "fd00::1"),
        status("net-b", "net2", "10.9.0.1"),
        labels={"app": "web"},
        ports=[serves("TCP/80", "http"), serves("UDP/80", "dns")],
    ),
    pod("db", status("net-a", "net1", "10.0.0.2", "fd00::2"), labels={"app": "db"}, ports=[serves("TCP/81", "http")]),
    pod("other/web", status("default/net-a", "net1", "10.0.0.3"), labels={"app": "web"}),
    pod("other/bare", status("default/net-b", "net1", "10.9.0.4")),
)
PACKETS = [
    packet(source, destination, port)
    for ends in (("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.0.4"), ("fd00::1", "fd00::2"))
    for source in ends
    for destination in ends
    for port in ("TCP/80", "TCP/81", "UDP/80")
]

requirements = st.one_of(
    st.builds(requirement, st.just("app"), st.sampled_from(["In", "NotIn"]), st.sampled_from(["web", "db"])),
    st.builds(requirement, st.sampled_from(["app", "team"]), st.sampled_from(["Exists", "DoesNotExist"])),
)
selectors = st.one_of(st.just(NOTHING), st.lists(requirements, max_size=2).map(lambda wanted: selector(*wanted)))
teams = st.sampled_from([selector(), selector(team="a"), selector(team="b")])
blocks = st.sampled_from(
    [
        block("0.0.0.0/0"),
        block("::/0", "fd00::2/128"),
        block("10.0.0.0/24", "10.0.0.2/31", "10.0.0.0/31"),
        block("10.0.0.0/30", "10.0.0.3/32"),
        block("10.0.0.2/32"),
    ]
)
peers = st.one_of(
    blocks,
    selectors.map(lambda wanted: evolve(pods(), pod_selector=wanted)),
    st.builds(pods_across, teams, selectors),
)
ports = st.sampled_from(["TCP", "TCP/80", "TCP/80-81", "UDP/80", "TCP/http", "UDP/http", "UDP/dns"])
rules = st.builds(rule, st.none() | st.lists(peers, max_size=3), st.none() | st.lists(ports, max_size=3))
directions = st.none() | st.lists(rules, max_size=2)
networks = st.sampled_from([["net-a"], ["net-b"], ["net-a", "net-b"]])
policies = st.lists(
    st.builds(
        policy,
        st.sampled_from(["one", "two", "three", "four"]),
        networks=networks,
        selector=selectors,
        ingress=directions,
        egress=directions,
    ),
    max_size=4,
    unique_by=lambda p: p.ref,
)


def cluster(*some, **changes):
    return evolve(Cluster(pods=PODS, policies=some, networks=NETWORKS, namespaces=NAMESPACES), **changes)


def verdicts(a_cluster):
    """Every packet in every direction of every interface of web."""
    sandbox = a_cluster.sandbox("web")
    return {
        (entry.interface, direction, sent): evaluate(sandbox, entry.interface, direction, sent)
        for entry in sandbox.interfaces
        for direction in Direction
        for sent in PACKETS
    }


@given(policies, st.randoms(use_true_random=False))
def test_order_never_matters(some, shuffle):
    """S11."""
    turned, their_pods = list(some), list(PODS)
    shuffle.shuffle(turned)
    shuffle.shuffle(their_pods)
    assert cluster(*turned, pods=tuple(their_pods)).sandbox("web") == cluster(*some).sandbox("web")


@given(policies, st.builds(policy, st.just("more"), networks=networks, ingress=directions, egress=directions))
def test_a_policy_more_never_denies_where_it_is_isolated_already(some, more):
    """S11."""
    before, after = verdicts(cluster(*some)), verdicts(cluster(*some, more))
    assert all(after[case].allowed for case, verdict in before.items() if verdict.policies and verdict.allowed)


@given(policies, st.sampled_from(list(Direction)), rules)
def test_a_rule_more_never_denies(some, direction, more):
    """S11."""
    field = direction.value.lower()
    wider = [
        evolve(p, **{field: (*p.rules(direction), evolve(more, index=9))}) if p.rules(direction) is not None else p
        for p in some
    ]
    before, after = verdicts(cluster(*some)), verdicts(cluster(*wider))
    assert all(after[case].allowed for case, verdict in before.items() if verdict.allowed)


@given(policies)
def test_the_union_of_policies_allows_all_that_one_of_them_allows(some):
    """S11: isolated by any, allowed by any, and by nothing else."""
    alone = [verdicts(cluster(p)) for p in some]
    for case, verdict in verdicts(cluster(*some)).items():
        isolating = [each[case] for each in alone if each[case].policies]
        assert bool(verdict.policies) == bool(isolating)
        assert verdict.allowed == (not isolating or any(each.allowed for each in isolating))


@pytest.mark.parametrize("version", [4, 6])
@given(some=policies)
def test_blocks_of_one_family_say_nothing_of_the_other(version, some):
    """S25: without the blocks of the other family, the verdicts are the same."""

    def stripped(p):
        def keep(peer):
            return not hasattr(peer, "cidr") or peer.cidr.version == version

        def strip(found):
            return found and tuple(
                r if not isinstance(r.peers, tuple) else evolve(r, peers=tuple(filter(keep, r.peers))) for r in found
            )

        return evolve(p, ingress=strip(p.ingress), egress=strip(p.egress))

    before, after = verdicts(cluster(*some)), verdicts(cluster(*map(stripped, some)))
    family = [case for case in before if case[2].source.version == version]
    assert [before[case].allowed for case in family] == [after[case].allowed for case in family]


@given(policies)
def test_allowed_under_isolation_always_has_a_reason(some):
    for verdict in verdicts(cluster(*some)).values():
        assert bool(verdict.origin) == bool(verdict.policies and verdict.allowed)
        assert verdict.origin is None or verdict.origin.policy in verdict.policies
