"""Rules in the legacy tables, written as the bytes that they are in the kernel.

A table is read, changed and replaced as a whole, in one atomic step, with foreign rules as the bytes that they are. No
library or program parses a pod's table, and nothing in the process is shared by namespaces or threads.

The kernel notices if the number of rules has changed since a table was read. Against other changes at the same time
there is the lock of the iptables programs, which is taken here as by them. Those in the pod's containers have another
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

from attrs import evolve

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import Family
from mnp_core.netfilter.attributes import text
from mnp_iptables.persistence import insist
from mnp_iptables.render.hook_points import TABLES
from mnp_iptables.restore import sockopt
from mnp_iptables.restore.blob import Chain, Entry, Table, matches
from mnp_iptables.restore.compiler import Compiler
from mnp_iptables.restore.installed import (
    SET_NUMBER_SIZE,
    InstalledRule,
    InstalledTable,
    Wanted,
    WantedRule,
    WantedTable,
    is_ours,
)
from mnp_iptables.restore.restore_tool import find
from mnp_iptables.sets.set_types import FAMILIES

_TOOLS: dict[Family, str] = {4: "iptables-legacy-restore", 6: "ip6tables-legacy-restore"}
_LOCK = "/run/xtables.lock"
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS})
_PATIENCE = 5.0  # seconds that another process may hold the lock
_PAUSE = 0.005
_ATTEMPTS = 5
_STORM = "a process in the pod changes it all the time: stop it, or restart the pod"


class LegacyRules:
    """Our chains in the legacy tables, in the network namespace of the calling thread."""

    suffix = "l"
    rank = 30

    @property
    def compiler(self) -> Compiler:
        """Compiles rulesets for this variant."""
        return _COMPILER

    def probe(self) -> str:
        """Name the interface in use, without changing anything.

        Raises:
            UnsupportedError: A tool is missing, the kernel has no legacy tables, or this is no 64-bit machine.
        """
        for tool in _TOOLS.values():
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

    def replace(self, wanted: Wanted, numbers: Mapping[str, int]) -> None:
        """Put tables into force, one family after the other; if the second is refused, the first goes back.

        Args:
            wanted: Our part of one table for each family.
            numbers: The kernel's number of each ipset, by its name in the ruleset.

        Raises:
            ApplyError: Refused; the old tables are in force.
        """
        first, second = FAMILIES
        with _lock():
            before = _swap(first, wanted[first].name, _with(wanted[first], numbers))
            try:
                _swap(second, wanted[second].name, _with(wanted[second], numbers))
            except (ApplyError, OSError):
                insist(lambda: _swap(first, wanted[first].name, lambda _: before))
                raise
            insist(lambda: self._clear({(family, table.name) for family, table in wanted.items()}))

    def _clear(self, kept: set[tuple[Family, str]]) -> None:
        """Remove ours from all tables but these."""
        for table in self.read():
            if (table.family, table.name) not in kept:
                _swap(table.family, table.name, _without_ours)

    def read(self) -> tuple[InstalledTable, ...]:
        """Everything of ours; reading creates no table."""
        found = [_find_ours(family, name) for family in FAMILIES for name in TABLES if name in _tables(family)]
        return tuple(table for table in found if table)

    def remove(self) -> None:
        """Remove our chains and jumps; an empty table stays, as the kernel cannot remove one."""
        with _lock():
            self._clear(set())

    def state(self) -> bytes:
        """A digest of every rule, also foreign ones, in the tables that ours may be in."""
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


def _with(wanted: WantedTable, numbers: Mapping[str, int]) -> Callable[[Table], Table]:
    """A function that replaces our chains and jumps in a table by these, and keeps everything foreign."""

    def entries(rules: Sequence[WantedRule]) -> list[Entry]:
        return [Entry(data=rule.bound(numbers), jump=rule.target) for rule in rules]

    chains = {name: Chain(rules=entries(rules)) for name, rules in wanted.chains.items()}

    def change(table: Table) -> Table:
        without = _without_ours(table).chains
        for name, jumps in wanted.jumps.items():
            without[name].rules[:0] = entries(jumps)
        return evolve(table, chains={**without, **chains})

    return change


def _without_ours(table: Table) -> Table:
    """The foreign chains and rules, without jumps into our chains."""
    return evolve(
        table,
        chains={
            name: Chain(rules=[rule for rule in chain.rules if not is_ours(rule.jump)], policy=chain.policy)
            for name, chain in table.chains.items()
            if not is_ours(name)
        },
    )


def _swap(family: Family, name: str, change: Callable[[Table], Table]) -> Table:
    """Replace a table by its changed copy; return the old one."""
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
                raise ApplyError(f"another process holds {_LOCK} for more than {_PATIENCE:.0f} s: see who with lslocks")
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
    rules = [_installed(chain, rule, snapshot) for chain in ours for rule in chains[chain].rules]
    jumps = [
        evolve(_installed(name, rule, snapshot), first=all(is_ours(each.jump) for each in chain.rules[:number]))
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


def _installed(chain: str, rule: Entry, snapshot: sockopt.Snapshot) -> InstalledRule:
    found = [(place, info) for place, info in _matches(snapshot, rule, "set") if len(info) >= SET_NUMBER_SIZE]
    packets, octets = snapshot.counters[rule.place]
    return InstalledRule(
        data=rule.data,
        places=tuple(place for place, _ in found),
        target=rule.jump,
        chain=chain,
        comment=next((text(info) for _, info in _matches(snapshot, rule, "comment")), ""),
        packets=packets,
        bytes=octets,
    )


def _matches(snapshot: sockopt.Snapshot, rule: Entry, wanted: str) -> Iterator[tuple[int, bytes]]:
    found = matches(snapshot.table.layout, rule)
    return ((place, info) for name, place, info in found if name == wanted)


# --- compiling ----------------------------------------------------------------------------------------------------


def _name_interface(data: bytes, placeholder: bytes, name: bytes) -> bytes:
    """Another name, and another mask up to its NUL: the kernel keeps leftovers of older names behind that."""
    place, size = data.index(placeholder), len(name)
    mask = b"\xff" * (len(name.rstrip(b"\0")) + 1)
    changed = bytearray(data)
    changed[place : place + size] = name
    changed[place + 2 * size : place + 3 * size] = mask.ljust(size, b"\0")
    return bytes(changed)


_COMPILER = Compiler(_TOOLS, _find_ours, _name_interface)
