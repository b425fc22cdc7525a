"""Chains by class of ports, and unions in front of many lookups: verdict and rule that counts stay the same."""

import string
from functools import partial
from ipaddress import ip_address

import pytest
from attrs import evolve

from mnp_core.model import DenyAction, Direction, GroupDelta, Packet, Protocol
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing.hosts import FAMILIES, PEER, POD
from mnp_core.testing.policies import addresses, allow, interface, isolated, origin, sandbox
from plugins.iptables.tests.pods import renderer

GROUPS = [20 * letter for letter in string.ascii_lowercase] + [20 * digit for digit in "234567"]
COMMON = "10.2.0.1"


def wide(groups, **settings):
    """Rules for more groups than are looked up one by one, some of them with blocks, in both directions."""
    rules = [
        allow(
            [group, *(["10.9.0.0/16"] if number % 7 == 0 else [])],
            ["TCP/80", "UDP/80"] if number % 5 else ["UDP/53"],
            source=origin(number),
        )
        for number, group in enumerate(GROUPS)
    ]
    rules += [allow(["fd00::7/128"], source=origin(len(rules))), allow([GROUPS[3]], ["UDP"], source=origin(40))]
    both = isolated(*rules)
    return sandbox(interface("net1", ingress=both, egress=both), groups=groups, **settings)


BEFORE = [addresses(group, f"10.1.{number}.1", f"fd00::{number:x}", COMMON) for number, group in enumerate(GROUPS)]


def with_groups(*changed, **settings):
    policy = wide(BEFORE, **settings)
    return evolve(policy, groups={**policy.groups, **{group.id: group for group in changed}})


def chain(text, name):
    return [line for line in text.partition("# ip6tables")[0].splitlines() if line.startswith(f"-A {name} ")]


def test_few_groups_have_no_union():
    few = sandbox(interface("net1", ingress=isolated(allow([GROUPS[0]]))), groups=[BEFORE[0]])
    delta = GroupDelta(before=BEFORE[0], after=addresses(GROUPS[0]))
    assert renderer.render_sandbox_delta([delta], few) is None
    assert "mnpu4-" not in renderer.render(few).text


def test_what_nothing_in_a_chain_decides_goes_on_to_the_end():
    """S11: the end of a chain would let it pass."""
    text = renderer.render(wide(BEFORE)).text
    names = {line.split()[0][1:] for line in text.splitlines() if line.startswith(":MNP-I") and "INGRESS" not in line}
    for name in names - {"MNP-ID-net1"}:
        assert chain(text, name)[-1].startswith(f"-A {name} -g MNP-I"), name
    assert chain(text, "MNP-ID-net1")[-1].endswith("-j DROP")


@pytest.mark.root
@pytest.mark.parametrize("deny_action", DenyAction)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_rule_that_decides_is_the_one_that_explain_names(wire, family, deny_action):
    """S11: as in a row, before and after changes of membership, of which one address is in several groups."""
    policy = wide(BEFORE, deny_action=deny_action)
    wire.pod.enforce(policy)
    for numbers in ((), (1,), (30, 8), (8, 2), (13,)):
        after = [addresses(each.id, *members(each), PEER[family]) for each in map(BEFORE.__getitem__, numbers)]
        wanted = with_groups(*after, deny_action=deny_action)
        deltas = [
            GroupDelta(before=policy.groups[name], after=wanted.groups[name])
            for name in GROUPS
            if policy.groups[name] != wanted.groups[name]
        ]
        changes = [*map(renderer.render_delta, deltas), renderer.render_sandbox_delta(deltas, wanted)]
        for delta in changes:
            wire.pod.run(partial(wire.pod.applier.update, delta))
        assert wire.pod.run(partial(wire.pod.applier.is_in_force, renderer.render(wanted)))
        policy = wanted
        for port in (53, 80, 81):
            ends = {"source": ip_address(PEER[family]), "destination": ip_address(POD[family])}
            verdict = evaluate(policy, "net1", Direction.INGRESS, Packet(**ends, protocol=Protocol.UDP, port=port))
            before = wire.pod.counters()
            assert wire.into_pod(family, port) is verdict.allowed, (numbers, port)
            if verdict.allowed:
                assert wire.pod.counters()[str(verdict.origin)] == before[str(verdict.origin)] + 1, (numbers, port)


@pytest.mark.root
def test_an_address_in_a_union_and_in_none_of_its_groups_is_asked_again(wire):
    """S60: as it is while members go, until the union has changed, too."""
    gone, kept = addresses(GROUPS[1], PEER[4]), addresses(GROUPS[31], PEER[4])
    wire.pod.enforce(with_groups(gone, kept))
    wire.pod.run(
        lambda: wire.pod.applier.update(renderer.render_delta(GroupDelta(before=gone, after=addresses(GROUPS[1]))))
    )
    before = wire.pod.counters()
    assert wire.into_pod(4, 80)
    assert wire.pod.counters()[str(origin(31))] == before[str(origin(31))] + 1


def members(group):
    return map(str, group.members)
