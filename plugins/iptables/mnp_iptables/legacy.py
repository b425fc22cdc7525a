"""Rules through the kernel's own interface for iptables tables: no library, no fork.

A table is read, changed and replaced as a whole, in one atomic step, with the rules of others as the bytes that they
are. There is nothing in the process that namespaces or threads could share. (python-iptables, which wraps libiptc and
libxtables, keeps one object for each table name in the process: in a second namespace it showed, and would have
written, the rules of the first. It took 775 µs a rule, and 4.5 KiB of memory for each table written did not come
back.)

The kernel notices if the number of rules has changed since a table was read; that nobody changes it at the same time
is what the lock of the iptables programs is for, which we take as they do.
"""

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from attrs import evolve

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_iptables import sockopt
from mnp_iptables.blob import Chain, Entry, Table
from mnp_iptables.entries import UnknownRuleError, comment_of, encode_rule
from mnp_iptables.found import FoundRule, FoundTable, find_table, is_ours
from mnp_iptables.ipset import Ipset
from mnp_iptables.places import TABLES
from mnp_iptables.scratch import compile_rule
from mnp_iptables.script import TableScript, with_set_names
from mnp_iptables.sets import FAMILIES

_LOCK = "/run/xtables.lock"
_PATIENCE = 30.0  # seconds that somebody else may hold the lock
_PAUSE = 0.005
_ATTEMPTS = 5
_NO_FIELDS = {family: encode_rule("", family, lambda _: 0).head for family in FAMILIES}


class LegacyRules:
    """Our chains in the legacy tables, in the network namespace of the calling thread."""

    letter = "l"
    rank = 30

    def probe(self) -> str:
        """Say what is used, without changing anything.

        Raises:
            UnsupportedError: The kernel has no legacy tables, or this is no 64-bit machine.
        """
        if struct.calcsize("P") != struct.calcsize("Q"):
            raise UnsupportedError("legacy tables are laid out in another way on 32-bit machines")
        try:
            for family in FAMILIES:
                sockopt.tables(family)
        except OSError as error:
            raise UnsupportedError(
                f"this kernel has no legacy iptables, or not yet ({error}): modprobe ip_tables ip6_tables, as root"
            ) from error
        return "the kernel's legacy tables"

    def replace(self, wanted: Mapping[Family, TableScript], names: Mapping[str, str]) -> tuple[FoundTable, ...]:
        """Put tables into force, one family after the other; if the second is refused, the first goes back.

        Args:
            wanted: For each family, what is to be in one table; nothing of ours stays in the others.
            names: The sets to use in place of those that rules name.

        Returns:
            Everything of ours, as it is now.

        Raises:
            ApplyError: Refused; what was in force still is.
        """
        first, second = FAMILIES
        chains = {family: _encoded(script, family, names) for family, script in wanted.items()}
        with _lock():
            before = _swap(first, wanted[first].name, _with(chains[first], wanted[first].jumps))
            try:
                _swap(second, wanted[second].name, _with(chains[second], wanted[second].jumps))
            except ApplyError:
                _swap(first, wanted[first].name, lambda _: before)
                raise
            for table in self.read():
                if table.name != wanted[table.family].name:
                    _swap(table.family, table.name, _with({}, {}))
            return self.read()

    def read(self) -> tuple[FoundTable, ...]:
        """Everything of ours; no table is made by looking."""
        found = [_find_ours(family, name) for family in FAMILIES for name in TABLES if name in _tables(family)]
        return tuple(table for table in found if table)

    def remove(self) -> None:
        """Take away our chains and jumps; an empty table stays, as nobody can remove one."""
        with _lock():
            for table in self.read():
                _swap(table.family, table.name, _with({}, {}))

    def state(self) -> bytes:
        """A digest of every rule, whosever it is."""
        state = hashlib.sha256()
        for family in FAMILIES:
            for name in sorted(_tables(family)):
                state.update(
                    b"".join((str(family).encode(), name.encode(), b"\0", *_try(sockopt.content, family, name)))
                )
        return state.digest()


def _tables(family: Family) -> frozenset[str]:
    try:
        return sockopt.tables(family)
    except OSError:
        return frozenset()  # no module, no table


# --- writing ------------------------------------------------------------------------------------------------------


def _encoded(script: TableScript, family: Family, names: Mapping[str, str]) -> dict[str, Chain]:
    """Our chains as the kernel takes them."""
    with Ipset() as sets:
        indices: dict[str, int] = {}

        def index(name: str) -> int:
            if name not in indices:
                indices[name] = sets.index(name)
            return indices[name]

        return {
            chain: Chain(rules=[_entry(with_set_names(rule, names), family, script.name, index) for rule in rules])
            for chain, rules in script.chains.items()
        }


def _entry(rule: str, family: Family, table: str, index: Callable[[str], int]) -> Entry:
    try:
        return encode_rule(rule, family, index)
    except UnknownRuleError:
        return compile_rule(rule, family, table)


def _with(chains: Mapping[str, Chain], jumps: Mapping[str, list[str]]) -> Callable[[Table], Table]:
    """What makes a table that has exactly these chains and jumps of ours, and everything of others as it was."""

    def change(table: Table) -> Table:
        head = _NO_FIELDS[table.layout.family]
        changed: dict[str, Chain] = {}
        for name, chain in table.chains.items():
            if not is_ours(name):
                ours = [Entry(head=head, jump=target) for target in jumps.get(name, ())]
                others = [rule for rule in chain.rules if not is_ours(rule.jump)]
                changed[name] = Chain(rules=ours + others, policy=chain.policy)
        return evolve(table, chains={**changed, **chains})

    return change


def _swap(family: Family, name: str, change: Callable[[Table], Table]) -> Table:
    """Replace a table by what is made of it; returns what it was."""
    for _ in range(_ATTEMPTS):
        try:
            before = sockopt.read(family, name)
            sockopt.replace(name, change(before.table), before)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise ApplyError(f"the kernel refused table {name} of IPv{family}: {error.strerror}") from error
        else:
            return before.table
    raise ApplyError(f"table {name} of IPv{family} cannot be written: somebody changes it all the time")


@contextmanager
def _lock() -> Iterator[None]:
    """The lock of the iptables programs (iptables(8)); where its folder is not writable, there are none."""
    try:
        lock = os.open(_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        until = time.monotonic() + _PATIENCE
        while not _is_locked(lock):
            if time.monotonic() > until:
                raise ApplyError(f"somebody holds {_LOCK} for more than {_PATIENCE:.0f} s: see who with lslocks")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(lock)


def _is_locked(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


# --- reading ------------------------------------------------------------------------------------------------------


def _try(read: Callable[[Family, str], bytes], family: Family, name: str) -> Iterator[bytes]:
    with suppress(OSError):  # it changed between two questions: another state all the same
        yield read(family, name)


def _find_ours(family: Family, name: str) -> FoundTable | None:
    for _ in range(_ATTEMPTS):
        try:
            snapshot = sockopt.read(family, name)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise ApplyError(f"table {name} of IPv{family} cannot be read: {error.strerror}") from error
        else:
            chains = snapshot.table.chains
            rules = [
                (chain.policy is not None, _found(name, rule, snapshot.counters[rule.place]))
                for name, chain in chains.items()
                for rule in chain.rules
            ]
            return find_table(
                family,
                name,
                chains=chains,
                rules=(rule for built_in, rule in rules if not built_in),
                built_in=(rule for built_in, rule in rules if built_in),
            )
    raise ApplyError(f"table {name} of IPv{family} cannot be read: somebody changes it all the time")


def _found(chain: str, rule: Entry, counters: tuple[int, int]) -> FoundRule:
    parts = rule.head, rule.matches, rule.target, rule.jump.encode(errors="replace"), str(rule.verdict).encode()
    return FoundRule(
        chain=chain,
        content=b"".join(len(part).to_bytes(4, "big") + part for part in parts),
        target=rule.jump,
        comment=comment_of(rule.matches),
        packets=counters[0],
        bytes=counters[1],
    )
