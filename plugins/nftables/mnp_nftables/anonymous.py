"""Sets without a name: they are part of a rule, come with it and go with it."""

from collections.abc import Iterator

from attrs import frozen

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested, number

_BIG_ENDIAN = b"\0\4\2\0\0\0"  # NFTNL_UDATA_SET_KEYBYTEORDER: how nft shows elements
_OPEN = b"\1\4\1\0\0\0"  # NFTNL_UDATA_SET_ELEM_FLAGS, SET_ELEM_F_INTERVAL_OPEN: likewise, for one that has no end


@frozen
class AnonymousSet:
    """A set as the kernel takes it.

    Attributes:
        attributes: All but its table, name and identity.
        elements: Each as a list element.
        use: How the rule looks it up: attributes of that expression, all but the set.
    """

    attributes: bytes
    elements: tuple[bytes, ...]
    use: bytes = number(uapi.NFTA_LOOKUP_SREG, 1)  # NFT_REG_1


def of_values(kind: int, values: list[bytes]) -> AnonymousSet:
    """Single values of one size, sorted; `kind` is the type that nft shows them by."""
    return _set(kind, len(values[0]), 0, [_element(value) for value in values])


def of_spans(kind: int, spans: list[tuple[bytes, bytes]]) -> AnonymousSet:
    """Spans from the first to the last value, sorted, apart from each other."""
    size = len(spans[0][0])
    return _set(kind, size, uapi.NFT_SET_INTERVAL, list(_intervals(spans, size)))


def _intervals(spans: list[tuple[bytes, bytes]], size: int) -> Iterator[bytes]:
    """The start of each interval, and the first value after it: the kernel's form of an interval's end."""
    if any(spans[0][0]):
        yield _element(bytes(size), end=True)
    for first, last in spans:
        after = int.from_bytes(last, "big") + 1
        if after < 1 << (8 * size):
            yield _element(first)
            yield _element(after.to_bytes(size, "big"), end=True)
        else:
            yield _element(first, data=_OPEN)


def _element(value: bytes, *, end: bool = False, data: bytes = b"") -> bytes:
    key = nested(uapi.NFTA_SET_ELEM_KEY, attribute(uapi.NFTA_DATA_VALUE, value))
    flags = number(uapi.NFTA_SET_ELEM_FLAGS, uapi.NFT_SET_ELEM_INTERVAL_END) if end else b""
    userdata = attribute(uapi.NFTA_SET_ELEM_USERDATA, data) if data else b""
    return nested(uapi.NFTA_LIST_ELEM, key + flags + userdata)


def _set(kind: int, size: int, flags: int, elements: list[bytes]) -> AnonymousSet:
    body = (
        number(uapi.NFTA_SET_FLAGS, uapi.NFT_SET_ANONYMOUS | uapi.NFT_SET_CONSTANT | flags),
        number(uapi.NFTA_SET_KEY_TYPE, kind),
        number(uapi.NFTA_SET_KEY_LEN, size),
        nested(uapi.NFTA_SET_DESC, number(uapi.NFTA_SET_DESC_SIZE, len(elements))),
        attribute(uapi.NFTA_SET_USERDATA, _BIG_ENDIAN),
    )
    return AnonymousSet(b"".join(body), tuple(elements))
