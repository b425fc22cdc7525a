"""A change of CIDRs alone is one of members: no rule of the policy is another afterwards."""

import pytest
from attrs import evolve

from mnp_core.model import ANY_PEER, Enforcement, Peers
from mnp_core.policy.block_changes import block_changes
from mnp_core.policy.compile import compile_policy
from mnp_core.testing.builders import block, named, pods, policy, rule, selector

CIDRS = [block("10.0.0.0/24"), block("10.1.0.0/16", "10.1.2.0/24")]
MORE = block("10.2.0.0/24")
BEFORE = policy("p", networks=["net"], ingress=[rule(CIDRS, ["TCP/80"]), rule([block("fd00::/64")])])


def changed(before=BEFORE, **fields):
    return block_changes(compile_policy(before), compile_policy(evolve(before, **fields)))


def rules(*peers, ports=("TCP/80",)):
    first, second = BEFORE.ingress
    return evolve(rule(peers, list(ports)), index=first.index), second


def test_a_cidr_more_is_a_change_of_the_blocks_of_its_rule():
    """S61"""
    (delta,) = changed(ingress=rules(*CIDRS, MORE))
    assert set(delta.after) - set(delta.before) == {MORE}
    assert set(delta.before) == set(CIDRS)
    (allow, _) = compile_policy(BEFORE).ingress.rules
    assert allow.peers.list_id == delta.id


def test_another_except_is_a_change_of_blocks_too():
    """S23"""
    (delta,) = changed(ingress=rules(CIDRS[0], block("10.1.0.0/16")))
    assert set(delta.before) ^ set(delta.after) == {CIDRS[1], block("10.1.0.0/16")}


def test_the_order_of_blocks_is_no_change():
    assert changed(ingress=rules(*reversed(CIDRS))) == ()


def test_rules_with_named_ports_have_lists_of_their_own():
    """S31"""
    named_ports = evolve(BEFORE, ingress=rules(*CIDRS, ports=["TCP/web", "TCP/80"]))
    (delta,) = changed(named_ports, ingress=rules(*CIDRS, MORE, ports=["TCP/web", "TCP/80"]))
    assert MORE in delta.after


@pytest.mark.parametrize(
    "fields",
    [
        {"ingress": rules(*CIDRS, MORE, ports=["TCP/81"])},
        {"ingress": rules(*CIDRS, MORE, pods(app="web"))},
        {"ingress": rules()},
        {"ingress": (evolve(BEFORE.ingress[0], peers=ANY_PEER), BEFORE.ingress[1])},
        {"ingress": rules(*CIDRS, MORE)[:1]},
        {"ingress": None},
        {"egress": ()},
        {"pod_selector": selector(app="web"), "ingress": rules(*CIDRS, MORE)},
        {"scope": evolve(BEFORE.scope, networks=frozenset({named("other")}))},
        {"enforcement": Enforcement.AUDIT},
    ],
)
def test_more_than_blocks_is_a_change_of_rules(fields):
    assert changed(**fields) is None


def test_a_rule_has_the_same_list_wherever_it_is_and_another_rule_has_another():
    lists = [
        each.peers.list_id
        for name in ("p", "q")
        for each in compile_policy(policy(name, networks=["net"], ingress=BEFORE.ingress)).ingress.rules
        if isinstance(each.peers, Peers)
    ]
    again = [each.peers.list_id for each in compile_policy(BEFORE).ingress.rules]
    assert len(set(lists)) == 4
    assert lists[:2] == again
