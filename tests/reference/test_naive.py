"""The reference is judged by undisputed cases: the well-known recipes and the API's own examples."""

import json

import pytest

from mnp_core.testing.suites.reference.naive import End, allowed

NET = "x/net"


def pod(name, namespace="x", *, labels=None, addresses=("10.0.0.1",), ports=(), network=NET, **fields):
    status = [
        {"name": "cbr0", "interface": "eth0", "ips": ["192.0.2.9"], "default": True},
        {"name": network, "interface": "net1", "ips": list(addresses)},
    ]
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {"pod": name},
            "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
        },
        "spec": {"containers": [{"ports": list(ports)}], **fields.get("spec", {})},
        "status": {"phase": fields.get("phase", "Running")},
    }


def policy(spec, *, namespace="x", networks=NET):
    return {
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": "p",
            "namespace": namespace,
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": networks},
        },
        "spec": spec,
    }


def namespace(name):
    return {"kind": "Namespace", "metadata": {"name": name, "labels": {"ns": name}}}


DATABASE = pod("db", addresses=["10.0.0.1", "fd00::1"], ports=[{"name": "sql", "containerPort": 5432}])
CLIENT = pod("client", addresses=["10.0.0.2", "fd00::2"])
STRANGER = pod("stranger", "y", addresses=["10.0.0.3", "fd00::3"])
CLUSTER = [namespace("x"), namespace("y"), DATABASE, CLIENT, STRANGER]


def end(manifest, version=4):
    status = json.loads(manifest["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])[1]
    name = f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
    address = next(ip for ip in status["ips"] if (":" in ip) == (version == 6))
    return End(address, name, "net1")


def gets_in(spec, source=CLIENT, *, protocol="TCP", port=80, version=4, networks=NET, cluster=CLUSTER):
    """Whether `source` reaches the database when this policy is in force in its namespace."""
    origin = source if isinstance(source, End) else end(source, version)
    return allowed([*cluster, policy(spec, networks=networks)], origin, end(DATABASE, version), protocol, port)


def gets_out(spec, destination=CLIENT, *, protocol="TCP", port=80, version=4, cluster=CLUSTER):
    """Whether the database reaches `destination`."""
    target = destination if isinstance(destination, End) else end(destination, version)
    return allowed([*cluster, policy(spec)], end(DATABASE, version), target, protocol, port)


def only_from(*peers, ports=None):
    return {"podSelector": {"matchLabels": {"pod": "db"}}, "ingress": [{"from": list(peers), "ports": ports}]}


def only_to(*peers, ports=None):
    rule = {"to": list(peers), "ports": ports}
    return {"podSelector": {"matchLabels": {"pod": "db"}}, "policyTypes": ["Egress"], "egress": [rule]}


def test_without_a_policy_everything_is_open():
    assert allowed(CLUSTER, end(CLIENT), end(DATABASE), "TCP", 80)


def test_default_deny_ingress_stops_ingress_and_nothing_else():
    """S10, S12"""
    deny = {"podSelector": {}}
    assert not gets_in(deny)
    assert gets_out(deny, STRANGER)
    assert gets_in(deny | {"policyTypes": ["Egress"]}, STRANGER)
    assert not gets_in(deny | {"policyTypes": ["Egress"]}, CLIENT)  # it may not send


@pytest.mark.parametrize("rules", [None, [], "missing"])
def test_no_rules_allow_nothing(rules):
    """S12"""
    spec = {"podSelector": {}, "policyTypes": ["Ingress"]} | ({} if rules == "missing" else {"ingress": rules})
    assert not gets_in(spec)


@pytest.mark.parametrize("rule", [{}, {"from": []}, {"from": None, "ports": None}, {"ports": []}])
def test_an_empty_rule_allows_everything(rule):
    """S12"""
    assert gets_in({"podSelector": {}, "ingress": [rule]}, STRANGER, protocol="SCTP", port=9)


def test_policy_types_default_to_ingress_and_to_egress_where_egress_rules_are():
    """S1"""
    assert gets_out({"podSelector": {}}, STRANGER)
    assert gets_out({"podSelector": {}, "egress": []}, STRANGER)
    assert not gets_out({"podSelector": {}, "egress": [{"ports": [{"port": 1}]}], "policyTypes": []}, STRANGER)
    assert not gets_in({"podSelector": {}, "egress": [{}]})


def test_pod_selector_alone_looks_in_the_policys_namespace():
    """S20"""
    assert gets_in(only_from({"podSelector": {}}), CLIENT)
    assert not gets_in(only_from({"podSelector": {}}), STRANGER)


def test_both_selectors_in_one_element_must_match_and_elements_are_alternatives():
    """S20"""
    pods, namespaces = (
        {"podSelector": {"matchLabels": {"pod": "client"}}},
        {"namespaceSelector": {"matchLabels": {"ns": "y"}}},
    )
    assert not gets_in(only_from(pods | namespaces), CLIENT)
    assert not gets_in(only_from(pods | namespaces), STRANGER)
    assert gets_in(only_from(pods, namespaces), CLIENT)
    assert gets_in(only_from(pods, namespaces), STRANGER)


def test_empty_namespace_selector_means_all_namespaces_but_no_outside_address():
    """S20, S21"""
    assert gets_in(only_from({"namespaceSelector": {}}), STRANGER)
    assert not gets_in(only_from({"namespaceSelector": {}}), End("10.9.9.9"))


def test_peers_count_by_their_addresses_on_the_policys_networks_alone():
    """S21"""
    elsewhere = pod("client", addresses=["10.0.0.2"], network="x/other")
    assert not gets_in(only_from({"podSelector": {}}), elsewhere, cluster=[namespace("x"), DATABASE, elsewhere])
    assert not gets_in(only_from({"podSelector": {}}), End("192.0.2.9"))


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "pod", "operator": "In", "values": ["client", "b"]}, True),
        ({"key": "pod", "operator": "In", "values": ["b"]}, False),
        ({"key": "absent", "operator": "In", "values": ["b"]}, False),
        ({"key": "pod", "operator": "NotIn", "values": ["client"]}, False),
        ({"key": "absent", "operator": "NotIn", "values": ["b"]}, True),
        ({"key": "pod", "operator": "Exists"}, True),
        ({"key": "absent", "operator": "Exists"}, False),
        ({"key": "pod", "operator": "DoesNotExist"}, False),
        ({"key": "absent", "operator": "DoesNotExist"}, True),
        ({"key": "pod", "operator": "In"}, False),
        ({"key": "pod", "operator": "Like", "values": ["client"]}, False),
        ({"key": "pod", "operator": "exists"}, False),
    ],
)
def test_operators_in_peers(expression, matches):
    """S10, S13: a requirement that cannot be evaluated does not match in a peer."""
    assert gets_in(only_from({"podSelector": {"matchExpressions": [expression]}})) is matches


def test_a_target_selector_that_cannot_be_evaluated_selects_all_that_it_could_mean():
    """S13"""
    doubtful = {"key": "pod", "operator": "Like", "values": ["x"]}
    other = {"key": "pod", "operator": "NotIn", "values": ["db"]}
    assert not gets_in({"podSelector": {"matchExpressions": [doubtful]}})
    assert gets_in({"podSelector": {"matchExpressions": [doubtful, other]}})


def test_except_limits_its_own_block_alone():
    """S23"""
    wide = {"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.2/32", "10.0.0.128/25"]}}
    assert not gets_in(only_from(wide), CLIENT)
    assert gets_in(only_from(wide), STRANGER)
    assert gets_in(only_from(wide, {"ipBlock": {"cidr": "10.0.0.2/32"}}), CLIENT)
    assert gets_in(only_from(wide, {"podSelector": {}}), CLIENT)


def test_families_are_separate():
    """S25"""
    assert not gets_in(only_from({"ipBlock": {"cidr": "0.0.0.0/0"}}), version=6)
    assert not gets_in(only_from({"ipBlock": {"cidr": "::/0"}}), version=4)
    assert gets_in(only_from({"ipBlock": {"cidr": "::/0"}}), version=6)
    assert gets_in(only_from({"ipBlock": {"cidr": "::ffff:10.0.0.0/120"}}), version=4)


def test_a_peer_with_block_and_selector_is_the_block_and_an_empty_one_is_nothing():
    """S24"""
    assert gets_in(only_from({"ipBlock": {"cidr": "10.0.0.3/32"}, "podSelector": {}}), STRANGER)
    assert not gets_in(only_from({"ipBlock": {"cidr": "10.0.0.3/32"}, "podSelector": {}}), CLIENT)
    assert not gets_in(only_from({}))


@pytest.mark.parametrize(
    ("entry", "passing"),
    [
        ({}, {"TCP/80", "TCP/81", "TCP/5432"}),
        ({"protocol": "UDP"}, {"UDP/80"}),
        ({"port": 80}, {"TCP/80"}),
        ({"port": 80, "protocol": "UDP"}, {"UDP/80"}),
        ({"port": 80, "endPort": 81}, {"TCP/80", "TCP/81"}),
        ({"port": 81, "endPort": 80}, set()),
        ({"endPort": 81}, set()),
        ({"port": "sql", "endPort": 5433}, set()),
        ({"port": 0, "endPort": 90}, set()),
        ({"port": "sql"}, {"TCP/5432"}),
        ({"port": "sql", "protocol": "UDP"}, set()),
        ({"port": "http"}, set()),
        ({"port": "80"}, {"TCP/80"}),
        ({"port": 80, "protocol": "tcp"}, {"TCP/80"}),
        ({"port": 80, "protocol": "ICMP"}, set()),
    ],
)
def test_ports_of_ingress(entry, passing):
    """S30, S31, S32"""
    for probe in ("TCP/80", "TCP/81", "TCP/5432", "UDP/80"):
        protocol, _, port = probe.partition("/")
        assert gets_in(only_from(ports=[entry]), protocol=protocol, port=int(port)) is (probe in passing), probe


def test_named_ports_of_egress_are_those_of_each_peer():
    """S31"""
    first = pod("one", addresses=["10.0.0.4"], ports=[{"name": "web", "containerPort": 80}])
    second = pod("two", addresses=["10.0.0.5"], ports=[{"name": "web", "containerPort": 81}])
    cluster = [*CLUSTER, first, second]
    named = [{"port": "web"}]
    for peers in ([{"podSelector": {}}], [{"ipBlock": {"cidr": "10.0.0.0/24"}}], []):
        spec = only_to(*peers, ports=named)
        assert gets_out(spec, first, port=80, cluster=cluster)
        assert gets_out(spec, second, port=81, cluster=cluster)
        assert not gets_out(spec, first, port=81, cluster=cluster)
        assert not gets_out(spec, CLIENT, port=80, cluster=cluster)
    assert not gets_out(
        only_to({"podSelector": {"matchLabels": {"pod": "one"}}}, ports=named), second, port=81, cluster=cluster
    )


@pytest.mark.parametrize(
    ("networks", "selected"),
    [
        ("net", True),
        (" x/net\t", True),
        ("other,\nx/net", True),
        ("y/net", False),
        ("a/b/c, /x, x/", False),
        ("a/b/c,,net", True),
        ("", False),
    ],
)
def test_policy_for(networks, selected):
    """S2"""
    assert gets_in({"podSelector": {}}, networks=networks) is not selected


@pytest.mark.parametrize(
    ("gone", "target"),
    [({"phase": "Succeeded"}, True), ({"phase": "Failed"}, True), ({"spec": {"hostNetwork": True}}, False)],
)
def test_pods_that_are_no_peers(gone, target):
    """S5: a finished pod is enforced while its sandbox lives."""
    ghost = pod("client", addresses=["10.0.0.2"], **gone)
    cluster = [namespace("x"), DATABASE, ghost]
    assert not gets_in(only_from({"podSelector": {}}), ghost, cluster=cluster)
    assert allowed([*cluster, policy({"podSelector": {}})], end(DATABASE), end(ghost), "TCP", 80) is not target


def test_allowed_is_the_union_over_policies_in_any_order():
    """S11"""
    deny, allow = policy({"podSelector": {}}), policy(only_from({"podSelector": {}}))
    for policies in ([deny, allow], [allow, deny]):
        assert allowed([*CLUSTER, *policies], end(CLIENT), end(DATABASE), "TCP", 80)


def test_a_pods_packets_to_itself_are_never_filtered():
    """S44"""
    deny = policy({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    assert allowed([*CLUSTER, deny], end(DATABASE), end(DATABASE), "TCP", 80)
    assert not allowed([*CLUSTER, deny], End("10.0.0.1"), end(DATABASE), "TCP", 80)
