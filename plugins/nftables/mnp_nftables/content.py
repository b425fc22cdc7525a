"""What makes a table what it is, in a form that is the same for what we send and for what the kernel has made of it.

Without handles, counters and everything else that the kernel adds. So what is in force can be compared with
what is wanted (S62, S63), and nothing that is found in a sandbox has to be believed. Attributes that a newer kernel may
add to an expression are left out as long as they are zero; one that is not is another rule.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from attrs import frozen

from mnp_core.netfilter.attributes import attributes
from mnp_nftables.anonymous import AnonymousSet
from mnp_nftables.terms import Code

COUNTER = b"\x0c\0\x01\0counter\0"
"""How a counter begins among the expressions of a rule: NFTA_EXPR_NAME and its value."""

LOOKUP = b"\x0b\0\x01\0lookup\0"
_NAME, _DATA = 1, 2  # NFTA_EXPR_NAME, NFTA_EXPR_DATA
_LOOKUP_SET, _LOOKUP_IDENTITY, _LOOKUP_FLAGS = 1, 4, 5  # NFTA_LOOKUP_SET, _SET_ID, _FLAGS
_UNSAID = frozenset({_LOOKUP_SET, _LOOKUP_IDENTITY, _LOOKUP_FLAGS})
_KNOWN: Mapping[bytes, frozenset[int]] = {  # attributes that we write: these always count
    b"meta\0": frozenset({1, 2}),
    b"cmp\0": frozenset({1, 2, 3}),
    b"payload\0": frozenset({1, 2, 3, 4}),
    b"bitwise\0": frozenset({1, 2, 3, 4, 5}),
    b"ct\0": frozenset({1, 2, 3}),
    b"lookup\0": frozenset({1, 2}),
    b"immediate\0": frozenset({1, 2}),
    b"reject\0": frozenset({1, 2}),
}
_STATE: Mapping[bytes, frozenset[int]] = {  # attributes that packets change
    b"quota\0": frozenset({4}),  # NFTA_QUOTA_CONSUMED
    b"last\0": frozenset({1, 2}),  # NFTA_LAST_SET, NFTA_LAST_MSECS
    b"counter\0": frozenset({1, 2}),
}
_NESTED: Mapping[bytes, frozenset[int]] = {
    b"cmp\0": frozenset({3}),
    b"bitwise\0": frozenset({4, 5}),
    b"immediate\0": frozenset({2}),
}
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE, _CHAIN_FLAGS = 3, 4, 5, 7, 10
_BASE = 1  # NFT_CHAIN_BASE, which older kernels do not say
_SET_NAME, _SET_DESCRIPTION = 2, 9
_SET_KEPT = (3, 4, 5, 6, 7, 11, 12, 15, 17, 18)  # flags, key, data, timeout, objects, expressions
_ELEMENT_KEY, _ELEMENT_FLAGS, _ELEMENT_USERDATA, _ELEMENT_PADDING = 1, 3, 6, 8
_INTERVAL_END = 1  # NFT_SET_ELEM_INTERVAL_END


@frozen(kw_only=True)
class Content:
    """The contents of a table: each of its parts in the form that is compared."""

    flags: bytes = b""
    chains: tuple[bytes, ...]
    sets: tuple[bytes, ...]
    rules: tuple[tuple[str, bytes], ...]

    def digest(self) -> str:
        """The same exactly for tables that judge every packet alike, membership apart."""
        by_chain: defaultdict[str, list[bytes]] = defaultdict(list)
        for chain, content in self.rules:
            by_chain[chain].append(content)
        rules = (joined(chain.encode(), *by_chain[chain]) for chain in sorted(by_chain))
        parts = (self.flags.strip(b"\0"), joined(*sorted(self.chains)), joined(*sorted(self.sets)), joined(*rules))
        return hashlib.sha256(joined(*parts)).hexdigest()


def chain_content(found: Mapping[int, bytes]) -> bytes:
    """A chain: its name, and how it is hooked in, if it is."""
    flags = int.from_bytes(found.get(_CHAIN_FLAGS, b""), "big") & ~_BASE
    hook = _canonical_nested(found.get(_CHAIN_HOOK, b""))
    kept = (found.get(number, b"") for number in (_CHAIN_NAME, _CHAIN_POLICY, _CHAIN_TYPE))
    return joined(*kept, hook, flags.to_bytes(4, "big"))


def set_content(found: Mapping[int, bytes]) -> bytes:
    """A set that has a name: everything but its elements."""
    size = b"".join(value for _, value in attributes(found.get(_SET_DESCRIPTION, b"")))
    return joined(found.get(_SET_NAME, b""), _set_shape(found), size)


def anonymous_content(found: Mapping[int, bytes], elements: Iterable[bytes]) -> bytes:
    """A set that is part of a rule, elements and all."""
    return joined(_set_shape(found), *sorted(filter(None, map(_element_content, elements))))


def rule_content(code: Iterable[Code], userdata: bytes) -> bytes:
    """A rule that we send."""
    return joined(userdata) + b"".join([_code_content(each) for each in code])


def found_rule_content(elements: Iterable[bytes], userdata: bytes, anonymous: Mapping[bytes, bytes]) -> bytes:
    """A rule that the kernel has; sets of its own are named in its expressions."""
    return joined(userdata) + b"".join([_expression_content(element, anonymous) for element in elements])


def joined(*parts: bytes) -> bytes:
    """Parts, so put together that different parts give different bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def _set_shape(found: Mapping[int, bytes]) -> bytes:
    kept = ((number, found.get(number, b"")) for number in _SET_KEPT)
    return b"".join(joined(bytes([number]), value) for number, value in kept if value.strip(b"\0"))


def _element_content(element: bytes) -> bytes:
    """An element; nothing for the end of an interval that begins nowhere, which kernels keep or not."""
    parts = sorted(attributes(element))
    flags = next((int.from_bytes(value, "big") for number, value in parts if number == _ELEMENT_FLAGS), 0)
    key = b"".join(value for number, data in parts if number == _ELEMENT_KEY for _, value in attributes(data))
    if flags == _INTERVAL_END and not any(key):
        return b""
    others = (
        joined(bytes([number]), value)
        for number, value in parts
        if number not in {_ELEMENT_KEY, _ELEMENT_FLAGS, _ELEMENT_USERDATA, _ELEMENT_PADDING}
    )
    return joined(key, bytes([flags & 0xFF]), *others)


@lru_cache
def _anonymous(found: AnonymousSet) -> bytes:
    elements = (value for element in found.elements for _, value in attributes(element))
    return anonymous_content(dict(attributes(found.attributes)), elements)


def _code_content(code: Code) -> bytes:
    if isinstance(code, AnonymousSet):
        return _lookup_content(_anonymous(code), dict(attributes(code.use)))
    return _canonical(code[4:])  # without the head of the list's element


def _expression_content(element: bytes, anonymous: Mapping[bytes, bytes]) -> bytes:
    if element.startswith(COUNTER):
        return _COUNTED
    if element.startswith(LOOKUP):
        data = dict(attributes(dict(attributes(element)).get(_DATA, b"")))
        content = anonymous.get(data.get(_LOOKUP_SET, b""))
        if content is not None:
            return _lookup_content(content, data)
    return _canonical(element)


def _lookup_content(content: bytes, data: Mapping[int, bytes]) -> bytes:
    use = (joined(bytes([number & 0xFF]), value) for number, value in sorted(data.items()) if number not in _UNSAID)
    flags = data.get(_LOOKUP_FLAGS, b"").strip(b"\0")
    return joined(joined(b"lookup", content, flags, *use))


@lru_cache(maxsize=1 << 14)
def _canonical(element: bytes) -> bytes:
    parts = dict(attributes(element))
    name = parts.get(_NAME, b"")
    if name not in _KNOWN and name not in _STATE:
        return joined(element)
    known, state, nested = (each.get(name, frozenset()) for each in (_KNOWN, _STATE, _NESTED))
    kept = (
        joined(bytes([number & 0xFF]), _canonical_nested(value) if number in nested else value)
        for number, value in sorted(attributes(parts.get(_DATA, b"")))
        if number not in state and (number in known or any(value))
    )
    return joined(joined(name, *kept))


def _canonical_nested(data: bytes) -> bytes:
    """Attributes in attributes, whether or not their heads say that they are."""
    inner = ((number, value, dict(attributes(value))) for number, value in attributes(data))
    return b"".join(
        joined(bytes([number & 0xFF]), _canonical_nested(value) if number == 2 and _is_verdict(deeper) else value)
        for number, value, deeper in inner
    )


_COUNTED = _canonical(COUNTER)


def _is_verdict(found: Mapping[int, bytes]) -> bool:
    return len(found.get(1, b"")) == 4 and set(found) <= {1, 2}
