"""Custom rules as the kernel has them: libnftables compiles them, elsewhere.

They may use all of nft's language, which only libnftables understands. It runs in a process of its own, in a network
namespace that is made for this and goes with the thread, and its rules are read back from there. There are few such
rules and they are the same for every pod, so this happens once in the life of a process.
"""

import ctypes
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future

from attrs import frozen

from mnp_core.errors import ApplyError, InputError, UnsupportedError
from mnp_core.model import CustomRules
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes
from mnp_nftables.anonymous import AnonymousSet
from mnp_nftables.content import LOOKUP, anonymous_content, found_rule_content, joined, rule_content
from mnp_nftables.custom import custom_chain, numbered_lines, rule_lines
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import TABLE
from mnp_nftables.table import Found, Raw, read_raw
from mnp_nftables.terms import Code

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_PATIENCE = 60  # seconds, for a program that takes a tenth of one
_LINE = re.compile(rb"^\S*?line (\d+):\S*\s*(.*)$", re.MULTILINE)
_ASSIGNED = frozenset(  # attributes of a set that the kernel or the transaction assigns
    {
        uapi.NFTA_SET_TABLE,
        uapi.NFTA_SET_NAME,
        uapi.NFTA_SET_ID,
        uapi.NFTA_SET_PAD,
        uapi.NFTA_SET_HANDLE,
        uapi.NFTA_SET_TYPE,
        uapi.NFTA_SET_COUNT,
    }
)
_libc = ctypes.CDLL(None, use_errno=True)


@frozen(kw_only=True)
class Compiled:
    """Custom rules, ready to be sent.

    Attributes:
        chains: With their rules.
        contents: Each chain's content for comparison; equal to `mnp_nftables.table.Whole.custom` where it is in force.
    """

    chains: tuple[Chain, ...]
    contents: Mapping[str, bytes]


def compile_rules(custom: Sequence[CustomRules]) -> Compiled:
    """Compile the rules of all files together; once for the same rules.

    Raises:
        InputError: A line is wrong; in the words of nft.
        UnsupportedError: A right or the library is missing.
        ApplyError: The kernel has no resources for it now.
    """
    key = tuple((custom_chain(each), rule_lines(each)) for each in custom)
    with _lock:
        if key not in _compiled:
            _compiled[key] = _on_a_thread(custom)
        return _compiled[key]


def known_lines(
    found: Mapping[str, bytes], translate: Callable[[Chain], Chain] | None = None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Chains of custom rules found in a kernel: name, and the lines they were compiled from, if this process did.

    Args:
        found: By name of the chain, its content.
        translate: What was done to compiled chains before they were sent; nothing without it.
    """
    with _lock:
        known = [
            (key, compiled.contents if translate is None else _contents(map(translate, compiled.chains)))
            for key, compiled in _compiled.items()
        ]
    for chain, content in found.items():
        lines = (dict(key).get(chain, ()) for key, contents in known if contents.get(chain) == content)
        yield chain, next(lines, ())


def _contents(chains: Iterable[Chain]) -> Mapping[str, bytes]:
    return {each.name: joined(*(rule_content(rule.code, rule.userdata) for rule in each.rules)) for each in chains}


_compiled: dict[tuple[tuple[str, tuple[str, ...]], ...], Compiled] = {}
_lock = threading.Lock()


def _on_a_thread(custom: Sequence[CustomRules]) -> Compiled:
    result: Future[Compiled] = Future()

    def work() -> None:
        """Never come back from an empty network namespace of the thread's own."""
        try:
            result.set_result(_compile(custom))
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiting thread
            result.set_exception(error)

    threading.Thread(target=work, name="custom-rules", daemon=True).start()
    return result.result()


def _compile(custom: Sequence[CustomRules]) -> Compiled:
    if _libc.unshare(_CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        raise UnsupportedError(f"custom rules need a network namespace to be tried in ({reason}): run as root")
    _load(custom)
    try:
        found = read_raw(TABLE)
    except OSError as error:
        raise ApplyError(f"custom rules cannot be read back: {error.strerror}") from error
    names = [custom_chain(each) for each in custom]
    _check(custom, names, found)
    anonymous = {name: anonymous_content(each, elements) for name, (each, elements) in found.sets.items()}
    return Compiled(
        chains=tuple(Chain(name=name, rules=tuple(_rules(name, found))) for name in names),
        contents={
            name: joined(*(found_rule_content(code, data, anonymous) for code, data in found.rules.get(name, ())))
            for name in names
        },
    )


def _load(custom: Sequence[CustomRules]) -> None:
    """Run libnftables, which may end its process, in another one in the same network namespace."""
    lines = [f"add table inet {TABLE}", *(f"add chain inet {TABLE} {custom_chain(each)}" for each in custom)]
    places: dict[int, tuple[CustomRules, int, str]] = {}
    for each in custom:
        for number, line in numbered_lines(each):
            lines.append(f"add rule inet {TABLE} {custom_chain(each)} {line}")
            places[len(lines)] = each, number, line
    program = [sys.executable, "-P", "-m", "mnp_nftables.libnftables"]
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(program, input=text.encode(), capture_output=True, check=False, timeout=_PATIENCE)  # noqa: S603 - this program
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"custom rules cannot be tried, libnftables does not run: {error}") from error
    if done.returncode:
        raise _refused(done.returncode, done.stderr, places)


def _refused(status: int, complaint: bytes, places: Mapping[int, tuple[CustomRules, int, str]]) -> Exception:
    match = _LINE.search(complaint)
    if match and int(match[1]) in places:
        custom, number, line = places[int(match[1])]
        return InputError(
            f"nft refuses {line!r}: {match[2].decode(errors='replace')}", where=custom.place, field=f"line {number}"
        )
    words = complaint.decode(errors="replace").strip()
    if status == 1 and words:
        return UnsupportedError(words.splitlines()[-1])
    where = ", ".join(sorted({custom.place for custom, _, _ in places.values()}))
    return InputError(f"nft ends with status {status}: {words or 'without a word'}", where=where)


def _check(custom: Sequence[CustomRules], names: Sequence[str], found: Raw) -> None:
    """Refuse lines that make more than rules: it would be left behind, or be in the way of the next replacement."""
    codes = (element for rules in found.rules.values() for expressions, _ in rules for element in expressions)
    looked_up = {_lookup(element)[uapi.NFTA_LOOKUP_SET] for element in codes if element.startswith(LOOKUP)}
    more = [
        name
        for name, (each, _) in found.sets.items()
        if name not in looked_up or not each.get(uapi.NFTA_SET_FLAGS, b"\0")[-1] & uapi.NFT_SET_ANONYMOUS
    ]
    more += [name.encode() for name in found.chains if name not in names]
    if more:
        where = ", ".join(each.place for each in custom)
        name = more[0].decode(errors="replace")
        raise InputError(f"a rule makes a set or chain of its own ({name}): write it without", where=where)


def _rules(chain: str, found: Raw) -> Iterator[Rule]:
    for expressions, userdata in found.rules.get(chain, ()):
        code = tuple(_code(element, found.sets) for element in expressions)
        yield Rule(text="", code=code, userdata=userdata)


def _lookup(element: bytes) -> dict[int, bytes]:
    return dict(attributes(dict(attributes(element))[uapi.NFTA_EXPR_DATA]))


def _code(element: bytes, sets: Mapping[bytes, tuple[Found, list[bytes]]]) -> Code:
    if element.startswith(LOOKUP):
        use = _lookup(element)
        found, elements = sets[use[uapi.NFTA_LOOKUP_SET]]
        shape = b"".join(attribute(number, value) for number, value in found.items() if number not in _ASSIGNED)
        named = {uapi.NFTA_LOOKUP_SET, uapi.NFTA_LOOKUP_SET_ID}
        how = b"".join(attribute(number, value) for number, value in use.items() if number not in named)
        return AnonymousSet(shape, tuple(attribute(uapi.NFTA_LIST_ELEM, each) for each in elements), how)
    return attribute(uapi.NFTA_LIST_ELEM, element)
