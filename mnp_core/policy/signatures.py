"""The part of an address that rules can tell: the groups and blocks that it is in.

Two addresses with one signature get the same answer from every rule, so an answer is worked out once for all of them.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.model import (
    Address,
    AddressGroup,
    Allow,
    Audited,
    Block,
    Cidr,
    CommonRules,
    DirectionPolicy,
    EndpointGroup,
    Group,
    InterfacePolicy,
    Isolated,
    Peers,
    SandboxPolicy,
)

_T = TypeVar("_T", bound=Hashable)


@define
class Numbers:
    """A number for each distinct value, from 0."""

    _known: dict[Hashable, int] = field(factory=dict, init=False)

    def of(self, value: Hashable) -> int:
        """The value's number."""
        return self._known.setdefault(value, len(self._known))

    def __len__(self) -> int:
        return len(self._known)


@frozen(kw_only=True)
class Terms:
    """All that rules say about addresses.

    Attributes:
        groups: By address, the identities of the address groups that it is a member of.
        endpoints: By address, the members of endpoint groups that it is in: identity, protocol, port.
        blocks: Blocks of rules, and the settings' prefixes.
    """

    groups: Mapping[Address, frozenset[str]]
    endpoints: Mapping[Address, frozenset[tuple[str, int, int]]]
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, sandboxes: Iterable[SandboxPolicy]) -> "Terms":
        """The terms of the rules of some pods."""
        groups: dict[str, Group] = {}
        interfaces: dict[InterfacePolicy, None] = {}
        prefixes: set[Cidr] = set()
        for sandbox in sandboxes:
            groups.update(sandbox.groups)
            interfaces.update(dict.fromkeys(sandbox.interfaces))
            prefixes.update(_prefixes(sandbox.common))
        rules = {direction for policy in interfaces for direction in (policy.ingress, policy.egress)}
        blocks = {block for direction in rules for block in blocks_of(direction)}
        return cls(
            groups=_gathered((a, g.id) for g in groups.values() if isinstance(g, AddressGroup) for a in g.members),
            endpoints=_gathered(
                (member.address, (group.id, int(member.protocol), member.port))
                for group in groups.values()
                if isinstance(group, EndpointGroup)
                for member in group.members
            ),
            blocks=(*blocks, *(Block(cidr=prefix) for prefix in prefixes)),
        )

    @property
    def cidrs(self) -> frozenset[Cidr]:
        """All CIDRs and excepts."""
        return frozenset(cidr for block in self.blocks for cidr in (block.cidr, *block.excepts))

    def signature(self, address: Address) -> Hashable:
        """The terms that an address meets."""
        inside = tuple(number for number, block in enumerate(self.blocks) if block.contains(address))
        return address.version, self.groups.get(address), self.endpoints.get(address), inside


def blocks_of(direction: DirectionPolicy) -> Iterator[Block]:
    """The blocks in the rules of one direction."""
    for rule in direction.allows if isinstance(direction, Isolated | Audited) else ():
        if isinstance(rule, Allow) and isinstance(rule.peers, Peers):
            yield from rule.peers.blocks


def _prefixes(common: CommonRules) -> Iterable[Cidr]:
    return (*common.allow_src_prefixes, *common.allow_dst_prefixes)


def _gathered(pairs: Iterable[tuple[Address, _T]]) -> Mapping[Address, frozenset[_T]]:
    found: dict[Address, set[_T]] = defaultdict(set)
    for address, value in pairs:
        found[address].add(value)
    return {address: frozenset(values) for address, values in found.items()}
