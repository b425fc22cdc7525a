"""S63, S49: others change our rules in a pod, which is mended, or have rules of their own, which are let be."""

import json
import time

import pytest

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from tests.cluster.churn import Churn
from tests.cluster.four_pods import app
from tests.cluster.quiescence import at_rest
from tests.cluster.stopwatch import MENDED, allowed, time_until

TAMPERINGS = 5
TABLE = "inet mnp"
QUIET = 1.5  # seconds, several times the agent's delay before a check, and one of its rounds


@pytest.fixture
def enforcing(four_pods, process):
    """The victim's sandbox and the ruleset in force there, with an agent at work."""
    four_pods.apply(four_pods.main_policies()[2])  # with a group, and a block
    process.start_and_wait()
    victim = four_pods.sandbox("victim")
    return victim, four_pods.installed(victim)


def flush(_):
    return "flush ruleset"


def delete_table(_):
    return f"delete table {TABLE}"


def delete_a_rule(objects):
    rule = next(o["rule"] for o in objects if "rule" in o and has(o["rule"], "drop"))
    return f"delete rule {TABLE} {rule['chain']} handle {rule['handle']}"


def add_an_element(objects):
    found = next(o["set"] for o in objects if "set" in o and o["set"]["type"] == "ipv4_addr" and o["set"].get("elem"))
    return f"add element {TABLE} {found['name']} {{ 203.0.113.66 }}"


def remove_an_element(objects):
    found = next(o["set"] for o in objects if "set" in o and o["set"]["type"] == "ipv4_addr" and o["set"].get("elem"))
    return f"flush set {TABLE} {found['name']}"


@pytest.mark.parametrize("harm", [flush, delete_table, delete_a_rule, add_an_element, remove_an_element])
def test_foreign_changes_of_our_rules_are_repaired_and_reported(four_pods, process, enforcing, figures, harm):
    """S63."""
    victim, right = enforcing
    told = events(four_pods)
    commands = harm(run_inside(victim, listing))
    run_inside(victim, lambda: nft.load(commands))
    took = time_until(lambda: four_pods.installed(victim) == right)  # at once, where the agent was faster; it counts
    figures.append(f"drift ({harm.__name__.replace('_', ' ')}): mended in {took:.2f} s")
    assert took <= allowed(MENDED)
    assert four_pods.reaching("victim") == {"friend"}
    four_pods.objects.wait_for("it is counted", lambda: process.metric("mnp_drift_mended_total") == 1, patience=5)
    four_pods.objects.wait_for("there is an Event", lambda: events(four_pods) > told, patience=60)


def test_drift_is_repaired_while_members_come_and_go(four_pods, process, enforcing, chance, figures):
    """S63: the agent's own writes of membership must not hide foreign ones."""
    victim, other = enforcing
    took = []

    def digest():
        return four_pods.installed(victim).digest  # independent of the members

    with Churn(four_pods, chance, policies=False) as churn:
        four_pods.objects.wait_for("the main policy is followed", lambda: digest() != other.digest)
        right = at_rest(digest)  # the old policy's sets are cleared away a moment later

        def is_right():
            return digest() == right

        for _ in range(TAMPERINGS):
            four_pods.objects.wait_for("all is right", is_right)
            time.sleep(chance.uniform(0.2, 0.6))
            run_inside(victim, lambda: nft.load(delete_a_rule(listing())))
            took.append(time_until(is_right))
    figures.append(f"drift during {churn.changes} changes of labels: mended {len(took)} times, in {max(took):.2f} s")
    assert max(took) <= allowed(MENDED)
    assert process.metric("mnp_drift_mended_total") == TAMPERINGS
    assert process.metric("mnp_apply_failures_total") == 0


def test_rules_of_others_are_let_be_and_no_drift(four_pods, process, enforcing):
    """S49."""
    victim, right = enforcing
    run_inside(victim, lambda: nft.load(nft.FOREIGN))
    try:
        theirs = run_inside(victim, nft.foreign_listing)
        time.sleep(QUIET)
        anything = four_pods.policy("main", [{"from": [app("friend")]}], app("victim"))
        four_pods.apply(anything)  # the friend reaches every port, as far as we are concerned
        four_pods.objects.wait_for("the policy is followed", lambda: four_pods.installed(victim) != right)
        run_inside(victim, lambda: nft.load("add element inet theirs friends { 10.6.6.7 }"))
        run_inside(victim, lambda: nft.load("delete element inet theirs friends { 10.6.6.7 }"))
        time.sleep(QUIET)
        assert run_inside(victim, nft.foreign_listing) == theirs
        assert process.metric("mnp_drift_mended_total") == 0
        assert not four_pods.reaches("friend", "victim", nft.FOREIGN_PORT)
        assert four_pods.reaches("friend", "victim")
        run_inside(victim, lambda: nft.load(f"delete table {TABLE}"))
        # Packets are asked afterwards: theirs has connections tracked, and one that began meanwhile may go on (S42).
        four_pods.objects.wait_for("ours is back", lambda: (found := four_pods.installed(victim)) and found.digest)
        assert four_pods.reaching("victim") == {"friend"}
        assert process.metric("mnp_drift_mended_total") == 1
        assert run_inside(victim, nft.foreign_listing) == theirs
    finally:
        run_inside(victim, lambda: nft.load("delete table inet theirs\ndelete table ip theirs"))


def test_drift_in_one_pod_is_nothing_to_others(four_pods, enforcing):
    """S61."""
    victim, right = enforcing
    bystander = four_pods.sandbox("bystander")
    before = four_pods.generation(bystander)
    run_inside(victim, lambda: nft.load(f"delete table {TABLE}"))
    four_pods.objects.wait_for("it is mended", lambda: four_pods.installed(victim) == right)
    time.sleep(QUIET)
    assert four_pods.generation(bystander) == before


def listing():
    return json.loads(nft.nft("-j", "-a", "list", "table", *TABLE.split()))["nftables"]


def has(rule, verdict):
    return any(verdict in expression for expression in rule["expr"])


def events(four_pods):
    """The number of drift events."""
    found = four_pods.objects.list("v1/Event", four_pods.namespace)
    return sum(event.get("count") or 1 for event in found if event["reason"] == "DriftMended")
