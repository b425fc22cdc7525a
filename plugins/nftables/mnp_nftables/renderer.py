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
    CustomRules,
    Delta,
    Direction,
    Group,
    GroupDelta,
    InterfacePolicy,
    Isolated,
    KnownRules,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.unions import Union, changes
from mnp_nftables import terms
from mnp_nftables.blocks import list_changes, list_names
from mnp_nftables.chains import established_rules, interface_chains, unions_of
from mnp_nftables.custom import custom_chain, custom_rules, rule_lines
from mnp_nftables.frames import frame_chains, in_family, is_bridged
from mnp_nftables.names import ChainName, interface_name, is_writable
from mnp_nftables.policy_rules import LOOKUPS
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import Elements, SetName, command, elements, set_names
from mnp_nftables.structure import Structure, structure_of, with_frames
from mnp_nftables.transaction import (
    BASE_CHAINS,
    STATE_CHAIN,
    CustomChain,
    Places,
    chain_contents,
    content_of,
    messages_of,
    set_contents,
    text_of,
)
from mnp_nftables.unions import union_elements, union_name

DIALECT = "nftables"
_RECENT = 128  # sandboxes with many groups
_UNWRITABLE = "nft has no way to write this name: each %XX is a byte of it"


@frozen(kw_only=True)
class NftablesRuleset(Ruleset):
    """A ruleset with the messages and contents for its applier.

    Attributes:
        says: The text of `batch`; a ruleset with another `text` is refused.
        batch: The messages, custom rules apart.
        custom: Custom rules, compiled on the node that applies them.
        outline: Each chain and each named set, in the form for comparison.
        places: The parts of `batch`.
        frames: The table for bridged interfaces; None without one.
        table_digest: The digest of the table of family inet, where there is another one.
        differences: The ways to it from other rules, see `mnp_nftables.difference`.
    """

    says: str = field(repr=False)
    batch: Batch = field(repr=False)
    custom: tuple[CustomRules, ...] = ()
    outline: tuple[frozenset[bytes], frozenset[bytes]] = field(repr=False)
    places: Places = field(factory=dict, repr=False)
    frames: "NftablesRuleset | None" = field(default=None, repr=False)
    table_digest: str = ""
    structure: Structure | None = field(default=None, repr=False, eq=False)
    differences: dict[tuple[int, ...], tuple[KnownRules, Batch | None]] = field(factory=dict, repr=False, eq=False)

    @property
    def own_digest(self) -> str:
        """The digest of the table of family inet alone."""
        return self.table_digest or self.digest


class NftablesRenderer:
    """Writes policy for nftables; see `PolicyRenderer`, `SandboxDeltaRenderer`, `BlocksRenderer` in `mnp_core.api`."""

    def __init__(self) -> None:
        """Make a renderer, which remembers what it has worked out for the last sandboxes, and nothing else."""
        self._recent: dict[int, tuple[tuple[InterfacePolicy, ...], tuple[Union, ...]]] = {}

    def render(self, policy: SandboxPolicy) -> NftablesRuleset:
        """Write the complete ruleset of one sandbox.

        Raises:
            InputError: An interface name that the kernel does not take, a group or a custom rule that could break out
                of its place.
        """
        groups, unions = tuple(policy.groups.values()), self._unions(policy)
        members = {name: found for group in groups for name, found in elements(group).items()}
        members |= union_elements({union: union.members(policy.groups) for union in unions})
        lists = dict(_list_sets(policy))
        members |= {str(name): found for name, found in lists.items()}
        sets = [*(name for group in groups for name in set_names(group)), *map(union_name, unions), *lists]
        custom = tuple(rules for direction in Direction for rules in custom_rules(policy.common, direction))
        ruleset = _table(tuple(_chains(policy)), sets, members, custom)
        if not any(map(is_bridged, policy.interfaces)):
            return ruleset
        frames = _table(tuple(frame_chains(policy)), sets, members, custom, "bridge")
        frames = evolve(frames, batch=in_family(frames.batch))
        text = ruleset.text + frames.text
        digest = combined_digest(ruleset.digest, frames.digest)
        return evolve(
            ruleset,
            text=text,
            says=text,
            digest=digest,
            frames=frames,
            table_digest=ruleset.digest,
            structure=with_frames(ruleset.structure, frames.structure),
        )

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership; refused where a member that comes is there, or one that goes is not."""
        return _delta(_changed(delta.added), _changed(delta.removed))

    def render_blocks_delta(self, delta: BlocksDelta) -> Delta | None:
        """Write a change of the blocks of one rule; None where its lengths of prefixes or ranges change."""
        change = list_changes(delta)
        return _delta(*change) if change is not None else None

    def render_sandbox_delta(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> Delta | None:
        """Write the changes of unions."""
        unions = self._unions(policy)
        if not unions:
            return None
        change = changes(unions, deltas, policy.groups)
        return _delta(union_elements(change.added), union_elements(change.removed))

    def _unions(self, policy: SandboxPolicy) -> tuple[Union, ...]:
        """The unions of a sandbox, sorted; asked again for each change of membership, on each pod."""
        if len(policy.groups) <= LOOKUPS:
            return ()
        found = self._recent.get(id(policy.interfaces))
        if found is None:
            every = {str(union_name(union)): union for each in policy.interfaces for union in unions_of(each)}
            found = policy.interfaces, tuple(every[name] for name in sorted(every))
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[id(policy.interfaces)] = found
        return found[1]


def _list_sets(policy: SandboxPolicy) -> Iterator[tuple[SetName, frozenset[str]]]:
    """The sets of all lists of blocks, sorted by identity, with their elements."""
    for list_id, blocks in sorted(policy.block_lists.items(), key=lambda item: item[0]):
        yield from list_names(list_id, blocks)


def combined_digest(inet: str, bridge: str) -> str:
    """The digest of both tables."""
    return hashlib.sha256(f"{inet} {bridge}".encode()).hexdigest()


def _table(
    chains: tuple[Chain, ...],
    sets: Sequence[SetName],
    members: Elements,
    custom: tuple[CustomRules, ...],
    family: str = "inet",
) -> NftablesRuleset:
    """One table; both have all sets, so that a change of membership is the same for both. The batch is for inet."""
    custom_chains = [CustomChain(name=custom_chain(rules), lines=rule_lines(rules)) for rules in custom]
    content = content_of(sets, chains, custom_chains)
    batch, places = messages_of(sets, chains, custom_chains, members)
    names = {*BASE_CHAINS, *(chain.name for chain in chains), *(chain.name for chain in custom_chains)}
    digest = content.digest()
    text = f"{text_of(sets, chains, custom_chains, family)}{command('add', members, family)}# digest {digest}\n"
    return NftablesRuleset(
        dialect=DIALECT,
        text=text,
        says=text,
        sets=members,
        digest=digest,
        batch=batch,
        custom=custom,
        outline=(chain_contents(names), set_contents(sets)),
        places=places,
        structure=structure_of(content, sets, chains, custom),
    )


def _delta(added: Elements, removed: Elements) -> Delta:
    text = command("create", added) + command("delete", removed)
    return Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _changed(group: Group) -> dict[str, frozenset[str]]:
    return {name: found for name, found in elements(group).items() if found}


def _chains(policy: SandboxPolicy) -> Iterator[Chain]:
    yield Chain(name=STATE_CHAIN, rules=(Rule.of(terms.state("new")),))
    for name, (_, _, _, direction) in BASE_CHAINS.items():
        yield Chain(name=name, rules=tuple(_dispatch(policy, direction)))
    for interface in policy.interfaces:
        yield from interface_chains(interface, policy.common)


def _dispatch(policy: SandboxPolicy, direction: Direction) -> Iterator[Rule]:
    yield from established_rules(policy.interfaces, direction, policy.common)
    for interface in policy.interfaces:
        if isinstance(interface.of(direction), Isolated | Audited):
            yield _way(direction, interface_name(interface.interface, pod=policy.pod))


@lru_cache
def _way(direction: Direction, interface: str) -> Rule:
    chain = ChainName(direction=direction, interface=interface)
    remark = "" if is_writable(interface) else _UNWRITABLE
    return Rule.of(terms.interface(direction, interface) + terms.goto(str(chain)), remark=remark).prepare()
