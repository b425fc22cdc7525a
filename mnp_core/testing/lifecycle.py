"""Lives of a sandbox: lists of states, and the other lists that follow from one.

The rules in force must depend on the last state alone, not on the way to it. So a list of states is also gone
backwards, with nothing in between, with openness in between, and with membership coming little by little.
"""

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from mnp_core.model import (
    AddressGroup,
    Allow,
    AllowRule,
    Block,
    BlocksDelta,
    DirectionPolicy,
    EndpointGroup,
    Group,
    GroupDelta,
    Open,
    Peers,
    SandboxPolicy,
)
from mnp_core.testing.corpus import CORPUS
from mnp_core.testing.policies import only

State = SandboxPolicy | None
"""The rules; None: nothing of ours."""

STATES: tuple[SandboxPolicy, ...] = tuple(
    CORPUS[name].policy
    for name in (
        "deny all",
        "group",
        "two interfaces",
        "endpoints",
        "open",
        "excepts",
        "two groups and a block",
        "reject",
    )
)
"""A lifecycle with most kinds of changes."""


def lives(states: Sequence[State] = STATES) -> Mapping[str, Sequence[State]]:
    """The list itself, and variations of it."""
    return {
        "forwards": states,
        "backwards": states[::-1],
        "emptied in between": [step for state in states for step in (state, None)],
        "opened in between": [step for state in states for step in (state, only())],
        "split": [step for state in states for step in (*_by_and_by(state), state)],
    }


def regrouping(before: State, after: State) -> Sequence[GroupDelta] | None:
    """The changes of membership that lead from one state to the next; None if more changes than that."""
    if before is None or after is None or evolve(before, groups={}) != evolve(after, groups={}):
        return None
    if {key: type(group) for key, group in before.groups.items()} != {k: type(g) for k, g in after.groups.items()}:
        return None
    pairs = ((before.groups[identity], after.groups[identity]) for identity in after.groups)
    return [GroupDelta(before=was, after=now) for was, now in pairs if was != now]


def _by_and_by(state: State) -> Iterator[State]:
    """The state with empty groups, then with half of each."""
    if state is not None and state.groups:
        for part in (0.0, 0.5):
            yield evolve(state, groups={identity: _part(group, part) for identity, group in state.groups.items()})


def _part(group: Group, part: float) -> Group:
    if isinstance(group, AddressGroup):
        some = sorted(group.members, key=lambda address: (address.version, int(address)))
        return evolve(group, members=frozenset(some[: int(len(some) * part)]))
    served = sorted(group.members, key=lambda endpoint: endpoint.sort_key)
    return EndpointGroup(id=group.id, members=frozenset(served[: int(len(served) * part)]))


def changed_by(policy: SandboxPolicy, delta: GroupDelta | BlocksDelta) -> SandboxPolicy:
    """The policy after a change of members, of a group or a list of blocks that it has as the change found it."""
    if isinstance(delta, GroupDelta):
        if policy.groups[delta.id] != delta.before:
            raise AssertionError(f"group {delta.id} was not as the change found it")
        return evolve(policy, groups={**policy.groups, delta.id: delta.after})
    if policy.block_lists.get(delta.id, delta.before) != delta.before:
        raise AssertionError(f"the blocks {delta.id} were not as the change found them")
    return with_blocks(policy, {delta.id: delta.after})


def with_blocks(policy: SandboxPolicy, lists: Mapping[str, tuple[Block, ...]]) -> SandboxPolicy:
    """The policy with other blocks in some of its lists."""
    interfaces = (
        evolve(each, ingress=_in_rules(each.ingress, lists), egress=_in_rules(each.egress, lists))
        for each in policy.interfaces
    )
    return evolve(policy, interfaces=tuple(interfaces))


def _in_rules(rules: DirectionPolicy, lists: Mapping[str, tuple[Block, ...]]) -> DirectionPolicy:
    if isinstance(rules, Open):
        return rules
    return evolve(rules, allows=tuple(_in_rule(allow, lists) for allow in rules.allows))


def _in_rule(rule: AllowRule, lists: Mapping[str, tuple[Block, ...]]) -> AllowRule:
    if not isinstance(rule, Allow) or not isinstance(rule.peers, Peers) or rule.peers.list_id not in lists:
        return rule
    return evolve(rule, peers=evolve(rule.peers, blocks=lists[rule.peers.list_id]))
