"""Problems between objects (S4, S31, S64)."""

import pytest

from mnp_core.model import Reason
from mnp_core.policy.validate import validate
from mnp_core.testing.builders import (
    block,
    named,
    namespace,
    network,
    pod,
    pods,
    pods_across,
    policy,
    rule,
    selector,
    serves,
    status,
)

NETWORKS = (network("net-a", "macvlan"), network("odd", "tuning", "ovs"))
WEB = pod("web", status("net-a", "net1", "10.0.0.1"), labels={"app": "web"}, ports=[serves("TCP/80", "http")])
DB = pod("db", status("net-a", "net1", "10.0.0.2"), labels={"app": "db"}, ports=[serves("TCP/5432", "sql")])


def validated(*policies, pods=(WEB, DB), namespaces=()):
    return validate(
        policies=policies, pods=pods, namespaces=namespaces, networks=NETWORKS, claimed=frozenset({"macvlan"})
    )


def test_objects_that_fit_together_are_not_reported():
    """S22: neither is a selector that matches no pod now."""
    fine = policy("fine", networks=["net-a"], ingress=[rule([pods(app="nobody")], ["TCP"])])
    none = policy("none", networks=["net-a"], selector=selector(app="nobody"), ingress=[rule(ports=["TCP/http"])])
    assert validated(fine, none) == ()


def test_a_network_that_does_not_exist_is_reported_with_the_policy():
    (report,) = validated(policy("p", networks=["net-a", "elsewhere/net-z"], ingress=[]))
    assert (report.reason, str(report.about)) == (Reason.UNKNOWN_NETWORK, "MultiNetworkPolicy default/p")
    assert "elsewhere/net-z" in report.message
    assert "policy-for" in report.field


def test_a_network_of_unclaimed_types_is_reported_with_the_policy():
    """S64."""
    (report,) = validated(policy("p", networks=["odd"], ingress=[]))
    assert report.reason is Reason.UNCLAIMED_TYPE
    assert "tuning, ovs" in report.message


def test_a_network_of_a_kind_that_the_policy_is_not_about_is_reported_with_the_policy():
    """S64: policies of kinds that plugins add may be about some kinds of attachment alone."""
    (report,) = validated(policy("p", networks=["net-a"], kinds=["bridge"], ingress=[]))
    assert report.reason is Reason.INVALID_POLICY_FOR
    assert "kind bridge, and these are of kind macvlan" in report.message
    assert validated(policy("p", networks=["net-a"], kinds=["macvlan"], ingress=[])) == ()
    assert validated(policy("p", networks=None, kinds=["bridge"], ingress=[])) == ()


def test_problems_of_attachments_are_reported_with_the_pod():
    """S4, S64."""
    reports = validated(pods=(pod("x", status("odd", "net1"), status("gone", "net2")),))
    assert [(report.reason, report.about.kind) for report in reports] == [
        (Reason.UNCLAIMED_TYPE, "Pod"),
        (Reason.UNKNOWN_NETWORK, "Pod"),
    ]


@pytest.mark.parametrize(("port", "reported"), [("TCP/http", False), ("UDP/http", True), ("TCP/sql", True)])
def test_a_named_ingress_port_that_no_selected_pod_serves_is_reported(port, reported):
    """S31: that another pod serves it does not help."""
    p = policy("p", networks=["net-a"], selector=selector(app="web"), ingress=[rule(), rule(ports=["TCP/1", port])])
    reports = validated(p)
    assert [report.reason for report in reports] == [Reason.UNSERVED_PORT] * reported
    assert all(report.field == "spec.ingress[1].ports" and port.split("/")[1] in report.message for report in reports)


def test_pods_without_an_interface_in_scope_are_not_asked_for_named_ports():
    """S10, S31: the policy does not select them."""
    far = pod("far", status("odd", "net1", "10.8.0.1"), labels={"app": "far"})
    p = policy("p", networks=["net-a"], selector=selector(app="far"), ingress=[rule(ports=["TCP/http"])])
    assert [report.reason for report in validated(p, pods=(far,))] == [Reason.UNCLAIMED_TYPE]


@pytest.mark.parametrize(
    ("peers", "reported"),
    [
        ([pods(app="db")], True),
        ([pods(app="db"), pods(app="web")], False),
        ([pods(app="nobody")], False),
        ([pods_across(selector(team="a"), selector(app="db"))], True),
        ([pods_across(selector(team="b"), selector(app="db"))], False),
        ([block("10.0.0.2/32")], True),
        ([block("10.0.0.0/24")], False),
        ([block("10.1.0.0/24")], False),
        (None, False),
    ],
)
def test_a_named_egress_port_that_no_peer_serves_is_reported(peers, reported):
    """S31: only where there are peers at all."""
    p = policy("p", networks=["net-a"], egress=[rule(peers, ["TCP/http"])])
    reports = validated(p, namespaces=(namespace("default", team="a"),))
    assert [report.reason for report in reports] == [Reason.UNSERVED_PORT] * reported


def test_reports_are_sorted_and_each_is_there_once():
    one, two = policy("b", networks=["gone"], ingress=[]), policy("a", networks=["gone"], ingress=[])
    reports = validated(one, two, two)
    assert [report.about.name.name for report in reports] == ["a", "b"]


BARE = pod("bare", status("net-a", "net1"), labels={"app": "bare"})


@pytest.mark.parametrize(
    ("peers", "reported"),
    [
        ([pods(app="bare")], True),
        ([pods()], False),  # others that it matches have addresses
        ([pods(app="nobody")], False),  # pods come and go
        ([block("10.0.0.0/8")], False),
        ([block("10.0.0.0/8"), pods(app="bare")], True),
    ],
)
def test_a_selector_whose_pods_have_no_known_address_is_reported(peers, reported):
    """S21: on a network without IPAM it matches nothing."""
    found = validated(policy("p", networks=["net-a"], ingress=[rule(peers)]), pods=(WEB, DB, BARE))
    assert [(report.reason, report.field) for report in found] == (
        [(Reason.NO_ADDRESS, "spec.ingress[0].from")] if reported else []
    )


def test_a_selector_is_not_reported_where_addresses_are_only_unknown_here():
    """S21."""
    found = validate(
        policies=[policy("p", networks=["net-a"], egress=[rule([pods(app="bare")])])],
        pods=(WEB, BARE),
        networks=NETWORKS,
        claimed=frozenset({"macvlan"}),
        unleased=frozenset({named("net-a")}),
    )
    assert found == ()
