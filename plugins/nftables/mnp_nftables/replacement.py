"""Replacements of everything of ours in a sandbox: one commit, and the deletion of leftovers afterwards."""

import errno
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from attrs import evolve

from mnp_core.errors import ApplyError, InputError
from mnp_core.netfilter.batch import Batch, joined
from mnp_core.netfilter.messages import NFPROTO_INET
from mnp_core.netfilter.netlink import OversizeError
from mnp_core.netfilter.nfnetlink import RefusedError, SupersededError, UnansweredError
from mnp_nftables import frames, table
from mnp_nftables.commits import PASSING, asked, commit, refusal, unanswered
from mnp_nftables.custom import PREFIX
from mnp_nftables.custom_rule_encoder import compile_rules, known_lines
from mnp_nftables.definition import TableDefinition
from mnp_nftables.renderer import NftablesRuleset
from mnp_nftables.rule import Chain
from mnp_nftables.sets import TABLE
from mnp_nftables.table import Outline, Whole
from mnp_nftables.transaction import CustomChain, after_removal, clearing, removal, with_rules

_ATTEMPTS = 10
_PAUSE = 0.05  # seconds, about the time of a replacement


def complete(ruleset: NftablesRuleset) -> Batch:
    """All messages: custom rules, which are compiled once, come last in each table."""
    try:
        custom = ruleset.table.custom
        chains = compile_rules(custom).chains if custom else ()
    except InputError as error:
        raise ApplyError(str(error)) from error
    batch = with_rules(ruleset.table.batch, chains) if chains else ruleset.table.batch
    if ruleset.frames is None:
        return batch
    rules = frames.in_family(with_rules(Batch(), map(frames.translated, chains))) if chains else Batch()
    return joined((batch, ruleset.frames.batch, rules))


def replace(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Run the transaction on the table that exists; if that is in its way, delete it in the same commit.

    An object with one of our names but another type or hook (from another process, or another version of this plugin)
    cannot be taken over. Then the table is deleted and made in one commit, with the small gap that the renderer avoids
    otherwise; never for lack of memory, nor where something is missing: no removal brings that.
    """
    try:
        _run(ruleset, batch)
    except RefusedError as refused:
        if refused.code in PASSING or refused.code == errno.ENOENT:
            raise refusal(refused) from None
        try:
            _run(ruleset, after_removal(batch))
        except RefusedError:
            raise refusal(refused) from None


def _run(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Run a transaction; after a lost answer, check whether it is in force."""
    try:
        commit(batch)
    except UnansweredError as error:
        if not is_in_force(ruleset):
            raise unanswered(error) from error


def is_in_force(ruleset: NftablesRuleset) -> bool:
    """Whether a ruleset is in force for packets, leftovers aside."""
    found = asked(lambda: table.read_whole(TABLE, custom=PREFIX))
    if found is None or not _is_table_in_force(found, ruleset.table):
        return False
    if ruleset.frames is None:
        return True
    bridge = read_frames()
    return bridge is not None and _is_table_in_force(bridge, ruleset.frames, frames.translated)


def _is_table_in_force(
    found: Whole, wanted: TableDefinition, translate: Callable[[Chain], Chain] | None = None
) -> bool:
    chains, sets = wanted.outline
    ours = evolve(
        found.content,
        chains=tuple(each for each in found.content.chains if each in chains),
        sets=tuple(each for each in found.content.sets if each in sets),
    )
    members = {name: found.members.get(name) for name in wanted.members}
    return members == wanted.members and digest_of(evolve(found, content=ours), translate) == wanted.digest


def clear(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Delete objects that are not in the ruleset; replace the table if a name of the ruleset is taken otherwise."""
    for attempt in range(_ATTEMPTS):
        with suppress(SupersededError):
            _clear_once(ruleset, batch)
            return
        time.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311 # random, so that two agents do not disturb each other for ever
    raise ApplyError("leftovers cannot be removed:  a process in the pod changes nf_tables all the time")


def _clear_once(ruleset: NftablesRuleset, batch: Batch) -> None:
    _clear_table(ruleset.table, batch)
    if ruleset.frames is not None:
        _clear_table(ruleset.frames, batch, frames.FAMILY)
    elif asked(lambda: table.exists(TABLE, frames.FAMILY)):
        remove_tables(frames.in_family(removal()))


def _clear_table(wanted: TableDefinition, batch: Batch, family: int = NFPROTO_INET) -> None:
    try:
        found = asked(lambda: table.read_outline(TABLE, family))
    except OversizeError:
        _replace_anew(batch)
        raise
    if found is None or not _holds(found, wanted):
        _replace_anew(batch)
        return
    chains, sets = wanted.outline
    left = clearing(
        (each.handle for each in found.sets if each.content not in sets),
        (each.handle for each in found.chains if each.content not in chains),
    )
    if left.data:
        try:
            commit(left.in_family(family), found.generation)
        except UnansweredError as error:
            raise SupersededError from error  # look at the leftovers again
        except RefusedError as refused:
            if refused.code in PASSING:
                raise refusal(refused) from refused
            _replace_anew(batch)  # the leftovers hold each other, by references


def _holds(found: Outline, wanted: TableDefinition) -> bool:
    """Whether all chains and sets of the table exist as it defines them."""
    there = ({each.content for each in parts} for parts in (found.chains, found.sets))
    return all(ours <= parts for ours, parts in zip(wanted.outline, there, strict=True)) and not any(found.flags)


def _replace_anew(batch: Batch) -> None:
    try:
        commit(after_removal(batch))
    except RefusedError as refused:
        raise refusal(refused) from refused
    except UnansweredError as error:
        raise unanswered(error) from error


def read_frames() -> Whole | None:
    """Read the table for bridged interfaces; None without one."""
    if not asked(lambda: table.exists(TABLE, frames.FAMILY)):
        return None
    return asked(lambda: table.read_whole(TABLE, custom=PREFIX, family=frames.FAMILY))


def digest_of(found: Whole, translate: Callable[[Chain], Chain] | None = None) -> str:
    """The digest of an installed table; custom rules count as the lines that they were compiled from."""
    known = known_lines(found.custom, translate)
    custom = ((name, CustomChain(name=name, lines=lines).content()) for name, lines in known)
    return evolve(found.content, rules=(*found.content.rules, *custom)).digest()


def remove_tables(batch: Batch) -> None:
    """Run a transaction that removes tables; no error if there are none.

    Raises:
        ApplyError: Refused, or not answered.
    """
    try:
        commit(batch)
    except RefusedError as refused:
        if refused.code != errno.ENOENT:
            raise refusal(refused) from refused
    except UnansweredError as error:
        if any(asked(partial(table.exists, TABLE, family)) for family in batch.families):
            raise unanswered(error) from error
