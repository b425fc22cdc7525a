"""The expressions of nf_tables that our rules are made of, as the kernel takes them (<linux/netfilter/nf_tables.h>).

Each equals libnftables' encoding of the same words, register for register; `mnp_nftables.terms` puts words and
expressions side by side.
"""

import sys
from functools import lru_cache

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested, number, text_attribute
from mnp_core.netfilter.expressions import (
    AT_LEAST,
    AT_MOST,
    META_FAMILY,
    META_INPUT,
    META_OUTPUT,
    META_PROTOCOL,
    NETWORK,
    REGISTER,
    TRANSPORT,
    UNEQUAL,
    compare,
    equals,
    expression,
    meta,
    payload,
)

__all__ = [
    "META_FAMILY",
    "META_INPUT",
    "META_OUTPUT",
    "META_PROTOCOL",
    "NETWORK",
    "TRANSPORT",
    "equals",
    "expression",
    "meta",
    "payload",
]  # the others of this module are defined here

LINK = 0  # NFT_PAYLOAD_LL_HEADER
CT_STATE, CT_DIRECTION, CT_STATUS, CT_DESTINATION_PORT = 0, 1, 2, 12  # NFT_CT_STATE, DIRECTION, STATUS, PROTO_DST
CT_SOURCE = {4: 19, 6: 21}  # NFT_CT_SRC_IP, NFT_CT_SRC_IP6
ORIGINAL = 0  # IP_CT_DIR_ORIGINAL
_VERDICT_REGISTER = 0  # NFT_REG_VERDICT
_DROP, _ACCEPT, _JUMP, _GOTO = 0, 1, -3, -4  # NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO
_PACKETS, _SECOND = 0, 1  # NFT_LIMIT_PKTS; the unit of time in seconds
_ICMPX, _ADMIN_PROHIBITED = 2, 3  # NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED


@lru_cache
def connection(key: int, direction: int | None = None) -> bytes:
    """Load a field of the conntrack entry."""
    way = b"" if direction is None else attribute(uapi.NFTA_CT_DIRECTION, bytes([direction]))
    return expression("ct", number(uapi.NFTA_CT_DREG, REGISTER), number(uapi.NFTA_CT_KEY, key), way)


def masked(mask: bytes) -> bytes:
    """Mask the loaded value."""
    zeros = bytes(len(mask))
    return expression(
        "bitwise",
        number(uapi.NFTA_BITWISE_SREG, REGISTER),
        number(uapi.NFTA_BITWISE_DREG, REGISTER),
        number(uapi.NFTA_BITWISE_LEN, len(mask)),
        number(uapi.NFTA_BITWISE_OP, 0),  # NFT_BITWISE_MASK_XOR
        nested(uapi.NFTA_BITWISE_MASK, attribute(uapi.NFTA_DATA_VALUE, mask)),
        nested(uapi.NFTA_BITWISE_XOR, attribute(uapi.NFTA_DATA_VALUE, zeros)),
    )


def differs(value: bytes) -> bytes:
    """Go on if the loaded value does not begin with this."""
    return compare(UNEQUAL, value)


def within(first: bytes, last: bytes) -> tuple[bytes, ...]:
    """Go on if the loaded value lies between these, both included."""
    return compare(AT_LEAST, first), compare(AT_MOST, last)


def any_bit(bits: int) -> tuple[bytes, ...]:
    """Go on if any of these bits of a number of 32 bits, in the machine's own byte order, is set."""
    return masked(bits.to_bytes(4, sys.byteorder)), compare(UNEQUAL, bytes(4))


def lookup(name: str) -> bytes:
    """Go on if the loaded value is an element of a set."""
    return expression("lookup", text_attribute(uapi.NFTA_LOOKUP_SET, name), number(uapi.NFTA_LOOKUP_SREG, REGISTER))


def lookup_in(name: str, identity: int, use: bytes) -> bytes:
    """Look the loaded value up in a set of the same transaction, with the attributes `use`."""
    return expression(
        "lookup", text_attribute(uapi.NFTA_LOOKUP_SET, name), use, number(uapi.NFTA_LOOKUP_SET_ID, identity)
    )


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
    return expression(
        "reject",
        number(uapi.NFTA_REJECT_TYPE, _ICMPX),
        attribute(uapi.NFTA_REJECT_ICMP_CODE, bytes([_ADMIN_PROHIBITED])),
    )


def limit(rate: int, burst: int) -> bytes:
    """Go on with so many packets a second."""
    return expression(
        "limit",
        attribute(uapi.NFTA_LIMIT_RATE, rate.to_bytes(8, "big")),
        attribute(uapi.NFTA_LIMIT_UNIT, _SECOND.to_bytes(8, "big")),
        number(uapi.NFTA_LIMIT_BURST, burst),
        number(uapi.NFTA_LIMIT_TYPE, _PACKETS),
        number(uapi.NFTA_LIMIT_FLAGS, 0),
    )


def log(group: int, prefix: str, size: int) -> bytes:
    """Log to NFLOG."""
    return expression(
        "log",
        text_attribute(uapi.NFTA_LOG_PREFIX, prefix),
        attribute(uapi.NFTA_LOG_GROUP, group.to_bytes(2, "big")),
        number(uapi.NFTA_LOG_SNAPLEN, size),
    )


def _verdict(code: int, chain: str = "") -> bytes:
    verdict = number(uapi.NFTA_VERDICT_CODE, code) + (text_attribute(uapi.NFTA_VERDICT_CHAIN, chain) if chain else b"")
    data = nested(uapi.NFTA_IMMEDIATE_DATA, nested(uapi.NFTA_DATA_VERDICT, verdict))
    return expression("immediate", number(uapi.NFTA_IMMEDIATE_DREG, _VERDICT_REGISTER), data)


_COUNTER = expression(
    "counter", attribute(uapi.NFTA_COUNTER_BYTES, bytes(8)), attribute(uapi.NFTA_COUNTER_PACKETS, bytes(8))
)
