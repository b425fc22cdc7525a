"""The content of a table in a canonical form, the same for our messages and for the kernel's dump.

It is without handles, counters and everything else that the kernel adds. So the table in force can be compared with
the ruleset (S62, S63), and nothing that is found in a sandbox has to be believed. Attributes that a newer kernel may
add to an expression are left out as long as they are zero; a non-zero one makes another rule.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from attrs import frozen

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attributes
from mnp_nftables.anonymous import AnonymousSet
from mnp_nftables.terms import Code

COUNTER = b"\x0c\0\x01\0counter\0"
"""The first bytes of a counter among the expressions of a rule: NFTA_EXPR_NAME and its value."""

LOOKUP = b"\x0b\0\x01\0lookup\0"
_UNSAID = frozenset({uapi.NFTA_LOOKUP_SET, uapi.NFTA_LOOKUP_SET_ID, uapi.NFTA_LOOKUP_FLAGS})
_KNOWN: Mapping[bytes, frozenset[int]] = {  # attributes that we write: these always count
    b"meta\0": frozenset({uapi.NFTA_META_DREG, uapi.NFTA_META_KEY}),
    b"cmp\0": frozenset({uapi.NFTA_CMP_SREG, uapi.NFTA_CMP_OP, uapi.NFTA_CMP_DATA}),
    b"payload\0": frozenset(
        {uapi.NFTA_PAYLOAD_DREG, uapi.NFTA_PAYLOAD_BASE, uapi.NFTA_PAYLOAD_OFFSET, uapi.NFTA_PAYLOAD_LEN}
    ),
    b"bitwise\0": frozenset(
        {
            uapi.NFTA_BITWISE_SREG,
            uapi.NFTA_BITWISE_DREG,
            uapi.NFTA_BITWISE_LEN,
            uapi.NFTA_BITWISE_MASK,
            uapi.NFTA_BITWISE_XOR,
        }
    ),
    b"ct\0": frozenset({uapi.NFTA_CT_DREG, uapi.NFTA_CT_KEY, uapi.NFTA_CT_DIRECTION}),
    b"lookup\0": frozenset({uapi.NFTA_LOOKUP_SET, uapi.NFTA_LOOKUP_SREG}),
    b"immediate\0": frozenset({uapi.NFTA_IMMEDIATE_DREG, uapi.NFTA_IMMEDIATE_DATA}),
    b"limit\0": frozenset(
        {
            uapi.NFTA_LIMIT_RATE,
            uapi.NFTA_LIMIT_UNIT,
            uapi.NFTA_LIMIT_BURST,
            uapi.NFTA_LIMIT_TYPE,
            uapi.NFTA_LIMIT_FLAGS,
        }
    ),
    b"log\0": frozenset({uapi.NFTA_LOG_GROUP, uapi.NFTA_LOG_PREFIX, uapi.NFTA_LOG_SNAPLEN}),
    b"reject\0": frozenset({uapi.NFTA_REJECT_TYPE, uapi.NFTA_REJECT_ICMP_CODE}),
}
_STATE: Mapping[bytes, frozenset[int]] = {  # attributes that packets change
    b"quota\0": frozenset({uapi.NFTA_QUOTA_CONSUMED}),
    b"last\0": frozenset({uapi.NFTA_LAST_SET, uapi.NFTA_LAST_MSECS}),
    b"counter\0": frozenset({uapi.NFTA_COUNTER_BYTES, uapi.NFTA_COUNTER_PACKETS}),
}
_NESTED: Mapping[bytes, frozenset[int]] = {
    b"cmp\0": frozenset({uapi.NFTA_CMP_DATA}),
    b"bitwise\0": frozenset({uapi.NFTA_BITWISE_MASK, uapi.NFTA_BITWISE_XOR}),
    b"immediate\0": frozenset({uapi.NFTA_IMMEDIATE_DATA}),
}
_SET_KEPT = (
    uapi.NFTA_SET_FLAGS,
    uapi.NFTA_SET_KEY_TYPE,
    uapi.NFTA_SET_KEY_LEN,
    uapi.NFTA_SET_DATA_TYPE,
    uapi.NFTA_SET_DATA_LEN,
    uapi.NFTA_SET_TIMEOUT,
    uapi.NFTA_SET_GC_INTERVAL,
    uapi.NFTA_SET_OBJ_TYPE,
    uapi.NFTA_SET_EXPR,
    uapi.NFTA_SET_EXPRESSIONS,
)
_DIGEST_SIZE = 16
_ELEMENT_KEPT_APART = frozenset(
    {uapi.NFTA_SET_ELEM_KEY, uapi.NFTA_SET_ELEM_FLAGS, uapi.NFTA_SET_ELEM_USERDATA, uapi.NFTA_SET_ELEM_PAD}
)


@frozen(kw_only=True)
class Content:
    """The content of a table: each of its parts in its canonical form."""

    flags: bytes = b""
    chains: tuple[bytes, ...]
    sets: tuple[bytes, ...]
    rules: tuple[tuple[str, bytes], ...]

    def digest(self) -> str:
        """The digest: equal exactly for tables that judge every packet alike, membership apart."""
        by_chain: defaultdict[str, list[bytes]] = defaultdict(list)
        for chain, content in self.rules:
            by_chain[chain].append(content)
        digests = {chain: rules_digest(rules) for chain, rules in by_chain.items()}
        return table_digest(self.chains, self.sets, digests, self.flags)


def table_digest(chains: Iterable[bytes], sets: Iterable[bytes], rules: Mapping[str, bytes], flags: bytes = b"") -> str:
    """The digest of a table by its parts; the rules of each chain that has any by their digest."""
    digests = (joined(chain.encode(), rules[chain]) for chain in sorted(rules))
    parts = (flags.strip(b"\0"), joined(*sorted(chains)), joined(*sorted(sets)), joined(*digests))
    return hashlib.sha256(joined(*parts)).hexdigest()


def rules_digest(rules: Iterable[bytes]) -> bytes:
    """The digest of the rules of a chain, each in its canonical form."""
    return hashlib.blake2b(joined(*rules), digest_size=_DIGEST_SIZE).digest()


def chain_content(found: Mapping[int, bytes]) -> bytes:
    """A chain: its name, and its hook, if it has one."""
    flags = int.from_bytes(found.get(uapi.NFTA_CHAIN_FLAGS, b""), "big") & ~uapi.NFT_CHAIN_BASE
    hook = _canonical_nested(found.get(uapi.NFTA_CHAIN_HOOK, b""))
    kept = (found.get(number, b"") for number in (uapi.NFTA_CHAIN_NAME, uapi.NFTA_CHAIN_POLICY, uapi.NFTA_CHAIN_TYPE))
    return joined(*kept, hook, flags.to_bytes(4, "big"))


def set_content(found: Mapping[int, bytes]) -> bytes:
    """A named set: everything but its elements."""
    size = b"".join(value for _, value in attributes(found.get(uapi.NFTA_SET_DESC, b"")))
    return joined(found.get(uapi.NFTA_SET_NAME, b""), _set_shape(found), size)


def anonymous_content(found: Mapping[int, bytes], elements: Iterable[bytes]) -> bytes:
    """A set that is part of a rule, elements and all."""
    return joined(_set_shape(found), *sorted(filter(None, map(_element_content, elements))))


def rule_content(code: Iterable[Code], userdata: bytes) -> bytes:
    """A rule that we send."""
    return joined(userdata) + b"".join([code_content(each) for each in code])


def found_rule_content(elements: Iterable[bytes], userdata: bytes, anonymous: Mapping[bytes, bytes]) -> bytes:
    """A rule that the kernel has; sets of its own are named in its expressions."""
    return joined(userdata) + b"".join([_expression_content(element, anonymous) for element in elements])


def joined(*parts: bytes) -> bytes:
    """Join parts so that different parts give different bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def _set_shape(found: Mapping[int, bytes]) -> bytes:
    kept = ((number, found.get(number, b"")) for number in _SET_KEPT)
    return b"".join(joined(bytes([number]), value) for number, value in kept if value.strip(b"\0"))


def _element_content(element: bytes) -> bytes:
    """An element; nothing for the end of an interval that begins nowhere, which kernels keep or not."""
    parts = sorted(attributes(element))
    flags = next((int.from_bytes(value, "big") for number, value in parts if number == uapi.NFTA_SET_ELEM_FLAGS), 0)
    key = b"".join(value for number, data in parts if number == uapi.NFTA_SET_ELEM_KEY for _, value in attributes(data))
    if flags == uapi.NFT_SET_ELEM_INTERVAL_END and not any(key):
        return b""
    others = (joined(bytes([number]), value) for number, value in parts if number not in _ELEMENT_KEPT_APART)
    return joined(key, bytes([flags & 0xFF]), *others)


@lru_cache
def _anonymous(found: AnonymousSet) -> bytes:
    elements = (value for element in found.elements for _, value in attributes(element))
    return anonymous_content(dict(attributes(found.attributes)), elements)


def code_content(code: Code) -> bytes:
    """An expression of a rule that we send."""
    if isinstance(code, AnonymousSet):
        return _lookup_content(_anonymous(code), dict(attributes(code.use)))
    return _canonical(code[4:])  # without the head of the list's element


def _expression_content(element: bytes, anonymous: Mapping[bytes, bytes]) -> bytes:
    if element.startswith(COUNTER):
        return _COUNTED
    if element.startswith(LOOKUP):
        data = dict(attributes(dict(attributes(element)).get(uapi.NFTA_EXPR_DATA, b"")))
        content = anonymous.get(data.get(uapi.NFTA_LOOKUP_SET, b""))
        if content is not None:
            return _lookup_content(content, data)
    return _canonical(element)


def _lookup_content(content: bytes, data: Mapping[int, bytes]) -> bytes:
    use = (joined(bytes([number & 0xFF]), value) for number, value in sorted(data.items()) if number not in _UNSAID)
    flags = data.get(uapi.NFTA_LOOKUP_FLAGS, b"").strip(b"\0")
    return joined(joined(b"lookup", content, flags, *use))


@lru_cache(maxsize=1 << 14)
def _canonical(element: bytes) -> bytes:
    parts = dict(attributes(element))
    name = parts.get(uapi.NFTA_EXPR_NAME, b"")
    if name not in _KNOWN and name not in _STATE:
        return joined(element)
    known, state, nested = (each.get(name, frozenset()) for each in (_KNOWN, _STATE, _NESTED))
    kept = (
        joined(bytes([number & 0xFF]), _canonical_nested(value) if number in nested else value)
        for number, value in sorted(attributes(parts.get(uapi.NFTA_EXPR_DATA, b"")))
        if number not in state and (number in known or any(value))
    )
    return joined(joined(name, *kept))


def _canonical_nested(data: bytes) -> bytes:
    """Attributes in attributes, whether or not their heads say that they are."""
    inner = ((number, value, dict(attributes(value))) for number, value in attributes(data))
    return b"".join(
        joined(
            bytes([number & 0xFF]),
            _canonical_nested(value) if number == uapi.NFTA_DATA_VERDICT and _is_verdict(deeper) else value,
        )
        for number, value, deeper in inner
    )


_COUNTED = _canonical(COUNTER)


def _is_verdict(found: Mapping[int, bytes]) -> bool:
    code = found.get(uapi.NFTA_VERDICT_CODE, b"")
    return len(code) == 4 and set(found) <= {uapi.NFTA_VERDICT_CODE, uapi.NFTA_VERDICT_CHAIN}
