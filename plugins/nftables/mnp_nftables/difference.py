"""The difference between the rules in force and a ruleset, as one transaction (S60).

A ruleset mostly differs from the one before in few chains: those are emptied and filled again, and all else stays
untouched, members of sets included. No handle is needed, and nothing is read: the rules in force are known, and the
kernel refuses the transaction in any generation but theirs. What is made must not be there yet, elements that come must
not and those that go must be, so that a mistake about the rules in force is refused as well.
"""

from collections.abc import Container, Iterable, Mapping

from mnp_core.model import KnownRules
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import text_attribute
from mnp_core.netfilter.batch import Batch, BatchWriter, joined
from mnp_core.netfilter.messages import (
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_SET,
    EXCLUSIVE,
)
from mnp_nftables import frames
from mnp_nftables.definition import TableDefinition
from mnp_nftables.membership import write_changes
from mnp_nftables.renderer import NftablesRuleset
from mnp_nftables.sets import TABLE, Elements
from mnp_nftables.structure import Structure
from mnp_nftables.transaction import add_chain, add_rules, add_set

_OURS = text_attribute(uapi.NFTA_TABLE_NAME, TABLE)
_NONE = frozenset[str]()


def difference(before: KnownRules, ruleset: NftablesRuleset) -> Batch | None:
    """The transaction that makes the ruleset out of the rules in force; None where it has to be written as a whole.

    That is where custom rules differ, which are compiled elsewhere, or one of both has no table for bridged interfaces.
    Pods with equal rules share it.
    """
    key = id(before.structure), *map(id, before.sets.values())
    if key not in ruleset.differences:
        ruleset.differences[key] = before, _difference(before, ruleset)  # holds the objects that the key identifies
    return ruleset.differences[key][1]


def _difference(before: KnownRules, ruleset: NftablesRuleset) -> Batch | None:
    old = before.structure
    if not isinstance(old, Structure) or (old.frames is None) != (ruleset.frames is None):
        return None
    tables = [(old, ruleset.table)]
    if old.frames is not None and ruleset.frames is not None:
        tables.append((old.frames, ruleset.frames))
    batches = list[Batch]()
    for structure, wanted in tables:
        if structure.custom != wanted.custom or _differ(structure.sets, wanted.structure.sets):
            return None
        batch = _of_table(structure, wanted, before.sets)
        batches.append(frames.in_family(batch) if batches else batch)
    return batches[0] if len(batches) == 1 else joined(batches)


def _of_table(old: Structure, wanted: TableDefinition, members: Elements) -> Batch:
    """What is new comes first, since changed chains refer to it, and what goes comes last."""
    writer, new = BatchWriter(), wanted.structure
    changed = [chain for chain in wanted.chains if old.chains.get(chain.name) != chain.digest]
    gone = _missing(old.chains, new.chains)
    for each in wanted.sets:
        if str(each) not in old.sets:
            add_set(writer, each, EXCLUSIVE)
    for name in _missing((chain.name for chain in changed), old.chains):
        add_chain(writer, name, EXCLUSIVE)
    for name in (*(chain.name for chain in changed), *gone):
        if name in old.chains:
            writer.add(DELETE_RULE, 0, _OURS, text_attribute(uapi.NFTA_RULE_CHAIN, name))
    add_rules(writer, changed)
    _change_members(writer, members, wanted.members)
    for name in gone:
        writer.add(DELETE_CHAIN, 0, _OURS, text_attribute(uapi.NFTA_CHAIN_NAME, name))
    for name in _missing(old.sets, new.sets):
        writer.add(DELETE_SET, 0, _OURS, text_attribute(uapi.NFTA_SET_NAME, name))
    return writer.batch()


def _missing(names: Iterable[str], there: Container[str]) -> list[str]:
    return [name for name in names if name not in there]


def _differ(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """Whether a set of one name is another one."""
    return any(name in old and old[name] != content for name, content in new.items())


def _change_members(writer: BatchWriter, old: Elements, new: Elements) -> None:
    added, removed = dict[str, frozenset[str]](), dict[str, frozenset[str]]()
    for name, wanted in new.items():
        found = old.get(name, _NONE)
        if found is not wanted and found != wanted:
            added[name], removed[name] = wanted - found, found - wanted
    write_changes(writer, added, removed)
