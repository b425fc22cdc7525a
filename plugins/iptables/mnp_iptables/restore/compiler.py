"""Compiles a ruleset into the bytes that the kernel takes, by ``iptables-restore`` in an empty network namespace.

The programs of iptables read the namespace that they write to. In a pod, a process controls its content: it can make a
table that they refuse, that takes them for ever or that crashes them. So they never run in a pod. They run in a
namespace made for this, which holds the ruleset's ipsets, empty; the kernel's copy of the rules then is the ruleset's
normal form. It is written into each pod, with the numbers that the ipsets have there, and each pod is compared with it
(S63). Pods with the same rules share it, so this happens once for each ruleset.

Compilation also checks custom rules.
"""

import ctypes
import errno
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family, Ruleset
from mnp_iptables.names import digest_chain, odd_interface, placeholder
from mnp_iptables.restore.installed import FLAGS, InstalledRule, InstalledTable, WantedRule, WantedTable
from mnp_iptables.restore.restore_tool import run
from mnp_iptables.restore.script import Script, parse
from mnp_iptables.sets.ipset import Ipset
from mnp_iptables.sets.set_types import SetType

_CLONE_NEWNET = 0x40000000
_KEPT = 16 << 20  # bytes of text
_libc = ctypes.CDLL(None, use_errno=True)


@frozen(kw_only=True)
class Compiled:
    """A ruleset in normal form.

    Attributes:
        sets: The ipsets of its rules.
        tables: For each family the tables that the ruleset fits, the best one first.
    """

    sets: Mapping[str, SetType]
    tables: Mapping[Family, tuple[WantedTable, ...]]


class Compiler:
    """Compiles rulesets, each once, for one variant; all threads may use it."""

    def __init__(
        self,
        tools: Mapping[Family, str],
        read: Callable[[Family, str], InstalledTable | None],
        name_interface: Callable[[bytes, bytes, bytes], bytes],
    ) -> None:
        """Compile for this variant.

        Args:
            tools: The variant's restore program for each family.
            read: Reads a table in the network namespace of the calling thread.
            name_interface: Replaces the placeholder of an interface name in the data of a rule.
        """
        self._tools, self._read, self._name_interface = tools, read, name_interface
        self._lock = threading.Lock()  # guards the attributes below
        self._done: OrderedDict[str, tuple[int, Future[Compiled]]] = OrderedDict()
        self._size = 0

    def compile(self, ruleset: Ruleset) -> Compiled:
        """Translate a ruleset.

        Raises:
            ApplyError: Iptables refuses it, with its words.
            UnsupportedError: There is no iptables.
        """
        script = parse(ruleset.text)
        key = hashlib.sha256(script.rules.encode(errors="surrogateescape")).hexdigest()
        with self._lock:
            found = self._done.get(key)
            future = found[1] if found else Future[Compiled]()
            if not found:
                self._keep(key, len(script.rules), future)
            self._done.move_to_end(key)
        if not found:
            self._work(key, future, script)
        return future.result()

    def known(self, digest: str) -> Compiled | None:
        """The compiled ruleset with this digest, if there is one."""
        with self._lock:
            futures = [future for _, future in self._done.values()]
        done = (future.result() for future in futures if future.done() and not future.exception())
        return next((compiled for compiled in done if _has(compiled, digest)), None)

    def _keep(self, key: str, size: int, future: Future[Compiled]) -> None:
        """Remember it, and evict the least recently used ones. The lock is held."""
        self._done[key] = size, future
        self._size += size
        while self._size > _KEPT and len(self._done) > 1:
            self._size -= self._done.popitem(last=False)[1][0]

    def _forget(self, key: str) -> None:
        with self._lock:
            self._size -= self._done.pop(key, (0, None))[0]

    def _work(self, key: str, future: Future[Compiled], script: Script) -> None:
        thread = threading.Thread(target=self._compile_into, args=(future, script), name="compile-ruleset", daemon=True)
        try:
            thread.start()
            thread.join()
        except RuntimeError as error:
            future.set_exception(ApplyError(f"no thread to compile a ruleset on: {error}"))
        if future.exception():
            self._forget(key)  # the next attempt may succeed: a missing module or tool can appear

    def _compile_into(self, future: Future[Compiled], script: Script) -> None:
        """Compile on a thread that stays in its own, empty network namespace until it ends."""
        try:
            if _libc.unshare(_CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))  # noqa: TRY301 - to the waiting thread, as any other
            names = _make_sets(script.sets)
            future.set_result(Compiled(sets=script.sets, tables=self._tables(script, names)))
        except OSError as error:
            remedy = ": run as root" if error.errno == errno.EPERM else ""
            reason = f"no network namespace to compile a ruleset in ({error.strerror}){remedy}"
            future.set_exception(ApplyError(reason))
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiting thread
            future.set_exception(error)

    def _tables(self, script: Script, names: Mapping[int, str]) -> dict[Family, tuple[WantedTable, ...]]:
        """Restore all tables, then read them back."""
        for family, tables in script.tables.items():
            for text in tables.values():
                run(self._tools[family], "--noflush", text=text)
        return {
            family: tuple(self._normal_form(family, name, names) for name in tables)
            for family, tables in script.tables.items()
        }

    def _normal_form(self, family: Family, name: str, names: Mapping[int, str]) -> WantedTable:
        table = self._read(family, name)
        if table is None:
            raise ApplyError(f"iptables made no table {name}")
        chains: dict[str, list[WantedRule]] = {chain: [] for chain in table.chains}
        jumps: dict[str, list[WantedRule]] = {}
        for rule in table.rules:
            chains[rule.chain].append(self._wanted(rule, names))
        for rule in table.jumps:
            jumps.setdefault(rule.chain, []).append(self._wanted(rule, names))
        return WantedTable(
            name=name,
            frame={part: value for part, value in table.frame.items() if part == FLAGS or part in jumps},
            chains={chain: tuple(rules) for chain, rules in chains.items()},
            jumps={chain: tuple(rules) for chain, rules in jumps.items()},
        )

    def _wanted(self, rule: InstalledRule, names: Mapping[int, str]) -> WantedRule:
        name = odd_interface(rule.chain, rule.target)
        return WantedRule(
            data=self._name_interface(rule.data, *placeholder(name)) if name else rule.data,
            userdata=rule.userdata,
            places=rule.places,
            target=rule.target,
            sets=tuple(names[number] for number in rule.sets),
        )


def _make_sets(types: Mapping[str, SetType]) -> dict[int, str]:
    """Make sets for rules to name; returns the names by the kernel's numbers."""
    with Ipset() as kernel:
        for name, kind in types.items():
            kernel.create(name, kind)
        return {kernel.index(name): name for name in types}


def _has(compiled: Compiled, digest: str) -> bool:
    return any(digest_chain(digest) in table.chains for tables in compiled.tables.values() for table in tables)
