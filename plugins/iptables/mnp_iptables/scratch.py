"""Custom rules for legacy tables: iptables itself encodes them, elsewhere.

The rules of whoever runs the node may use any extension of iptables, which only the libraries of iptables can encode.
These keep state in the process, so they work in another one: `iptables-legacy-restore` puts the rule into a table of a
network namespace that is made for it and goes with the thread, and its bytes are read from there. There are few such
rules and they are the same for every pod, so this happens once for each.

A rule may name no set, as there is none; sets are encoded by `mnp_iptables.entries`.
"""

import ctypes
import os
import re
import threading
from concurrent.futures import Future
from functools import lru_cache

from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.model import Family
from mnp_iptables import sockopt
from mnp_iptables.blob import Entry
from mnp_iptables.tools import run

_TOOL: dict[Family, str] = {4: "iptables-legacy-restore", 6: "ip6tables-legacy-restore"}
_CHAIN, _FOLLOWS = "RULE", "FOLLOWS"
_GOTO = re.compile(r"-g (MNP-\S+)$")
_WAIT = "30"  # seconds for the lock of the iptables programs
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def compile_rule(rule: str, family: Family, table: str) -> Entry:
    """Encode a rule.

    Args:
        rule: What follows ``-A CHAIN``.
        family: Of the table.
        table: The table that it is for; some extensions work in one alone.

    Raises:
        ApplyError: Iptables refuses it; with its words.
    """
    goto = _GOTO.search(rule)
    entry = _compile(_GOTO.sub(f"-g {_FOLLOWS}", rule), family, table)
    return evolve(entry, jump=goto[1]) if goto else entry


@lru_cache(maxsize=1024)
def _compile(rule: str, family: Family, table: str) -> Entry:
    result: Future[Entry] = Future()
    thread = threading.Thread(target=_fulfil, args=(result, rule, family, table), name="scratch", daemon=True)
    thread.start()
    thread.join()
    return result.result()


def _fulfil(result: "Future[Entry]", rule: str, family: Family, table: str) -> None:
    """Work on a thread that never comes back from its own, empty network namespace."""
    try:
        if _libc.unshare(_CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))  # noqa: TRY301 - to whoever waits, as any other
        text = f"*{table}\n:{_CHAIN} - [0:0]\n:{_FOLLOWS} - [0:0]\n-A {_CHAIN} {rule}\nCOMMIT\n"
        run(_TOOL[family], "--noflush", "--wait", _WAIT, text=text)
        (entry,) = sockopt.read(family, table).table.chains[_CHAIN].rules
        result.set_result(evolve(entry, place=-1))
    except OSError as error:
        result.set_exception(ApplyError(f"no network namespace to encode a custom rule in: {error}"))
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
        result.set_exception(error)
