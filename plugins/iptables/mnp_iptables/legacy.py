"""Rules in the legacy tables, written as the bytes that they are in the kernel.

What the bytes are, ``iptables-legacy-restore`` and ``ip6tables-legacy-restore`` have said elsewhere
(`mnp_iptables.compiler`): they hold matches in the revisions that these programs print. A table is read, changed and
replaced as a whole, in one atomic step, with the rules of others as the bytes that they are. There is nothing in the
process that namespaces or threads could share, and no library or program parses what is in a pod.

The kernel notices if the number of rules has changed since a table was read; that nobody changes it at the same time
is what the lock of the iptables programs is for, which we take as they do. Those in the pod's containers have another
one, in their own file system.
"""

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from attrs import evolve, frozen

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_iptables import sockopt
from mnp_iptables.blob import Chain, Entry, Table
from mnp_iptables.compiler import Compiler, Tables
from mnp_iptables.extensions import COMMENT, INDEX_SIZE, SET, comment_of, legacy_matches, pack_index, set_index
from mnp_iptables.hook_points import TABLES
from mnp_iptables.installed import InstalledRule, InstalledTable, WantedTable, is_ours
from mnp_iptables.names import odd_interface, placeholder
from mnp_iptables.persistence import insist
from mnp_iptables.restore_tool import find, run
from mnp_iptables.script import Script
from mnp_iptables.sets import FAMILIES

_TOOL: dict[Family, str] = {4: "iptables-legacy-restore", 6: "ip6tables-legacy-restore"}
_LOCK = "/run/xtables.lock"
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS})
_PATIENCE = 5.0  # seconds that somebody else may hold the lock
_PAUSE = 0.005
_ATTEMPTS = 5
_STORM = "a process in the pod changes it all the time: stop it, or restart the pod"


@frozen(kw_only=True)
class LegacyWanted:
    """A rule to be written, with the names of its sets, whose numbers are at these places in its matches."""

    content: bytes
    sets: tuple[str, ...]
    places: tuple[int, ...]
    entry: Entry

    def bound(self, indices: Mapping[str, int]) -> Entry:
        """The rule, with the numbers that the sets have in one namespace."""
        matches = bytearray(self.entry.matches)
        for place, name in zip(self.places, self.sets, strict=True):
            matches[place : place + INDEX_SIZE] = pack_index(indices[name])
        return evolve(self.entry, matches=bytes(matches))


Wanted = Mapping[Family, WantedTable[LegacyWanted]]


class LegacyRules:
    """Our chains in the legacy tables, in the network namespace of the calling thread."""

    suffix = "l"
    rank = 30

    @property
    def compiler(self) -> Compiler[LegacyWanted]:
        """Translates rulesets, for all that write in this way."""
        return _COMPILER

    def probe(self) -> str:
        """Say what is used, without changing anything.

        Raises:
            UnsupportedError: A tool is missing, the kernel has no legacy tables, or this is no 64-bit machine.
        """
        for tool in _TOOL.values():
            find(tool)
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

    def replace(self, wanted: Wanted, indices: Mapping[str, int]) -> None:
        """Put tables into force, one family after the other; if the second is refused, the first goes back.

        Args:
            wanted: For each family, what is to be in one table; nothing of ours stays in the others.
            indices: The kernel's number of each set, by its name in the ruleset.

        Raises:
            ApplyError: Refused; what was in force still is.
        """
        first, second = FAMILIES
        with _lock():
            before = _swap(first, wanted[first].name, _with(wanted[first], indices))
            try:
                _swap(second, wanted[second].name, _with(wanted[second], indices))
            except (ApplyError, OSError):
                insist(lambda: _swap(first, wanted[first].name, lambda _: before))
                raise
            insist(lambda: self._clear({(family, table.name) for family, table in wanted.items()}))

    def _clear(self, kept: set[tuple[Family, str]]) -> None:
        """Take ours away from all tables but these."""
        for table in self.read():
            if (table.family, table.name) not in kept:
                _swap(table.family, table.name, _without_ours)

    def read(self) -> tuple[InstalledTable, ...]:
        """Everything of ours; no table is made by looking."""
        found = [_find_ours(family, name) for family in FAMILIES for name in TABLES if name in _tables(family)]
        return tuple(table for table in found if table)

    def remove(self) -> None:
        """Take away our chains and jumps; an empty table stays, as nobody can remove one."""
        with _lock():
            self._clear(set())

    def state(self) -> bytes:
        """A digest of every rule in the tables that ours may be in, whosever they are."""
        state = hashlib.sha256()
        for family in FAMILIES:
            for name in TABLES:
                if name in _tables(family):
                    parts = str(family).encode(), name.encode(), b"\0", *_try(sockopt.content, family, name)
                    state.update(b"".join(parts))
        return state.digest()


def _tables(family: Family) -> frozenset[str]:
    try:
        return sockopt.tables(family)
    except FileNotFoundError:
        return frozenset()  # no module, no table


# --- writing ------------------------------------------------------------------------------------------------------


def _with(wanted: WantedTable[LegacyWanted], indices: Mapping[str, int]) -> Callable[[Table], Table]:
    """What makes a table that has exactly these chains and jumps of ours, and everything of others as it was."""
    chains = {name: Chain(rules=[rule.bound(indices) for rule in rules]) for name, rules in wanted.chains.items()}

    def change(table: Table) -> Table:
        without = _without_ours(table).chains
        for name, jumps in wanted.jumps.items():
            without[name].rules[:0] = [jump.bound(indices) for jump in jumps]
        return evolve(table, chains={**without, **chains})

    return change


def _without_ours(table: Table) -> Table:
    """The chains and rules of others, but for those of their rules that lead into our chains."""
    return evolve(
        table,
        chains={
            name: Chain(rules=[rule for rule in chain.rules if not is_ours(rule.jump)], policy=chain.policy)
            for name, chain in table.chains.items()
            if not is_ours(name)
        },
    )


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
    raise ApplyError(f"table {name} of IPv{family} cannot be written: {_STORM}")


@contextmanager
def _lock() -> Iterator[None]:
    """The lock of the iptables programs (iptables(8)); where its folder is not writable, there are none."""
    try:
        lock = os.open(_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
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


def _find_ours(family: Family, name: str) -> InstalledTable | None:
    snapshot = _read(family, name)
    chains = snapshot.table.chains
    ours = tuple(filter(is_ours, chains))
    rules = [_found(chain, rule, snapshot.counters) for chain in ours for rule in chains[chain].rules]
    jumps = [
        evolve(_found(name, rule, snapshot.counters), first=all(is_ours(each.jump) for each in chain.rules[:number]))
        for name, chain in chains.items()
        if not is_ours(name)
        for number, rule in enumerate(chain.rules)
        if is_ours(rule.jump)
    ]
    found = InstalledTable(family=family, name=name, chains=ours, rules=tuple(rules), jumps=tuple(jumps))
    return found if found.chains or found.jumps else None


def _read(family: Family, name: str) -> sockopt.Snapshot:
    for _ in range(_ATTEMPTS):
        try:
            return sockopt.read(family, name)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise ApplyError(f"table {name} of IPv{family} cannot be read: {error.strerror}") from error
    raise ApplyError(f"table {name} of IPv{family} cannot be read: {_STORM}")


def _found(chain: str, rule: Entry, counters: Sequence[tuple[int, int]]) -> InstalledRule:
    looked_into, _ = _sets(rule)
    return InstalledRule(
        chain=chain,
        content=_content(rule),
        sets=looked_into,
        target=rule.jump,
        comment=next((comment_of(info) for name, _, info in legacy_matches(rule.matches) if name == COMMENT), ""),
        packets=counters[rule.place][0],
        bytes=counters[rule.place][1],
    )


def _content(rule: Entry) -> bytes:
    """All but counters and the numbers of sets."""
    matches = bytearray(rule.matches)
    for place in _sets(rule)[1]:
        matches[place : place + INDEX_SIZE] = bytes(INDEX_SIZE)
    parts = rule.head, bytes(matches), rule.target, rule.jump.encode(errors="replace"), str(rule.verdict).encode()
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _sets(rule: Entry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of the sets that a rule looks into, and where in its matches they are."""
    found = [
        (set_index(info), place)
        for name, place, info in legacy_matches(rule.matches)
        if name == SET and len(info) >= INDEX_SIZE
    ]
    return tuple(index for index, _ in found), tuple(place for _, place in found)


# --- translating --------------------------------------------------------------------------------------------------


def _translate(script: Script, names: Mapping[int, str]) -> Tables[LegacyWanted]:
    """Have the programs write the rules where nothing else is, and read what they have become."""
    for family, tables in script.tables.items():
        for text in tables.values():
            run(_TOOL[family], "--noflush", text=text)
    return {
        family: tuple(_normal_form(name, sockopt.read(family, name).table, names) for name in tables)
        for family, tables in script.tables.items()
    }


def _normal_form(name: str, table: Table, names: Mapping[int, str]) -> WantedTable[LegacyWanted]:
    rules = {chain: tuple(_wanted(chain, rule, names) for rule in found.rules) for chain, found in table.chains.items()}
    return WantedTable(
        name=name,
        chains={chain: found for chain, found in rules.items() if is_ours(chain)},
        jumps={chain: found for chain, found in rules.items() if not is_ours(chain) and found},
    )


def _wanted(chain: str, rule: Entry, names: Mapping[int, str]) -> LegacyWanted:
    new = evolve(rule, place=-1)
    if name := odd_interface(chain, rule.jump):
        new = evolve(new, head=_with_interface(rule.head, *placeholder(name)))
    looked_into, places = _sets(new)
    return LegacyWanted(
        content=_content(new), sets=tuple(names[index] for index in looked_into), places=places, entry=new
    )


def _with_interface(head: bytes, before: bytes, after: bytes) -> bytes:
    """Another name, and what of it is compared: up to the NUL, as what is behind it is left over from older names."""
    place = head.index(before)
    compared = b"\xff" * (len(after.rstrip(b"\0")) + 1)
    changed = bytearray(head)
    changed[place : place + len(after)] = after
    changed[place + 2 * len(after) : place + 3 * len(after)] = compared.ljust(len(after), b"\0")
    return bytes(changed)


_COMPILER = Compiler(_translate)
