"""Rules, peers, blocks and ports."""

from ipaddress import ip_network

import pytest

from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    EVERYTHING,
    Block,
    Direction,
    NamedPort,
    ObjectName,
    ObjectRef,
    PodPeer,
    PolicyRule,
    PortRange,
    Protocol,
    Reason,
    Selector,
)
from mnp_core.model.parsing.field import Field, Findings
from mnp_core.model.parsing.rule import parse_rules
from mnp_core.testing.builders import requirement

APP_WEB = {"matchLabels": {"app": "web"}}
WEB = Selector(requirements=(requirement("app", "In", "web"),))


def rules(value, direction=Direction.INGRESS):
    """The rules, and where something was reported, without the path that leads to the rules."""
    findings = Findings(ObjectRef("MultiNetworkPolicy", ObjectName("ns", "p")))
    parsed = parse_rules(Field(value, "r", findings), direction, "ns")
    return parsed, [(report.field, report.reason) for report in findings.reports()]


def peers(*values):
    (rule,), places = rules([{"from": list(values)}])
    return rule.peers, places


def ports(*values):
    (rule,), places = rules([{"ports": list(values)}])
    return rule.ports, places


def block(cidr, *excepts):
    return Block(cidr=ip_network(cidr), excepts=tuple(map(ip_network, excepts)))


# --- rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, []])
def test_no_rules_allow_nothing(value):
    """S12."""
    assert rules(value) == ((), [])


@pytest.mark.parametrize("value", [{}, {"from": None, "ports": None}, {"from": [], "ports": []}])
def test_an_empty_rule_allows_everything(value):
    """S12."""
    assert rules([value]) == ((PolicyRule(index=0, peers=ANY_PEER, ports=ANY_PORT),), [])


@pytest.mark.parametrize("value", [None, "all", 7, [], True])
def test_malformed_rule_allows_nothing_and_the_others_keep_their_index(value):
    """S6, S12."""
    parsed, places = rules([value, {}])
    assert parsed == (
        PolicyRule(index=0, peers=(), ports=()),
        PolicyRule(index=1, peers=ANY_PEER, ports=ANY_PORT),
    )
    assert places == [("r[0]", Reason.MALFORMED)]


@pytest.mark.parametrize("value", [{}, "all", 7, False])
def test_rules_peers_and_ports_of_a_wrong_type_match_nothing(value):
    """S6, S13."""
    assert rules(value) == ((), [("r", Reason.MALFORMED)])
    (rule,), places = rules([{"from": value, "ports": value}])
    assert (rule.peers, rule.ports) == ((), ())
    assert places == [("r[0].from", Reason.MALFORMED), ("r[0].ports", Reason.MALFORMED)]


@pytest.mark.parametrize(
    ("direction", "wrong"), [(Direction.INGRESS, "to"), (Direction.EGRESS, "from"), (Direction.INGRESS, "form")]
)
def test_a_rule_with_a_misspelt_field_does_not_become_a_rule_for_everybody(direction, wrong):
    """S13: never more is allowed because something was wrong."""
    parsed, places = rules([{wrong: [{"podSelector": {}}]}], direction)
    assert parsed == (PolicyRule(index=0, peers=(), ports=()),)
    assert places == [("r[0]", Reason.MALFORMED)]


def test_egress_rules_read_their_own_key():
    """S12."""
    (rule,), places = rules([{"to": [{"podSelector": APP_WEB}]}], Direction.EGRESS)
    assert rule.peers == (PodPeer(namespace="ns", namespace_selector=None, pod_selector=WEB),)
    assert places == []


# --- peers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "namespace", "namespaces", "pods"),
    [
        ({"podSelector": APP_WEB}, "ns", None, WEB),
        ({"podSelector": {}}, "ns", None, EVERYTHING),
        ({"podSelector": {}, "namespaceSelector": None, "ipBlock": None}, "ns", None, EVERYTHING),
        ({"namespaceSelector": {}}, None, EVERYTHING, EVERYTHING),
        ({"namespaceSelector": APP_WEB, "podSelector": APP_WEB}, None, WEB, WEB),
    ],
)
def test_selectors_of_a_peer(value, namespace, namespaces, pods):
    """S20."""
    expected = PodPeer(namespace=namespace, namespace_selector=namespaces, pod_selector=pods)
    assert peers(value) == ((expected,), [])


@pytest.mark.parametrize(
    "value",
    [{}, {"podSelector": None, "ipBlock": None}, None, "all", [], {"pods": {}}, {"podSelector": {}, "namespace": "x"}],
)
def test_a_peer_that_cannot_be_understood_matches_nothing(value):
    """S24, S6."""
    good = {"podSelector": {}}
    found, places = peers(value, good)
    assert found == peers(good)[0]
    assert places == [("r[0].from[0]", Reason.INVALID_PEER)]


def test_a_block_with_a_selector_is_used_as_a_block():
    """S24."""
    found, places = peers({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}})
    assert found == (block("10.0.0.0/8"),)
    assert places == [("r[0].from[0]", Reason.INVALID_PEER)]


def test_a_selector_that_cannot_be_evaluated_matches_no_peer():
    """S13."""
    (found,), places = peers({"podSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}})
    assert not found.pod_selector.matches({"a": "b"})
    assert places == [("r[0].from[0].podSelector.matchExpressions[0].operator", Reason.INVALID_SELECTOR)]


# --- blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"cidr": "10.0.0.7/8"}, block("10.0.0.0/8")),
        ({"cidr": "::/0", "except": None}, block("::/0")),
        ({"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16", "10.1.0.0/16", "10.1.0.0/16"]},
         block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")),
        ({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.1.0/24"]},
         block("10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24")),
        ({"cidr": "::ffff:10.0.0.0/104", "except": ["10.1.0.0/16"]}, block("10.0.0.0/8", "10.1.0.0/16")),
    ],
)  # fmt: skip
def test_blocks(value, expected):
    """S23, S25."""
    assert peers({"ipBlock": value}) == ((expected,), [])


@pytest.mark.parametrize("outside", ["11.0.0.0/8", "2001:db8::/64", "0.0.0.0/32"])
def test_an_except_outside_is_reported_and_ignored(outside):
    """S23."""
    found, places = peers({"ipBlock": {"cidr": "10.0.0.0/8", "except": [outside, "10.1.0.0/16"]}})
    assert found == (block("10.0.0.0/8", "10.1.0.0/16"),)
    assert places == [("r[0].from[0].ipBlock.except[0]", Reason.INVALID_BLOCK)]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("10.0.0.0/8", ".ipBlock"),
        ({}, ".ipBlock.cidr"),
        ({"cidr": "10.0.0.0"}, ".ipBlock.cidr"),
        ({"cidr": ["10.0.0.0/8"]}, ".ipBlock.cidr"),
        ({"cidr": "10.0.0.0/8", "excepts": []}, ".ipBlock"),
        ({"cidr": "10.0.0.0/8", "except": "10.1.0.0/16"}, ".ipBlock.except"),
        ({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2"]}, ".ipBlock.except[1]"),
        ({"cidr": "10.0.0.0/8", "except": [None]}, ".ipBlock.except[0]"),
        ({"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}, ".ipBlock.except"),
        ({"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}, ".ipBlock.except"),
    ],
)
def test_a_block_of_which_nothing_certain_is_left_matches_nothing(value, field):
    """S23, S13: without an except that cannot be read, more would be allowed than is meant."""
    found, places = peers({"ipBlock": value})
    assert found == ()
    assert [place for place, _ in places] == [f"r[0].from[0]{field}"]


# --- ports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, PortRange.every(Protocol.TCP)),
        ({"protocol": None, "port": None, "endPort": None}, PortRange.every(Protocol.TCP)),
        ({"protocol": "SCTP"}, PortRange.every(Protocol.SCTP)),
        ({"port": 80}, PortRange(protocol=Protocol.TCP, first=80, last=80)),
        ({"protocol": "UDP", "port": 1, "endPort": 65535}, PortRange(protocol=Protocol.UDP, first=1, last=65535)),
        ({"port": 80, "endPort": 80}, PortRange(protocol=Protocol.TCP, first=80, last=80)),
        ({"port": "http"}, NamedPort(protocol=Protocol.TCP, name="http")),
        ({"protocol": "UDP", "port": "web-2"}, NamedPort(protocol=Protocol.UDP, name="web-2")),
    ],
)
def test_ports(value, expected):
    """S1, S30, S31, S32."""
    assert ports(value) == ((expected,), [])


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (80, ""),
        ({"Port": 80}, ""),
        ({"protocol": "ICMP"}, ".protocol"),
        ({"protocol": 6}, ".protocol"),
        ({"port": 0}, ".port"),
        ({"port": 65536}, ".port"),
        ({"port": -1}, ".port"),
        ({"port": True}, ".port"),
        ({"port": 80.0}, ".port"),
        ({"port": "0"}, ".port"),
        ({"port": "65536"}, ".port"),
        ({"port": " 80"}, ".port"),
        ({"port": "\u0668\u0660"}, ".port"),
        ({"port": "9" * 5000}, ".port"),
        ({"port": ""}, ".port"),
        ({"port": "HTTP"}, ".port"),
        ({"port": "a" * 16}, ".port"),
        ({"port": 'x"; accept'}, ".port"),
        ({"endPort": 90}, ".port"),
        ({"port": "http", "endPort": 90}, ".port"),
        ({"port": 80, "endPort": 79}, ".endPort"),
        ({"port": 80, "endPort": 65536}, ".endPort"),
        ({"port": 80, "endPort": "http"}, ".endPort"),
        ({"protocol": "tcp "}, ".protocol"),
        ({"protocol": "t\u0441p"}, ".protocol"),
        ({"port": 80, "endPort": True}, ".endPort"),
    ],
)
def test_a_port_that_cannot_be_understood_matches_nothing(value, field):
    """S32, S30, S6."""
    found, places = ports(value, {"port": 443})
    assert found == (PortRange(protocol=Protocol.TCP, first=443, last=443),)
    assert places == [(f"r[0].ports[0]{field}", Reason.INVALID_PORT)]


@pytest.mark.parametrize(
    ("value", "expected", "fields"),
    [
        ({"protocol": "tcp"}, PortRange.every(Protocol.TCP), ["protocol"]),
        ({"protocol": "Udp", "port": 53}, PortRange(protocol=Protocol.UDP, first=53, last=53), ["protocol"]),
        ({"port": "80"}, PortRange(protocol=Protocol.TCP, first=80, last=80), ["port"]),
        ({"port": "080"}, PortRange(protocol=Protocol.TCP, first=80, last=80), ["port"]),
        (
            {"protocol": "sctp", "port": "80", "endPort": "90"},
            PortRange(protocol=Protocol.SCTP, first=80, last=90),
            ["protocol", "port", "endPort"],
        ),
        ({"protocol": "udp", "port": "dns"}, NamedPort(protocol=Protocol.UDP, name="dns"), ["protocol"]),
    ],
)
def test_a_protocol_in_any_case_and_digits_in_quotes_are_accepted(value, expected, fields):
    """S30: as both other engines do, with a hint."""
    assert ports(value) == ((expected,), [(f"r[0].ports[0].{field}", Reason.SPELLING) for field in fields])


def test_when_no_port_is_left_none_matches():
    """S32."""
    assert ports({"port": 0})[0] == ()
