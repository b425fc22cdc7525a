"""Put rulesets into the kernel of a sandbox, and tell what is there.

Two stamps stand in the table, as comments in a chain that no packet reaches. The digest is part of the ruleset's own
transaction: it says which ruleset this is (S62). The fingerprint follows in a second one: it says what the kernel made
of the ruleset, handles included, so that any later change of a rule, chain, set or hook is seen by whoever reads the
table next, in whatever process (S63). Without a fingerprint that fits, a table counts as changed; that is also what a
crash between both transactions leaves. Membership is not stamped but read.

Everything happens in the network namespace of the calling thread. An applier has no state: one serves all threads.
"""

import errno
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from mnp_core.api import Support
from mnp_core.errors import ApplyError, DisturbedError, UnsupportedError
from mnp_core.model import Delta, Installed, RuleCounter, Ruleset
from mnp_nftables import libnftables, table
from mnp_nftables.commits import listen_to_commits
from mnp_nftables.generation import generation
from mnp_nftables.membership import messages
from mnp_nftables.names import ChainName, comment_text
from mnp_nftables.netlink import Connection, Message, RefusedError, SupersededError
from mnp_nftables.renderer import BASE_CHAINS, DIGEST_STAMP, STATE_CHAIN, STATE_RULE, TABLE
from mnp_nftables.table import Rule, Table

T = TypeVar("T")

RANK = 100
"""Before the backends that need kernel modules or programs of their own."""

_FINGERPRINT_STAMP = "fingerprint "
_ATTEMPTS = 10
_PAUSE = 0.05  # seconds, about what a replacement takes
_GENERATIONS = 2**32
_DELETE = f"table inet {TABLE} {{\n}}\ndelete table inet {TABLE}\n"
_WHY_NOT = {
    errno.EPERM: "no permission: run as root with CAP_NET_ADMIN",
    errno.EACCES: "no permission: run as root with CAP_NET_ADMIN",
}


class _DisturbedError(Exception):
    """Somebody else committed meanwhile."""


class NftablesApplier:
    """Applies rulesets of the dialect ``nftables``; see `mnp_core.api.RuleApplier`."""

    def probe(self) -> Support:
        """Ask the library and the kernel; changes nothing."""
        try:
            libnftables.load()
            generation()
        except UnsupportedError as error:
            return Support(usable=False, rank=RANK, detail=str(error))
        except OSError as error:
            without = f"this kernel has no nf_tables ({error.strerror}): load the module nf_tables"
            return Support(usable=False, rank=RANK, detail=_WHY_NOT.get(error.errno or 0, without))
        return Support(usable=True, rank=RANK, detail=f"libnftables, Linux {os.uname().release}")

    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours in one commit, then clear away what it left over and stamp it."""
        _undisturbed(lambda: _finish(ruleset, _replace(ruleset.text)))

    def bring_into_force(self, ruleset: Ruleset) -> Callable[[], None]:
        """Replace everything of ours in one commit; clearing away and the stamp are the rest."""
        before = _undisturbed(lambda: _replace(ruleset.text))

        def rest() -> None:
            try:
                _finish(ruleset, before)
            except _DisturbedError:
                self.apply(ruleset)

        return rest

    def update(self, delta: Delta) -> None:
        """Add and remove set elements in one commit."""
        changes = tuple(messages(delta))
        if changes and not _update(changes):
            raise DisturbedError("somebody else changed the packet filter at the same time")

    def installed(self) -> Installed | None:
        """Read stamps and membership."""
        found = table.read_table(TABLE, members=True)
        if found is None:
            return None
        stamps = _stamps(found, _FINGERPRINT_STAMP)
        digests = _stamps(found, DIGEST_STAMP)
        untouched = len(stamps) == len(digests) == 1 and _stamp(found.fingerprint(without=stamps)) == stamps[0].comment
        digest = digests[0].comment.removeprefix(DIGEST_STAMP) if untouched else ""
        return Installed(digest=digest, sets={each.name: each.elements for each in found.sets})

    def generation(self) -> int:
        """The generation number of nf_tables in this namespace."""
        return _generation()

    def listen(self) -> socket.socket:
        """Hear of each commit in this namespace; see `mnp_core.api.RuleListener`."""
        try:
            return listen_to_commits()
        except OSError as error:
            raise ApplyError(f"commits cannot be listened to: {error.strerror}") from error

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of the rules in the chains of interfaces, in the order in which packets meet them."""
        found = table.read_table(TABLE, members=False)
        return [] if found is None else [counter for rule in found.rules for counter in _counters(rule)]

    def remove(self) -> None:
        """Delete the table."""
        libnftables.run(_DELETE)


def _generation() -> int:
    try:
        return generation()
    except OSError as error:
        raise ApplyError(f"nf_tables does not answer: {error.strerror}") from error


def _update(changes: Sequence[Message]) -> bool:
    """Change membership; whether nobody else committed anything meanwhile."""
    alone = True
    try:
        with Connection() as kernel:
            for _ in range(_ATTEMPTS):
                before = generation()
                with suppress(SupersededError):
                    kernel.commit(changes, before)
                    return alone and generation() == _next(before)
                alone = False
    except RefusedError as error:
        raise ApplyError(f"nf_tables refused the change of membership of {error}") from error
    except OSError as error:
        raise ApplyError(f"nf_tables does not answer: {error.strerror}") from error
    raise ApplyError("somebody else changes the packet filter all the time")


def _next(generation: int) -> int:
    """The number after one commit: the kernel leaves 0 out."""
    return (generation + 1) % _GENERATIONS or 1


def _undisturbed(work: Callable[[], T]) -> T:
    """Do it again until nobody else commits meanwhile."""
    for attempt in range(_ATTEMPTS):
        with suppress(_DisturbedError):
            return work()
        time.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311 # so that two that disturb each other do not go on
    raise ApplyError("somebody else changes the packet filter all the time")


def _replace(text: str) -> int:
    """Run the transaction on what is there; if that is in its way, instead of it. Gives the generation before it.

    Something that has one of our names but another type or hook (somebody put it there, or another version of this
    plugin) cannot be taken over. Then the table goes and comes in one commit, with the little gap that the renderer
    avoids otherwise.
    """
    before = _generation()
    try:
        _run(text, before)
    except ApplyError as refused:
        try:
            _run(_DELETE + text, before)
        except ApplyError:
            raise refused from None
    return before


def _finish(ruleset: Ruleset, before: int) -> None:
    """Delete by handle what the ruleset does not know, and stamp the rest, if it is what one commit of ours made."""
    found = table.read_table(TABLE, members=False)
    if found is None or found.generation != _next(before):
        raise _DisturbedError
    filled = {rule.chain for rule in found.rules}
    chains = [chain for chain in found.chains if chain.name not in filled and chain.name not in BASE_CHAINS]
    sets = [each for each in found.sets if each.name not in ruleset.sets]
    stamp = _stamp(found.fingerprint(without=[*chains, *sets]))
    _run(
        "".join(f"delete chain inet {TABLE} handle {chain.handle}\n" for chain in chains)
        + "".join(f"delete set inet {TABLE} handle {each.handle}\n" for each in sets)
        + f'add rule inet {TABLE} {STATE_CHAIN} {STATE_RULE} comment "{stamp}"\n',
        found.generation,
    )
    if _generation() != _next(found.generation):  # whoever compares generations later must not take theirs for ours
        raise _DisturbedError


def _run(text: str, before: int) -> None:
    """Run a transaction that was made for one generation; a refusal in another one says nothing."""
    try:
        libnftables.run(text)
    except ApplyError:
        if _generation() != before:
            raise _DisturbedError from None
        raise


def _stamp(fingerprint: str) -> str:
    return _FINGERPRINT_STAMP + fingerprint


def _stamps(found: Table, kind: str) -> list[Rule]:
    return [rule for rule in found.rules if rule.chain == STATE_CHAIN and rule.comment.startswith(kind)]


def _counters(rule: Rule) -> Sequence[RuleCounter]:
    chain = ChainName.parse(rule.chain)
    if chain is None or rule.packets is None or rule.bytes is None:
        return []
    label = comment_text(rule.comment)
    return [
        RuleCounter(
            interface=chain.interface,
            direction=chain.direction.value,
            label=label,
            packets=rule.packets,
            bytes=rule.bytes,
        )
    ]
