"""Lookups in front of many lookups: their sets have the members of the groups, always."""

import string

import pytest
from attrs import evolve

from mnp_core.model import GroupDelta
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from plugins.nftables.tests.policies import addresses, allow, interface, isolated, origin, sandbox
from plugins.nftables.tests.test_text_and_messages import same

renderer, applier = NftablesRenderer(), NftablesApplier()
GROUPS = [20 * letter for letter in string.ascii_lowercase] + [20 * digit for digit in "234567"]
COMMON = "10.2.0.1"


def wide(groups):
    """Rules for more groups than are looked up one by one, some of them with blocks, in both directions."""
    rules = [
        allow(
            [group, *(["10.9.0.0/16"] if number % 7 == 0 else [])],
            ["TCP/80", "UDP/80"] if number % 5 else ["UDP/53"],
            source=origin(number),
        )
        for number, group in enumerate(GROUPS)
    ]
    both = isolated(*rules, allow(["fd00::7/128"], source=origin(len(rules))))
    return sandbox(interface("net1", ingress=both, egress=both), groups=groups)


BEFORE = [addresses(group, f"10.1.{number}.1", f"fd00::{number:x}", COMMON) for number, group in enumerate(GROUPS)]
POLICY = wide(BEFORE)


def with_groups(*changed):
    return evolve(POLICY, groups={**POLICY.groups, **{group.id: group for group in changed}})


def test_a_packet_is_looked_up_in_a_union_before_its_groups():
    """The order of the rules is that of a row, and what no union covers leads to the same chain."""
    text = renderer.render(POLICY).text
    chains = {part.split(" ")[0]: part.splitlines()[1:] for part in text.split("\tchain ")[1:]}
    (wide_one,) = [
        lines for name, lines in chains.items() if name.startswith("ingress.") and any("@u4-" in line for line in lines)
    ]
    behind = [line.split()[-1] for line in wide_one if "@u4-" in line]
    rules = [rule for name in behind for rule in chains[name] if "@g4-" in rule]
    assert len(behind) == len(set(behind)) > 1
    assert [rule.split("ingress[")[1] for rule in rules] == [f'{n}]"' for n in range(len(GROUPS)) if n % 5]
    assert f"\t\tip saddr 10.9.0.0/16 jump {behind[0]}" in wide_one
    assert all(len([rule for rule in chains[name] if "@g4-" in rule]) <= 16 for name in behind)


def test_a_sandbox_of_few_groups_has_none():
    few = sandbox(interface("net1", ingress=isolated(allow([GROUPS[0]]))), groups=[BEFORE[0]])
    assert renderer.render_sandbox_delta([GroupDelta(before=BEFORE[0], after=addresses(GROUPS[0]))], few) is None
    assert "set u4-" not in renderer.render(few).text


@pytest.mark.root
def test_the_rules_in_force_after_changes_are_those_of_a_new_rendering():
    """S60, S61: the kernel refuses an element that is there already, or is not."""
    one, two = BEFORE[1], BEFORE[2]
    grown = addresses(one.id, "10.1.1.1", "10.7.7.7")
    moved, other = addresses(one.id, "10.7.7.7"), addresses(two.id, "10.1.2.1", "10.7.7.7", COMMON)
    deltas = [
        GroupDelta(before=one, after=grown),
        GroupDelta(before=two, after=other),
        GroupDelta(before=grown, after=moved),
    ]
    with private_namespace() as ours, private_namespace() as theirs:
        same((ours, theirs), POLICY)
        wanted = with_groups(moved, other)
        for delta in (*map(renderer.render_delta, deltas), renderer.render_sandbox_delta(deltas, wanted)):
            assert run_inside(ours, lambda delta=delta: applier.update(delta))
        assert run_inside(ours, applier.installed).matches(renderer.render(wanted))
