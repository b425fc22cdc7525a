"""Write a sandbox's policy as one nftables transaction: as text, and as messages with the same meaning.

It replaces our rules in force in one commit, without knowing them (S60). It does not delete the table and make it
anew, which looks simpler: the old and the new base chain would then be two hooks, and a packet that meets the commit
can pass the new one while it is still empty and the old one when it is empty already. (It happens: 8 of 1.5 million
packets of a denied flow, in 300 replacements, on 6.18.) A base chain that stays is left by a packet with either all of
the old rules or all of the new ones. It dispatches by comparing interface names in rules, for the same reason: the
elements of an anonymous verdict map go with the old generation, and a packet between both finds none (2 of 1.7
million). Leftover chains and sets are deleted by the applier, afterwards.

Ingress is judged before routing, so that one chain covers local input and forwarded packets (S47): after
defragmentation (-400, S46) and connection tracking (-200, S40), before any address translation (-100), on the interface
that the packet came in on, even one that a VRF enslaves. Egress is judged for local output and forwarded packets, where
a packet can still be rejected (S48). A packet that is allowed ends our base chain and no other (S49).
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

from attrs import evolve, field, frozen

from mnp_core.model import (
    Audited,
    BlocksDelta,
    Delta,
    Direction,
    EstablishedFlows,
    Group,
    GroupDelta,
    Isolated,
    KnownRules,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.netfilter.batch import Batch, joined
from mnp_core.netfilter.unions import SandboxUnions, Union
from mnp_nftables import terms
from mnp_nftables.blocks import list_changes, list_names
from mnp_nftables.chains import established_rules, interface_chains, unions_of
from mnp_nftables.custom import custom_rules
from mnp_nftables.definition import TableDefinition
from mnp_nftables.frames import frame_chains, is_bridged
from mnp_nftables.names import ChainName, interface_name, is_writable
from mnp_nftables.policy_rules import LOOKUPS
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import Elements, SetName, command, elements, set_names
from mnp_nftables.structure import Structure
from mnp_nftables.transaction import BASE_CHAINS, STATE_CHAIN
from mnp_nftables.unions import union_elements, union_name

DIALECT = "nftables"
_UNWRITABLE = "nft has no way to write this name: each %XX is a byte of it"


@frozen(kw_only=True)
class NftablesRuleset(Ruleset):
    """A ruleset with its tables, for its applier.

    Attributes:
        says: The text of its tables; a ruleset with another `text` is refused.
        table: The table of family inet.
        frames: The table for bridged interfaces; None without one.
        differences: The ways to it from other rules, see `mnp_nftables.difference`.
    """

    says: str = field(repr=False)
    table: TableDefinition = field(repr=False, eq=False)
    frames: TableDefinition | None = field(default=None, repr=False, eq=False)
    differences: dict[tuple[int, ...], tuple[KnownRules, Batch | None]] = field(factory=dict, repr=False, eq=False)

    @property
    def batch(self) -> Batch:
        """The messages of both tables, custom rules apart."""
        return self.table.batch if self.frames is None else joined((self.table.batch, self.frames.batch))


class NftablesRenderer:
    """Writes policy for nftables; see `PolicyRenderer`, `SandboxDeltaRenderer`, `BlocksRenderer` in `mnp_core.api`."""

    def __init__(self) -> None:
        """Make a renderer, which remembers what it has worked out for the last sandboxes, and nothing else."""
        self._unions = SandboxUnions(_unions_of, LOOKUPS)

    def render(self, policy: SandboxPolicy) -> NftablesRuleset:
        """Write the complete ruleset of one sandbox.

        Raises:
            InputError: An interface name that the kernel does not take, a group or a custom rule that could break out
                of its place.
        """
        groups, unions = tuple(policy.groups.values()), self._unions.of(policy)
        members = {name: found for group in groups for name, found in elements(group).items()}
        members |= union_elements({union: union.members(policy.groups) for union in unions})
        lists = dict(_list_sets(policy))
        members |= {str(name): found for name, found in lists.items()}
        sets = [*(name for group in groups for name in set_names(group)), *map(union_name, unions), *lists]
        custom = tuple(rules for direction in Direction for rules in custom_rules(policy.common, direction))
        table = TableDefinition(sets=sets, chains=tuple(_chains(policy)), custom=custom, members=members)
        if not any(map(is_bridged, policy.interfaces)):
            return _ruleset(table, table.text, table.digest, table.structure)
        # both have all sets, so that a change of membership is the same for both
        frames = evolve(table, family="bridge", chains=tuple(frame_chains(policy)))
        digest, structure = combined_digest(table.digest, frames.digest), table.structure.with_frames(frames.structure)
        return evolve(_ruleset(table, table.text + frames.text, digest, structure), frames=frames)

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership; refused where a member that comes is there, or one that goes is not."""
        return _delta(_changed(delta.added), _changed(delta.removed))

    def render_blocks_delta(self, delta: BlocksDelta) -> Delta | None:
        """Write a change of the blocks of one rule; None where its lengths of prefixes or ranges change."""
        change = list_changes(delta)
        return _delta(*change) if change is not None else None

    def render_sandbox_delta(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> Delta | None:
        """Write the changes of unions."""
        change = self._unions.changes(deltas, policy)
        return _delta(union_elements(change.added), union_elements(change.removed)) if change is not None else None


def _unions_of(policy: SandboxPolicy) -> tuple[Union, ...]:
    every = {str(union_name(union)): union for each in policy.interfaces for union in unions_of(each)}
    return tuple(every[name] for name in sorted(every))


def _list_sets(policy: SandboxPolicy) -> Iterator[tuple[SetName, frozenset[str]]]:
    """The sets of all lists of blocks, sorted by identity, with their elements."""
    for list_id, blocks in sorted(policy.block_lists.items(), key=lambda item: item[0]):
        yield from list_names(list_id, blocks)


def combined_digest(inet: str, bridge: str) -> str:
    """The digest of both tables."""
    return hashlib.sha256(f"{inet} {bridge}".encode()).hexdigest()


def _ruleset(table: TableDefinition, text: str, digest: str, structure: Structure) -> NftablesRuleset:
    return NftablesRuleset(
        dialect=DIALECT, text=text, says=text, sets=table.members, digest=digest, table=table, structure=structure
    )


def _delta(added: Elements, removed: Elements) -> Delta:
    text = command("create", added) + command("delete", removed)
    return Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _changed(group: Group) -> dict[str, frozenset[str]]:
    return {name: found for name, found in elements(group).items() if found}


def _chains(policy: SandboxPolicy) -> Iterator[Chain]:
    yield _state_chain()
    for name, (_, _, _, direction) in BASE_CHAINS.items():
        isolated = (each for each in policy.interfaces if isinstance(each.of(direction), Isolated | Audited))
        interfaces = tuple(interface_name(each.interface, pod=policy.pod) for each in isolated)
        yield _base_chain(name, direction, interfaces, policy.common.established_flows)
    for interface in policy.interfaces:
        yield from interface_chains(interface, policy.common)


@lru_cache
def _state_chain() -> Chain:
    return Chain(name=STATE_CHAIN, rules=(Rule.of(terms.state("new")).prepare(),))


@lru_cache
def _base_chain(name: str, direction: Direction, isolated: Sequence[str], established: EstablishedFlows) -> Chain:
    first = established_rules(established) if isolated else ()
    return Chain(name=name, rules=(*first, *(_way(direction, interface) for interface in isolated)))


@lru_cache
def _way(direction: Direction, interface: str) -> Rule:
    chain = ChainName(direction=direction, interface=interface)
    remark = "" if is_writable(interface) else _UNWRITABLE
    return Rule.of(terms.interface(direction, interface) + terms.goto(str(chain)), remark=remark).prepare()
