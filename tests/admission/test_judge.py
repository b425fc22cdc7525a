"""What refuses a policy, what its author is told, and what is let in."""

import json

import pytest

from mnp_core.admission.judge import REFUSED
from mnp_core.admission.known_cluster import read_network
from mnp_core.admission.review import Verdict
from mnp_core.errors import ApiUnreachableError
from mnp_core.model.budget import Budgets, Size
from mnp_core.policy.lint import find_rules
from tests.admission.conftest import Cluster, judge, namespace, network, pod, policy, review

PEER = "spec.ingress[0].from[0]"
INGRESS = {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}]}


def rules(findings):
    return [(each.rule.name, each.field) for each in findings]


def test_a_policy_without_findings_is_accepted_without_a_word(cluster):
    assert judge().judge(review(policy(**INGRESS)), cluster.view()) == Verdict()


def test_a_network_that_does_not_exist_refuses_with_field_and_remedy(cluster):
    (found,) = judge().judge(review(policy("red, blue", **INGRESS)), cluster.view()).refused
    assert (found.rule.name, found.message) == ("UnknownNetwork", "there is no network demo/blue")
    assert found.field == "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]"
    assert "Name an existing NetworkAttachmentDefinition" in found.remedy


def test_a_network_that_the_watch_does_not_know_yet_is_looked_up(cluster):
    blue = read_network(json.dumps(network("blue", "198.51.100.0/24")).encode())
    asked = []
    verdict = judge(lookup=lambda name: asked.append(str(name)) or blue).judge(
        review(policy("blue", **INGRESS)), cluster.view()
    )
    assert asked == ["demo/blue"]
    assert verdict.refused == ()
    assert rules(verdict.warned)[0][0] == "NetworkOnNoPod"


def test_a_network_that_cannot_be_looked_up_refuses_nothing(cluster):
    def fails(_):
        raise ApiUnreachableError("down")

    verdict = judge(lookup=fails).judge(review(policy("blue")), cluster.view())
    assert (verdict.refused, rules(verdict.warned)[0][0]) == ((), "UnknownNetwork")


def test_very_many_unknown_networks_are_not_all_looked_up(cluster):
    asked = []
    verdict = judge(lookup=asked.append).judge(
        review(policy(",".join(f"n{number}" for number in range(1000)))), cluster.view()
    )
    assert len(asked) == 8
    assert verdict.refused == ()


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (policy(ingress=[{"ports": [{"port": "metrics"}]}]), "UnservedPort"),
        (policy(podSelector={"matchLabels": {"app": "none"}}), "SelectsNothing"),
        (policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "none"}}}]}]), "PeerMatchesNobody"),
        (policy("red,green"), "NetworkOnNoPod"),
        (policy("red,green", ingress=[{"from": [{"podSelector": {}}]}]), "OverlappingNetworks"),
        (policy("foreign"), "UnclaimedType"),
        (policy(ingress=[{}, {"ports": [{"port": 80}]}]), "ShadowedRule"),
    ],
)
def test_findings_that_are_no_refusals_are_warnings(cluster, wanted, rule):
    cluster.add(network("green", "192.0.2.128/25"))
    foreign = network("foreign", "203.0.113.0/24")
    cluster.add({**foreign, "spec": {"config": '{"type": "ovn"}'}})
    verdict = judge().judge(review(wanted), cluster.view())
    assert verdict.refused == ()
    assert rule in [name for name, _ in rules(verdict.warned)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (policy(""), ("InvalidPolicyFor", "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]")),
        (policy(policyTypes=["ingress"]), ("InvalidPolicyType", "spec.policyTypes[0]")),
        (policy(ingress=[{"ports": [{"port": 0}]}]), ("InvalidPort", "spec.ingress[0].ports[0].port")),
        (
            policy(ingress=[{"from": [{"ipBlock": {"cidr": "x"}}]}]),
            ("InvalidBlock", "spec.ingress[0].from[0].ipBlock.cidr"),
        ),
        ({**policy(), "spec": 7}, ("Malformed", "spec")),
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_its_own_errors_refuse_a_policy_also_where_the_cluster_cannot_be_seen(cluster, wanted, found, seen):
    verdict = judge().judge(review(wanted), cluster.view() if seen else None, "down")
    assert found in rules(verdict.refused)


def test_what_cannot_be_checked_is_let_in_and_said():
    verdict = judge().judge(review(policy("blue")), None, "pods: forbidden")
    assert verdict.refused == ()
    assert "could not be read (pods: forbidden)" in verdict.notes[0]


def test_operators_choose_what_refuses(cluster):
    unserved = find_rules("UnservedPort")
    wanted = policy("red,blue", ingress=[{"ports": [{"port": "metrics"}]}])
    strict = judge(REFUSED | unserved).judge(review(wanted), cluster.view())
    assert {each.rule.name for each in strict.refused} == {"UnknownNetwork", "UnservedPort"}
    lax = judge(REFUSED - find_rules("UnknownNetwork")).judge(review(wanted), cluster.view())
    assert lax.refused == ()
    assert {each.rule.name for each in lax.warned} >= {"UnknownNetwork", "UnservedPort"}


def test_an_update_is_refused_for_what_it_makes_worse_alone(cluster):
    stored = policy("blue")
    better = policy("blue", **INGRESS)
    verdict = judge().judge(review(better, stored), cluster.view())
    assert verdict.refused == ()
    assert "UnknownNetwork" in [name for name, _ in rules(verdict.warned)]
    worse = policy("blue,grey", **INGRESS)
    (found,) = judge().judge(review(worse, stored), cluster.view()).refused
    assert found.message == "there is no network demo/grey"


def test_labels_finalizers_and_deletions_are_none_of_its_business(cluster):
    stored = policy("blue")
    labelled = {**stored, "metadata": {**stored["metadata"], "labels": {"a": "b"}}}
    assert judge().judge(review(labelled, stored), cluster.view()) == Verdict()
    going = {**policy("grey"), "metadata": {**policy("grey")["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert judge().judge(review(going, stored), cluster.view()) == Verdict()
    assert judge().judge(review(None, stored), cluster.view()) == Verdict()


def test_budgets_of_policy_and_namespace_refuse(cluster):
    two = {"ingress": [{"ports": [{"port": 80}]}, {"ports": [{"port": 81}]}]}
    small = Budgets(policy=Size(rules=1, selectors=9, blocks=9, ports=9, members=9, bytes=9999))
    (found,) = judge(budgets=small).judge(review(policy(**two)), cluster.view()).refused
    assert (found.rule.name, "2 rules (at most 1)" in found.message) == ("OverBudget", True)
    shared = Budgets(namespace=Size(rules=3, selectors=9, blocks=9, ports=9, members=9, bytes=2**40))
    cluster.add(policy(name="first", **two))
    (found,) = judge(budgets=shared).judge(review(policy(**two)), cluster.view()).refused
    assert "together are over their budget" in found.message
    tiny = Budgets(policy=Size(rules=9, selectors=9, blocks=9, ports=9, members=9, bytes=50))
    (found,) = judge(budgets=tiny).judge(review(policy()), cluster.view()).refused
    assert "bytes (at most 50)" in found.message


def test_the_view_follows_pods_networks_and_namespaces():
    cluster = Cluster(network())
    wanted = review(policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]))

    def found():
        return [name for name, _ in rules(judge().judge(wanted, cluster.view()).warned)]

    assert found() == ["NetworkOnNoPod", "SelectsNothing"]
    cluster.add(pod())
    assert found() == ["PeerMatchesNobody"]
    cluster.add({**namespace(), "metadata": {"name": "demo", "labels": {"team": "a"}}})
    assert found() == []
    cluster.add({**pod(), "status": {"phase": "Succeeded"}})
    assert found() == ["NetworkOnNoPod"]


def test_other_kinds_are_accepted(cluster):
    assert judge().judge(review(pod()), cluster.view()).refused == ()
    assert judge().judge(review({"apiVersion": "v1", "kind": "ConfigMap"}), cluster.view()) == Verdict()
    assert judge().judge(review({"apiVersion": 7, "kind": []}), cluster.view()) == Verdict()
