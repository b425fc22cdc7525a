"""A pod's members of a group (S5, S20 to S22, S31)."""

import pytest

from mnp_core.model import ANY_PEER, NOTHING, Endpoint, GroupSpec, Protocol, Scope, parse_address
from mnp_core.policy.membership import members
from mnp_core.testing.builders import (
    attachment,
    block,
    named,
    pod,
    pods,
    pods_across,
    policy_port,
    requirement,
    selector,
    serves,
)

NET_A = Scope(networks=frozenset({named("net-a")}))
WEB = pod("web", labels={"app": "web"}, ports=[serves("TCP/8080", "http"), serves("UDP/53", "dns"), serves("TCP/9")])
NICS = (
    attachment("web", "net-a", "net1", "10.0.0.1", "fd00::1"),
    attachment("web", "net-b", "net2", "10.9.0.1"),
)


def addresses(*texts):
    return frozenset(map(parse_address, texts))


def contributed(peer, port=None, *, who=WEB, scope=NET_A, nics=NICS, labels=None):
    return members(GroupSpec(scope=scope, peer=peer, port=port), who, nics, labels or {})


def test_a_peer_stands_for_its_addresses_on_the_policys_networks_only():
    """S21."""
    assert contributed(pods(app="web")) == addresses("10.0.0.1", "fd00::1")
    assert contributed(pods(app="web"), scope=Scope(networks=None)) == addresses("10.0.0.1", "fd00::1", "10.9.0.1")


def test_a_pod_attached_twice_contributes_both_addresses():
    """S3, S21."""
    twice = (*NICS, attachment("web", "net-a", "net3", "10.0.0.3"))
    assert contributed(pods(), nics=twice) == addresses("10.0.0.1", "fd00::1", "10.0.0.3")


def test_a_pod_that_does_not_match_contributes_nothing():
    """S22."""
    assert contributed(pods(app="db")) == frozenset()
    assert contributed(pods(requirement("app", "NotIn", "web"))) == frozenset()


def test_a_pod_selector_alone_looks_in_the_policys_namespace_only():
    """S20."""
    assert contributed(pods(app="web", namespace="other")) == frozenset()


def test_namespace_and_pod_selector_of_one_element_must_both_match():
    """S20."""
    team = selector(team="a")
    assert contributed(pods_across(team), labels={"team": "a"}) == addresses("10.0.0.1", "fd00::1")
    assert contributed(pods_across(team, selector(app="db")), labels={"team": "a"}) == frozenset()
    assert contributed(pods_across(team, selector(app="web")), labels={"team": "b"}) == frozenset()


def test_an_empty_namespace_selector_means_all_namespaces():
    """S20."""
    assert contributed(pods_across(selector())) == addresses("10.0.0.1", "fd00::1")


def test_a_selector_that_could_not_be_understood_matches_no_peer():
    """S13."""
    assert contributed(pods_across(NOTHING)) == frozenset()
    assert contributed(pods_across(selector(), NOTHING)) == frozenset()


@pytest.mark.parametrize("changes", [{"host_network": True}, {"phase": "Succeeded"}, {"phase": "Failed"}])
def test_a_pod_that_does_not_count_is_no_peer(changes):
    """S5: its address may already belong to another pod."""
    assert contributed(ANY_PEER, who=pod("web", **changes)) == frozenset()


def test_an_attachment_of_unknown_kind_is_no_peer_where_kinds_matter():
    """Nothing more is allowed because a definition is missing."""
    scope = Scope(networks=None, kinds=frozenset({"macvlan"}))
    nics = (attachment("web", "net-a", "net1", "10.0.0.1", kind=""), attachment("web", "net-b", "net2", "10.0.0.2"))
    assert contributed(pods(), scope=scope, nics=nics) == addresses("10.0.0.2")


def test_a_named_port_gives_every_address_with_every_port_of_that_name_and_protocol():
    """S31: several containers may serve one name."""
    two = pod("web", labels={"app": "web"}, ports=[serves("TCP/80", "http"), serves("TCP/81", "http")])
    assert contributed(pods(app="web"), policy_port("TCP/http"), who=two) == {
        Endpoint(address=address, protocol=Protocol.TCP, port=port)
        for address in addresses("10.0.0.1", "fd00::1")
        for port in (80, 81)
    }


@pytest.mark.parametrize("port", ["UDP/http", "TCP/other", "TCP/dns"])
def test_a_name_that_is_not_served_or_under_another_protocol_gives_nothing(port):
    """S31."""
    assert contributed(pods(app="web"), policy_port(port)) == frozenset()


def test_a_named_port_inside_a_block_counts_the_addresses_that_lie_inside():
    """S31, S23."""
    port = policy_port("TCP/http")
    inside = {Endpoint(address=parse_address("10.0.0.1"), protocol=Protocol.TCP, port=8080)}
    assert contributed(block("10.0.0.0/8"), port) == inside
    assert contributed(block("10.0.0.0/8", "10.0.0.0/30"), port) == frozenset()
    assert {endpoint.address for endpoint in contributed(ANY_PEER, port)} == addresses("10.0.0.1", "fd00::1")
