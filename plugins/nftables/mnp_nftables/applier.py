"""Applies rulesets to the kernel of a sandbox, and reads them back.

A ruleset comes with its messages, made without reading the sandbox, so it takes one commit, and nothing that a process
in the pod has written is parsed on the way. The installed table is read only for comparison with the ruleset: there is
no stamp of the state in force that could be forged (S62, S63). After a replacement, leftover chains and sets are
deleted in a second commit, if there are any.

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import errno
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from attrs import evolve

from mnp_core.api import Support
from mnp_core.errors import ApplyError, InputError
from mnp_core.model import CommonRules, Delta, Direction, Installed, LinkPath, RuleCounter, RulePlace, Ruleset
from mnp_core.netfilter.batch import Batch, joined
from mnp_core.netfilter.kept import kept_socket
from mnp_core.netfilter.messages import NFPROTO_INET
from mnp_core.netfilter.netlink import OversizeError
from mnp_core.netfilter.nf_tables import generation
from mnp_core.netfilter.nfnetlink import RefusedError, SupersededError, UnansweredError, UnsettledError
from mnp_core.netfilter.remedies import describe, remedy
from mnp_nftables import bridge_support, frames, table
from mnp_nftables.commit_listener import announced_generation, listen_to_commits
from mnp_nftables.custom import PREFIX, custom_rules
from mnp_nftables.custom_rule_encoder import compile_rules, known_lines
from mnp_nftables.membership import change
from mnp_nftables.named_rules import counters_of, places_of
from mnp_nftables.renderer import NftablesRuleset, combined_digest
from mnp_nftables.rule import Chain
from mnp_nftables.sets import TABLE
from mnp_nftables.table import Outline, Whole
from mnp_nftables.transaction import CustomChain, after_removal, clearing, removal, with_rules

T = TypeVar("T")

RANK = 100
"""Before the backends that need kernel modules or programs of their own."""

_ATTEMPTS = 10
_PAUSE = 0.05  # seconds, about the time of a replacement
_GENERATIONS = 2**32
_PASSING = frozenset({errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR, errno.ENFILE, errno.EMFILE})
"""Refusals for lack of something: not for what is in the table, which stays."""
_WHY_NOT = {
    errno.EPERM: "no permission: run as root with CAP_NET_ADMIN",
    errno.EACCES: "no permission: run as root with CAP_NET_ADMIN",
}
_NO_REMEDY = "it is tried again"


class NftablesApplier:
    """Applies rulesets of the dialect ``nftables``; see `mnp_core.api.RuleApplier`."""

    def __init__(self) -> None:
        """Begin on a node without bridged interfaces, as far as this process knows."""
        self._has_frames = False

    def probe(self) -> Support:
        """Ask the kernel; changes nothing."""
        try:
            generation()
        except OSError as error:
            without = f"this kernel has no nf_tables ({error.strerror}): load the module nf_tables"
            return Support(usable=False, rank=RANK, detail=_WHY_NOT.get(error.errno or 0, without))
        return Support(usable=True, rank=RANK, detail=f"nf_tables, Linux {os.uname().release}")

    def check(self, common: CommonRules) -> None:
        """Compile the custom rules; see `mnp_core.api.CustomRuleChecker`."""
        compile_rules([each for direction in Direction for each in custom_rules(common, direction)])

    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours in one commit, then delete leftovers."""
        self.commit(ruleset)()

    def commit(self, ruleset: Ruleset) -> Callable[[], None]:
        """Replace everything of ours in one commit; the returned function deletes leftovers."""
        if not isinstance(ruleset, NftablesRuleset) or ruleset.says != ruleset.text:
            raise ApplyError("the text to apply was not written by NftablesRenderer: render it again")
        self._has_frames |= ruleset.frames is not None
        batch = _complete(ruleset)
        _replace(ruleset, batch)
        return lambda: _clear(ruleset, batch)

    def update(self, delta: Delta) -> bool:
        """Add and remove set elements in one commit; false if a foreign commit came during it."""
        batch = change(delta)
        if batch.data and self._has_frames and _asked(lambda: table.exists(TABLE, frames.FAMILY)):
            batch = joined((batch, frames.in_family(batch)))
        return not batch.data or _update(batch)

    def obstacle(self, path: LinkPath) -> str:
        """Try connection tracking on bridges; see `mnp_core.api.PathApplier`."""
        return bridge_support.obstacle() if path is LinkPath.BRIDGED else f"it does not reach {path.value} interfaces"

    def installed_paths(self) -> frozenset[LinkPath]:
        """Whether there is a table for bridged interfaces; see `mnp_core.api.PathApplier`."""
        found = _asked(lambda: table.exists(TABLE, frames.FAMILY))
        self._has_frames |= found
        return frozenset({LinkPath.BRIDGED}) if found else frozenset()

    def installed(self) -> Installed | None:
        """Read the installed table; an unreadable one counts as drift."""
        try:
            found = _asked(lambda: table.read_whole(TABLE, custom=PREFIX))
            bridge = _read_frames()
        except (UnsettledError, OversizeError):
            return Installed(digest="", sets={})
        if bridge is None:
            return None if found is None else Installed(digest=_digest(found), sets=found.members)
        self._has_frames = True
        if found is None or found.members != bridge.members:
            return Installed(digest="", sets={})
        digest = combined_digest(_digest(found), _digest(bridge, frames.translated))
        return Installed(digest=digest, sets=found.members)

    def generation(self) -> int:
        """The generation number of nf_tables in this namespace."""
        return _asked(generation)

    def watch(self) -> socket.socket:
        """Notifications of each commit in this namespace; see `mnp_core.api.RuleWatcher`."""
        try:
            return listen_to_commits()
        except OSError as error:
            raise ApplyError(f"commits cannot be listened to: {describe(error, _NO_REMEDY)}") from error

    def announced_generation(self, message: bytes) -> int | None:
        """The generation of a commit that `watch` announces; see `mnp_core.api.CommitAnnouncer`."""
        return announced_generation(message)

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in the chains of interfaces, in the order in which packets meet them."""
        rules = _asked(lambda: table.read_counters(TABLE))
        if _asked(lambda: table.exists(TABLE, frames.FAMILY)):
            rules += _asked(lambda: table.read_counters(TABLE, frames.FAMILY))
        return [counter for rule in rules for counter in counters_of(rule)]

    def places(self) -> Sequence[RulePlace]:
        """All rules of ours; see `mnp_core.api.RuleLocator`."""
        found = list(places_of(_asked(lambda: table.read_places(TABLE)), bridged=False))
        if _asked(lambda: table.exists(TABLE, frames.FAMILY)):
            found += places_of(_asked(lambda: table.read_places(TABLE, frames.FAMILY)), bridged=True)
        return found

    def remove(self) -> None:
        """Delete our tables."""
        _remove(removal())
        if _asked(lambda: table.exists(TABLE, frames.FAMILY)):
            _remove(frames.in_family(removal()))


def _remove(batch: Batch) -> None:
    try:
        _commit(batch)
    except RefusedError as refused:
        if refused.code != errno.ENOENT:
            raise _refusal(refused) from refused
    except UnansweredError as error:
        if any(_asked(partial(table.exists, TABLE, family)) for family in batch.families):
            raise _unanswered(error) from error


def _read_frames() -> Whole | None:
    if not _asked(lambda: table.exists(TABLE, frames.FAMILY)):
        return None
    return _asked(lambda: table.read_whole(TABLE, custom=PREFIX, family=frames.FAMILY))


def _asked(question: Callable[[], T]) -> T:
    """Call the kernel; its errors become `ApplyError`, with their remedies."""
    try:
        return question()
    except OSError as error:
        raise ApplyError(f"nf_tables does not answer: {describe(error, _NO_REMEDY)}") from error


def _refusal(refused: RefusedError) -> ApplyError:
    return ApplyError(f"nf_tables refuses {refused}: {remedy(refused.code) or 'look at the other rules in this pod'}")


def _unanswered(error: UnansweredError) -> ApplyError:
    return ApplyError(f"the answer of nf_tables was lost ({error}), and nothing has changed: {_NO_REMEDY}")


def _commit(batch: Batch, before: int | None = None) -> None:
    """Run a transaction; errors as `Nfnetlink.commit`, but an `OSError` becomes `ApplyError`."""

    def commit() -> None:
        with kept_socket() as kernel:
            kernel.commit(batch, before)

    _asked(commit)


# --- replacing --------------------------------------------------------------------------------------------------------


def _complete(ruleset: NftablesRuleset) -> Batch:
    """All messages: custom rules, which are compiled once, come last in each table."""
    try:
        chains = compile_rules(ruleset.custom).chains if ruleset.custom else ()
    except InputError as error:
        raise ApplyError(str(error)) from error
    batch = with_rules(ruleset.batch, chains) if chains else ruleset.batch
    if ruleset.frames is None:
        return batch
    rules = frames.in_family(with_rules(Batch(), map(frames.translated, chains))) if chains else Batch()
    return joined((batch, ruleset.frames.batch, rules))


def _replace(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Run the transaction on the table that exists; if that is in its way, delete it in the same commit.

    An object with one of our names but another type or hook (from another process, or another version of this plugin)
    cannot be taken over. Then the table is deleted and made in one commit, with the small gap that the renderer avoids
    otherwise; never for lack of memory, nor where something is missing: no removal brings that.
    """
    try:
        _run(ruleset, batch)
    except RefusedError as refused:
        if refused.code in _PASSING or refused.code == errno.ENOENT:
            raise _refusal(refused) from None
        try:
            _run(ruleset, after_removal(batch))
        except RefusedError:
            raise _refusal(refused) from None


def _run(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Run a transaction; after a lost answer, check whether it is in force."""
    try:
        _commit(batch)
    except UnansweredError as error:
        if not is_in_force(ruleset):
            raise _unanswered(error) from error


def is_in_force(ruleset: NftablesRuleset) -> bool:
    """Whether a ruleset is in force for packets, leftovers aside."""
    found = _asked(lambda: table.read_whole(TABLE, custom=PREFIX))
    if found is None or not _is_table_in_force(found, ruleset):
        return False
    if ruleset.frames is None:
        return True
    bridge = _read_frames()
    return bridge is not None and _is_table_in_force(bridge, ruleset.frames, frames.translated)


def _is_table_in_force(
    found: Whole, ruleset: NftablesRuleset, translate: Callable[[Chain], Chain] | None = None
) -> bool:
    chains, sets = ruleset.outline
    ours = evolve(
        found.content,
        chains=tuple(each for each in found.content.chains if each in chains),
        sets=tuple(each for each in found.content.sets if each in sets),
    )
    members = {name: found.members.get(name) for name in ruleset.sets}
    return members == ruleset.sets and _digest(evolve(found, content=ours), translate) == ruleset.own_digest


def _clear(ruleset: NftablesRuleset, batch: Batch) -> None:
    """Delete objects that are not in the ruleset; replace the table if a name of the ruleset is taken otherwise."""
    for attempt in range(_ATTEMPTS):
        with suppress(SupersededError):
            _clear_once(ruleset, batch)
            return
        time.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311 # random, so that two agents do not disturb each other for ever
    raise ApplyError("leftovers cannot be removed:  a process in the pod changes nf_tables all the time")


def _clear_once(ruleset: NftablesRuleset, batch: Batch) -> None:
    _clear_table(ruleset, batch)
    if ruleset.frames is not None:
        _clear_table(ruleset.frames, batch, frames.FAMILY)
    elif _asked(lambda: table.exists(TABLE, frames.FAMILY)):
        _remove(frames.in_family(removal()))


def _clear_table(ruleset: NftablesRuleset, batch: Batch, family: int = NFPROTO_INET) -> None:
    try:
        found = _asked(lambda: table.read_outline(TABLE, family))
    except OversizeError:
        _replace_anew(batch)
        raise
    if found is None or not _holds(found, ruleset):
        _replace_anew(batch)
        return
    chains, sets = ruleset.outline
    left = clearing(
        (each.handle for each in found.sets if each.content not in sets),
        (each.handle for each in found.chains if each.content not in chains),
    )
    if left.data:
        try:
            _commit(left.in_family(family), found.generation)
        except UnansweredError as error:
            raise SupersededError from error  # look at the leftovers again
        except RefusedError as refused:
            if refused.code in _PASSING:
                raise _refusal(refused) from refused
            _replace_anew(batch)  # the leftovers hold each other, by references


def _holds(found: Outline, ruleset: NftablesRuleset) -> bool:
    """Whether all chains and sets of the ruleset exist as it defines them."""
    chains, sets = ({each.content for each in parts} for parts in (found.chains, found.sets))
    wanted = ruleset.outline
    return wanted[0] <= chains and wanted[1] <= sets and not any(found.flags)


def _replace_anew(batch: Batch) -> None:
    try:
        _commit(after_removal(batch))
    except RefusedError as refused:
        raise _refusal(refused) from refused
    except UnansweredError as error:
        raise _unanswered(error) from error


# --- reading ----------------------------------------------------------------------------------------------------------


def _digest(found: Whole, translate: Callable[[Chain], Chain] | None = None) -> str:
    """The digest of an installed table; custom rules count as the lines that they were compiled from."""
    known = known_lines(found.custom, translate)
    custom = ((name, CustomChain(name=name, lines=lines).content()) for name, lines in known)
    return evolve(found.content, rules=(*found.content.rules, *custom)).digest()


# --- membership -------------------------------------------------------------------------------------------------------


def _update(batch: Batch) -> bool:
    """Change membership; return whether no other commit came between."""
    alone = True
    try:
        for _ in range(_ATTEMPTS):
            before = _asked(generation)
            with suppress(SupersededError):
                _commit(batch, before)
                return alone and _asked(generation) == _next(before)
            alone = False
    except RefusedError as error:
        raise ApplyError(f"nf_tables refused the change of membership of {error}") from error
    except UnansweredError as error:
        raise ApplyError(f"the answer of nf_tables was lost ({error}): list the rules there") from error
    raise ApplyError("another process changes the packet filter all the time")


def _next(generation: int) -> int:
    """The number after one commit: the kernel leaves 0 out."""
    return (generation + 1) % _GENERATIONS or 1
