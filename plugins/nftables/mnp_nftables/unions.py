"""Unions of groups: sets in front of many lookups, which tell in one that none of them will find the address.

A union has exactly the members of its groups, so a change of a group may be one of the union, too. Which unions there
are depends on all rules of a sandbox, unlike the sets of groups: their changes are written for each sandbox.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from mnp_core.model import Address, AddressGroup, Family, Group, GroupDelta
from mnp_core.model.group import GROUP_ID_LENGTH
from mnp_nftables.sets import SetName


@frozen(kw_only=True)
class Union:
    """The addresses of one family in some groups, each identity once, sorted."""

    family: Family
    groups: tuple[str, ...]

    @property
    def name(self) -> SetName:
        """Depends on the groups alone."""
        digest = hashlib.sha256(" ".join(self.groups).encode()).digest()
        identity = base64.b32encode(digest).decode().lower()[:GROUP_ID_LENGTH]
        return SetName(family=self.family, endpoints=False, group=identity, union=True)

    def elements(self, groups: Mapping[str, Group]) -> frozenset[str]:
        """The members, as nft writes them."""
        return frozenset(
            str(member)
            for identity in self.groups
            for member in _members(groups[identity])
            if member.version == self.family
        )


@frozen(kw_only=True)
class UnionChange:
    """Elements that come to unions and go from them, by name of the set."""

    added: Mapping[str, frozenset[str]]
    removed: Mapping[str, frozenset[str]]


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
    added, removed = dict[str, frozenset[str]](), dict[str, frozenset[str]]()
    for union in unions:
        touched = {
            address
            for identity in union.groups
            if identity in after
            for address in before[identity] ^ after[identity]
            if address.version == union.family
        }
        was, now = (_among(touched, union.groups, each) for each in (old, new))
        if was != now:
            added[str(union.name)] = frozenset(map(str, now - was))
            removed[str(union.name)] = frozenset(map(str, was - now))
    return UnionChange(added=_without_empty(added), removed=_without_empty(removed))


def _among(addresses: set[Address], groups: Iterable[str], members: Mapping[str, frozenset[Address]]) -> set[Address]:
    return {address for address in addresses if any(address in members[identity] for identity in groups)}


def _members(group: Group) -> frozenset[Address]:
    return group.members if isinstance(group, AddressGroup) else frozenset()


def _without_empty(changed: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {name: found for name, found in changed.items() if found}
