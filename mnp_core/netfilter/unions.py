"""Unions of groups: sets in front of many lookups, which tell in one that none of them will find the address.

A union has exactly the members of its groups, so a change of a group may be one of the union, too. Which unions there
are depends on all rules of a sandbox, unlike the sets of groups: their changes are written for each sandbox.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from mnp_core.classes import frozen
from mnp_core.model import Address, AddressGroup, CommonRules, Family, Group, GroupDelta, InterfacePolicy, SandboxPolicy
from mnp_core.model.group import GROUP_ID_LENGTH

_RECENT: Final = 128  # sandboxes with many groups


@frozen(kw_only=True)
class Union:
    """The addresses of one family in some groups, each identity once, sorted."""

    family: Family
    groups: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Depends on the groups alone, and has the form of a group's identity."""
        digest = hashlib.sha256(" ".join(self.groups).encode()).digest()
        return base64.b32encode(digest).decode().lower()[:GROUP_ID_LENGTH]

    def members(self, groups: Mapping[str, Group]) -> frozenset[Address]:
        """Its members."""
        every = (member for identity in self.groups for member in _members(groups[identity]))
        return frozenset(member for member in every if member.version == self.family)


@frozen(kw_only=True)
class UnionChange:
    """Addresses that come to unions and go from them."""

    added: Mapping[Union, frozenset[Address]]
    removed: Mapping[Union, frozenset[Address]]


class SandboxUnions:
    """The unions of each sandbox, remembered: every change of membership asks for them again."""

    def __init__(self, unions_of: Callable[[SandboxPolicy], tuple[Union, ...]], lookups: int) -> None:
        """Remember nothing yet.

        Args:
            unions_of: Finds those of a sandbox, sorted, by its interfaces and common rules alone.
            lookups: The number of groups that need no union.
        """
        self._unions_of, self._lookups = unions_of, lookups
        self._recent: dict[tuple[int, int], tuple[tuple[InterfacePolicy, ...], CommonRules, tuple[Union, ...]]] = {}

    def of(self, policy: SandboxPolicy) -> tuple[Union, ...]:
        """The unions of a sandbox, sorted."""
        if len(policy.groups) <= self._lookups:
            return ()
        key = id(policy.interfaces), id(policy.common)  # of objects that are remembered, so no others get them
        if key not in self._recent:
            found = policy.interfaces, policy.common, self._unions_of(policy)
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[key] = found
        return self._recent[key][-1]

    def changes(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> UnionChange | None:
        """The changes of a sandbox's unions, see `changes`; None without unions."""
        unions = self.of(policy)
        return changes(unions, deltas, policy.groups) if unions else None


def changes(unions: Iterable[Union], deltas: Sequence[GroupDelta], groups: Mapping[str, Group]) -> UnionChange:
    """The changes of unions by changes of groups, several of one group in their order.

    Args:
        unions: The unions of a sandbox.
        deltas: The changes.
        groups: All groups of the sandbox; for those that change, the deltas count.
    """
    before = {delta.id: _members(delta.before) for delta in reversed(deltas)}
    after = {delta.id: _members(delta.after) for delta in deltas}
    others = {identity: _members(group) for identity, group in groups.items()}
    old, new = {**others, **before}, {**others, **after}
    added, removed = dict[Union, frozenset[Address]](), dict[Union, frozenset[Address]]()
    for union in unions:
        touched = {
            address
            for identity in union.groups
            if identity in after
            for address in before[identity] ^ after[identity]
            if address.version == union.family
        }
        was, now = (_among(touched, union.groups, each) for each in (old, new))
        added[union], removed[union] = frozenset(now - was), frozenset(was - now)
    return UnionChange(added=_without_empty(added), removed=_without_empty(removed))


def _among(addresses: set[Address], groups: Iterable[str], members: Mapping[str, frozenset[Address]]) -> set[Address]:
    return {address for address in addresses if any(address in members[identity] for identity in groups)}


def _members(group: Group) -> frozenset[Address]:
    return group.members if isinstance(group, AddressGroup) else frozenset()


def _without_empty(changed: dict[Union, frozenset[Address]]) -> dict[Union, frozenset[Address]]:
    return {union: found for union, found in changed.items() if found}
