"""Have iptables itself translate a ruleset, in an empty network namespace, into what the kernel takes.

The programs of iptables read what is in the namespace that they write to. In a pod that may be anything: a table that
they refuse, that takes them for ever or that ends them. So they never run in a pod. They run in a namespace that is
made for it, where only the ruleset's sets are, empty; what the kernel has of the rules then is the ruleset's normal
form. It is what is written into each pod, with the numbers that the sets have there, and what a pod is compared with
(S63). Pods that have the same rules share it, so this happens once for each ruleset.

It also is where a custom rule shows whether iptables understands it.
"""

import ctypes
import errno
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family, Ruleset
from mnp_iptables.installed import WantedRule, WantedTable
from mnp_iptables.ipset import Ipset
from mnp_iptables.names import digest_chain
from mnp_iptables.script import Script, parse
from mnp_iptables.sets import SetType

T = TypeVar("T", bound=WantedRule)
Tables = Mapping[Family, tuple[WantedTable[T], ...]]
"""For each family the tables that a ruleset may be put into, the best one first."""

_CLONE_NEWNET = 0x40000000
_KEPT = 16 << 20  # bytes of text
_libc = ctypes.CDLL(None, use_errno=True)


@frozen(kw_only=True)
class Compiled(Generic[T]):
    """A ruleset as the kernel takes it.

    Attributes:
        sets: The sets that its rules look into.
        tables: Its rules, in normal form.
    """

    sets: Mapping[str, SetType]
    tables: Tables[T]


class Compiler(Generic[T]):
    """Compiles rulesets, each once, for one way into the kernel; all threads may use it."""

    def __init__(self, translate: Callable[[Script, Mapping[int, str]], Tables[T]]) -> None:
        """Translate in this way.

        Args:
            translate: Called in an empty network namespace, with a ruleset and the names of its sets by the kernel's
                numbers; returns what it has become in the kernel.
        """
        self._translate = translate
        self._lock = threading.Lock()  # guards what follows
        self._done: OrderedDict[str, tuple[int, Future[Compiled[T]]]] = OrderedDict()
        self._size = 0

    def compile(self, ruleset: Ruleset) -> Compiled[T]:
        """Translate a ruleset.

        Raises:
            ApplyError: Iptables refuses it, with its words.
            UnsupportedError: There is no iptables.
        """
        script = parse(ruleset.text)
        key = hashlib.sha256(script.rules.encode(errors="surrogateescape")).hexdigest()
        with self._lock:
            found = self._done.get(key)
            future = found[1] if found else Future[Compiled[T]]()
            if not found:
                self._keep(key, len(script.rules), future)
            self._done.move_to_end(key)
        if not found:
            self._work(key, future, script)
        return future.result()

    def known(self, digest: str) -> Compiled[T] | None:
        """What has been compiled of a ruleset with this digest, if anything was."""
        with self._lock:
            futures = [future for _, future in self._done.values()]
        done = (future.result() for future in futures if future.done() and not future.exception())
        return next((compiled for compiled in done if _has(compiled, digest)), None)

    def _keep(self, key: str, size: int, future: "Future[Compiled[T]]") -> None:
        """Remember it, in place of what has not been used for longest. The lock is held."""
        self._done[key] = size, future
        self._size += size
        while self._size > _KEPT and len(self._done) > 1:
            self._size -= self._done.popitem(last=False)[1][0]

    def _forget(self, key: str) -> None:
        with self._lock:
            self._size -= self._done.pop(key, (0, None))[0]

    def _work(self, key: str, future: "Future[Compiled[T]]", script: Script) -> None:
        thread = threading.Thread(target=self._compile_into, args=(future, script), name="compile-ruleset", daemon=True)
        try:
            thread.start()
            thread.join()
        except RuntimeError as error:
            future.set_exception(ApplyError(f"no thread to translate a ruleset on: {error}"))
        if future.exception():
            self._forget(key)  # what was missing may be there next time

    def _compile_into(self, future: "Future[Compiled[T]]", script: Script) -> None:
        """Work on a thread that never comes back from its own, empty network namespace."""
        try:
            if _libc.unshare(_CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))  # noqa: TRY301 - to whoever waits, as any other
            future.set_result(Compiled(sets=script.sets, tables=self._translate(script, _make_sets(script.sets))))
        except OSError as error:
            remedy = ": run as root" if error.errno == errno.EPERM else ""
            reason = f"no network namespace to translate a ruleset in ({error.strerror}){remedy}"
            future.set_exception(ApplyError(reason))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)


def _make_sets(types: Mapping[str, SetType]) -> dict[int, str]:
    """Make sets for rules to name; returns the names by the kernel's numbers."""
    with Ipset() as kernel:
        for name, kind in types.items():
            kernel.create(name, kind)
        return {kernel.index(name): name for name in types}


def _has(compiled: Compiled[T], digest: str) -> bool:
    return any(digest_chain(digest) in table.chains for tables in compiled.tables.values() for table in tables)
