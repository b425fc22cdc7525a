"""Unions of groups have the members of these, always."""

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import GroupDelta
from mnp_core.netfilter.unions import Union, changes
from mnp_core.testing.policies import addresses

GROUPS = [20 * letter for letter in "abcd"]
members = st.sets(st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]))


@given(st.lists(st.tuples(st.sampled_from(GROUPS), members), max_size=8))
def test_a_union_has_the_members_of_its_groups_after_any_changes(steps):
    """S61: also of a group that changes several times, and of an address that is in several groups."""
    groups = {group: addresses(group, "10.0.0.1", "fd00::2") for group in GROUPS}
    unions = [Union(family=family, groups=tuple(GROUPS[:3])) for family in (4, 6)]
    before = {union: union.members(groups) for union in unions}
    deltas = []
    for group, found in steps:
        deltas.append(GroupDelta(before=groups[group], after=addresses(group, *found)))
        groups = {**groups, group: deltas[-1].after}
    change = changes(unions, deltas, groups)
    for union in unions:
        added, removed = change.added.get(union, frozenset()), change.removed.get(union, frozenset())
        assert not added & before[union]
        assert removed <= before[union]
        assert (before[union] | added) - removed == union.members(groups)
