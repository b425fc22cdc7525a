"""The expressions of nf_tables that our rules are made of, as the kernel takes them (<linux/netfilter/nf_tables.h>).

Each is what libnftables makes of the same words, register for register; `mnp_nftables.terms` puts words and expressions
side by side.
"""

import sys
from functools import lru_cache

from mnp_core.netfilter.attributes import attribute, nested, number, text_attribute

META_INPUT, META_OUTPUT, META_FAMILY, META_PROTOCOL = 6, 7, 15, 16  # NFT_META_IIFNAME, OIFNAME, NFPROTO, L4PROTO
NETWORK, TRANSPORT = 1, 2  # NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
CT_STATE, CT_DIRECTION, CT_STATUS, CT_DESTINATION_PORT = 0, 1, 2, 12  # NFT_CT_STATE, DIRECTION, STATUS, PROTO_DST
CT_SOURCE = {4: 19, 6: 21}  # NFT_CT_SRC_IP, NFT_CT_SRC_IP6
ORIGINAL = 0  # IP_CT_DIR_ORIGINAL
_EQUAL, _UNEQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5  # NFT_CMP_EQ, NEQ, LTE, GTE
_VERDICT_REGISTER, _REGISTER = 0, 1  # NFT_REG_VERDICT, NFT_REG_1
_DROP, _ACCEPT, _JUMP, _GOTO = 0, 1, -3, -4  # NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO
_ICMPX, _ADMIN_PROHIBITED = 2, 3  # NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED
_ELEMENT, _NAME, _DATA = 1, 1, 2  # NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA
_VALUE, _VERDICT = 1, 2  # NFTA_DATA_VALUE, NFTA_DATA_VERDICT


def expression(name: str, *data: bytes) -> bytes:
    """An expression, as an element of a rule's list."""
    return nested(_ELEMENT, text_attribute(_NAME, name) + nested(_DATA, b"".join(data)))


@lru_cache
def meta(key: int, register: int = _REGISTER) -> bytes:
    """Load what is known of the packet."""
    return expression("meta", number(2, key), number(1, register))


@lru_cache
def payload(base: int, offset: int, size: int, register: int = _REGISTER) -> bytes:
    """Load bytes of a header."""
    return expression("payload", number(1, register), number(2, base), number(3, offset), number(4, size))


@lru_cache
def connection(key: int, direction: int | None = None) -> bytes:
    """Load what connection tracking knows."""
    way = b"" if direction is None else attribute(3, bytes([direction]))
    return expression("ct", number(1, _REGISTER), number(2, key), way)


def masked(mask: bytes) -> bytes:
    """Keep some bits of what was loaded."""
    zeros = bytes(len(mask))
    return expression(
        "bitwise",
        number(1, _REGISTER),
        number(2, _REGISTER),
        number(3, len(mask)),
        number(6, 0),
        nested(4, attribute(_VALUE, mask)),
        nested(5, attribute(_VALUE, zeros)),
    )


def equals(value: bytes) -> bytes:
    """Go on if what was loaded begins with this."""
    return _compare(_EQUAL, value)


def within(first: bytes, last: bytes) -> tuple[bytes, ...]:
    """Go on if what was loaded lies between these, both included."""
    return _compare(_AT_LEAST, first), _compare(_AT_MOST, last)


def any_bit(bits: int) -> tuple[bytes, ...]:
    """Go on if any of these bits of a number of 32 bits, in the machine's own byte order, is set."""
    return masked(bits.to_bytes(4, sys.byteorder)), _compare(_UNEQUAL, bytes(4))


def lookup(name: str) -> bytes:
    """Go on if what was loaded is an element of a set."""
    return expression("lookup", text_attribute(1, name), number(2, _REGISTER))


def lookup_in(name: str, identity: int, use: bytes) -> bytes:
    """Look something up in a set of the same transaction, in the way that the attributes `use` say."""
    return expression("lookup", text_attribute(1, name), use, number(4, identity))


def counter() -> bytes:
    """Count."""
    return _COUNTER


def accept() -> bytes:
    """End our base chain, and no other."""
    return _verdict(_ACCEPT)


def drop() -> bytes:
    """Drop the packet."""
    return _verdict(_DROP)


def jump(chain: str) -> bytes:
    """Go through a chain, and come back if it does not decide."""
    return _verdict(_JUMP, chain)


def goto(chain: str) -> bytes:
    """Go on in a chain."""
    return _verdict(_GOTO, chain)


def reject() -> bytes:
    """Drop the packet and answer ``administratively prohibited``."""
    return expression("reject", number(1, _ICMPX), attribute(2, bytes([_ADMIN_PROHIBITED])))


def _compare(operator: int, value: bytes) -> bytes:
    return expression("cmp", number(1, _REGISTER), number(2, operator), nested(3, attribute(_VALUE, value)))


def _verdict(code: int, chain: str = "") -> bytes:
    where = text_attribute(2, chain) if chain else b""
    return expression("immediate", number(1, _VERDICT_REGISTER), nested(2, nested(_VERDICT, number(1, code) + where)))


_COUNTER = expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))
