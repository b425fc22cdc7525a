"""Applies rulesets to the kernel of a sandbox, and reads them back.

A ruleset comes with its messages, made without reading the sandbox, so it takes one commit, and nothing that a process
in the pod has written is parsed on the way. The installed table is read only for comparison with the ruleset: there is
no stamp of the state in force that could be forged (S62, S63). After a replacement, leftover chains and sets are
deleted in a second commit, if there are any.

All but differences happens in the network namespace of the calling thread. One applier serves all threads.
"""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from mnp_core.api import Sandbox, Support
from mnp_core.errors import ApplyError
from mnp_core.model import (
    CommonRules,
    Delta,
    Direction,
    Installed,
    KnownRules,
    LinkPath,
    RuleCounter,
    RulePlace,
    Ruleset,
)
from mnp_core.netfilter.batch import Batch, joined
from mnp_core.netfilter.netlink import OversizeError
from mnp_core.netfilter.nf_tables import generation
from mnp_core.netfilter.nfnetlink import RefusedError, SupersededError, UnansweredError, UnsettledError
from mnp_core.netfilter.remedies import describe
from mnp_nftables import bridge_support, frames, table
from mnp_nftables.commit_listener import announced_generation, listen_to_commits
from mnp_nftables.commits import NO_REMEDY, asked, commit, commit_on, following
from mnp_nftables.custom import PREFIX, custom_rules
from mnp_nftables.custom_rule_encoder import compile_rules
from mnp_nftables.difference import difference
from mnp_nftables.membership import SharedChanges, change
from mnp_nftables.named_rules import counters_of, places_of
from mnp_nftables.renderer import NftablesRuleset, combined_digest
from mnp_nftables.replacement import clear, complete, digest_of, read_frames, remove_tables, replace
from mnp_nftables.sets import TABLE
from mnp_nftables.structure import Structure
from mnp_nftables.transaction import removal

RANK = 100
"""Before the backends that need kernel modules or programs of their own."""

_ATTEMPTS = 10
_WHY_NOT = {
    errno.EPERM: "no permission: run as root with CAP_NET_ADMIN",
    errno.EACCES: "no permission: run as root with CAP_NET_ADMIN",
}


class NftablesApplier:
    """Applies rulesets of the dialect ``nftables``; see `mnp_core.api.RuleApplier`."""

    def __init__(self) -> None:
        """Begin on a node without bridged interfaces, as far as this process knows."""
        self._has_frames = False
        self._changes = SharedChanges()

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
        ruleset = _written(ruleset)
        self._has_frames |= ruleset.frames is not None
        batch = complete(ruleset)
        replace(ruleset, batch)
        return lambda: clear(ruleset, batch)

    def update(self, delta: Delta) -> bool:
        """Add and remove set elements in one commit; false if a foreign commit came during it."""
        batch = change(delta)
        if batch.data and self._has_frames and asked(lambda: table.exists(TABLE, frames.FAMILY)):
            batch = joined((batch, frames.in_family(batch)))
        return not batch.data or _update(batch)

    def commit_difference(self, sandbox: Sandbox, before: KnownRules, ruleset: Ruleset, generation: int) -> int | None:
        """Replace what differs in one commit; see `mnp_core.api.DifferenceApplier`."""
        batch = difference(before, _written(ruleset))
        return commit_on(sandbox, batch, generation) if batch is not None else None

    def commit_members(
        self, sandbox: Sandbox, before: KnownRules, deltas: Sequence[Delta], generation: int
    ) -> int | None:
        """Add and remove set elements in one commit; see `mnp_core.api.DifferenceApplier`."""
        batch = self._changes(deltas)
        if isinstance(before.structure, Structure) and before.structure.frames is not None:
            batch = joined((batch, frames.in_family(batch)))
        return commit_on(sandbox, batch, generation)

    def obstacle(self, path: LinkPath) -> str:
        """Try connection tracking on bridges; see `mnp_core.api.PathApplier`."""
        return bridge_support.obstacle() if path is LinkPath.BRIDGED else f"it does not reach {path.value} interfaces"

    def installed_paths(self) -> frozenset[LinkPath]:
        """Whether there is a table for bridged interfaces; see `mnp_core.api.PathApplier`."""
        found = asked(lambda: table.exists(TABLE, frames.FAMILY))
        self._has_frames |= found
        return frozenset({LinkPath.BRIDGED}) if found else frozenset()

    def installed(self) -> Installed | None:
        """Read the installed table; an unreadable one counts as drift."""
        try:
            found = asked(lambda: table.read_whole(TABLE, custom=PREFIX))
            bridge = read_frames()
        except (UnsettledError, OversizeError):
            return Installed(digest="", sets={})
        if bridge is None:
            return None if found is None else Installed(digest=digest_of(found), sets=found.members)
        self._has_frames = True
        if found is None or found.members != bridge.members:
            return Installed(digest="", sets={})
        digest = combined_digest(digest_of(found), digest_of(bridge, frames.translated))
        return Installed(digest=digest, sets=found.members)

    def generation(self) -> int:
        """The generation number of nf_tables in this namespace."""
        return asked(generation)

    def watch(self) -> socket.socket:
        """Notifications of each commit in this namespace; see `mnp_core.api.RuleWatcher`."""
        try:
            return listen_to_commits()
        except OSError as error:
            raise ApplyError(f"commits cannot be listened to: {describe(error, NO_REMEDY)}") from error

    def announced_generation(self, message: bytes) -> int | None:
        """The generation of a commit that `watch` announces; see `mnp_core.api.CommitAnnouncer`."""
        return announced_generation(message)

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in the chains of interfaces, in the order in which packets meet them."""
        rules = asked(lambda: table.read_counters(TABLE))
        if asked(lambda: table.exists(TABLE, frames.FAMILY)):
            rules += asked(lambda: table.read_counters(TABLE, frames.FAMILY))
        return [counter for rule in rules for counter in counters_of(rule)]

    def places(self) -> Sequence[RulePlace]:
        """All rules of ours; see `mnp_core.api.RuleLocator`."""
        found = list(places_of(asked(lambda: table.read_places(TABLE)), bridged=False))
        if asked(lambda: table.exists(TABLE, frames.FAMILY)):
            found += places_of(asked(lambda: table.read_places(TABLE, frames.FAMILY)), bridged=True)
        return found

    def remove(self) -> None:
        """Delete our tables."""
        remove_tables(removal())
        if asked(lambda: table.exists(TABLE, frames.FAMILY)):
            remove_tables(frames.in_family(removal()))


def _written(ruleset: Ruleset) -> NftablesRuleset:
    if not isinstance(ruleset, NftablesRuleset) or ruleset.says != ruleset.text:
        raise ApplyError("the text to apply was not written by NftablesRenderer: render it again")
    return ruleset


# --- membership -------------------------------------------------------------------------------------------------------


def _update(batch: Batch) -> bool:
    """Change membership; return whether no other commit came between."""
    alone = True
    try:
        for _ in range(_ATTEMPTS):
            before = asked(generation)
            with suppress(SupersededError):
                commit(batch, before)
                return alone and asked(generation) == following(before)
            alone = False
    except RefusedError as error:
        raise ApplyError(f"nf_tables refused the change of membership of {error}") from error
    except UnansweredError as error:
        raise ApplyError(f"the answer of nf_tables was lost ({error}): list the rules there") from error
    raise ApplyError("another process changes the packet filter all the time")
