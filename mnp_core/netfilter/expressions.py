"""The expressions of nf_tables that look at packets, as the kernel takes them (<linux/netfilter/nf_tables.h>)."""

from functools import lru_cache

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested, number, text_attribute

META_INPUT, META_OUTPUT, META_FAMILY, META_PROTOCOL = 6, 7, 15, 16  # NFT_META_IIFNAME, OIFNAME, NFPROTO, L4PROTO
META_ETHER_TYPE = 1  # NFT_META_PROTOCOL
ETHER_TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
NETWORK, TRANSPORT = 1, 2  # NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
EQUAL, UNEQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5  # NFT_CMP_EQ, NEQ, LTE, GTE
REGISTER = 1  # NFT_REG_1


def expression(name: str, *data: bytes) -> bytes:
    """An expression, as an element of a rule's list."""
    return nested(
        uapi.NFTA_LIST_ELEM, text_attribute(uapi.NFTA_EXPR_NAME, name) + nested(uapi.NFTA_EXPR_DATA, b"".join(data))
    )


@lru_cache
def meta(key: int, register: int = REGISTER) -> bytes:
    """Load a meta field of the packet."""
    return expression("meta", number(uapi.NFTA_META_KEY, key), number(uapi.NFTA_META_DREG, register))


@lru_cache
def payload(base: int, offset: int, size: int, register: int = REGISTER) -> bytes:
    """Load bytes of a header."""
    return expression(
        "payload",
        number(uapi.NFTA_PAYLOAD_DREG, register),
        number(uapi.NFTA_PAYLOAD_BASE, base),
        number(uapi.NFTA_PAYLOAD_OFFSET, offset),
        number(uapi.NFTA_PAYLOAD_LEN, size),
    )


def compare(operator: int, value: bytes) -> bytes:
    """Go on if the loaded value is so."""
    data = nested(uapi.NFTA_CMP_DATA, attribute(uapi.NFTA_DATA_VALUE, value))
    return expression("cmp", number(uapi.NFTA_CMP_SREG, REGISTER), number(uapi.NFTA_CMP_OP, operator), data)


def equals(value: bytes) -> bytes:
    """Go on if the loaded value begins with this."""
    return compare(EQUAL, value)
