"""IP addresses, CIDR blocks and the ranges that blocks amount to (S23, S25)."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model.canonical import in_order

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network
Family = Literal[4, 6]

_MAPPED_PREFIX = 96  # bits before the IPv4 part of an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2)
_CIDR = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def parse_address(text: object) -> Address:
    """Read an address as Kubernetes writes it; IPv4-mapped IPv6 becomes IPv4 (S25).

    Raises:
        ValueError: It is not an address, or carries a zone.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise ValueError("not an IP address")
    address = ip_address(text)
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def parse_cidr(text: object) -> Cidr:
    """Read a block as Kubernetes (Go's net.ParseCIDR) does: host bits are masked, a length is required.

    Raises:
        ValueError: It is not a block in CIDR notation.
    """
    if not isinstance(text, str) or not _CIDR.fullmatch(text):
        raise ValueError("not a block in CIDR notation")
    cidr = _slim(ip_network(text, strict=False))
    mapped = cidr.network_address.ipv4_mapped if isinstance(cidr, IPv6Network) else None
    if mapped is not None and cidr.prefixlen >= _MAPPED_PREFIX:
        return _slim(IPv4Network((mapped, cidr.prefixlen - _MAPPED_PREFIX)))
    return cidr


def _slim(cidr: Cidr) -> Cidr:
    """The block without the closure that ipaddress puts into each of one or two addresses: 200 bytes of 550.

    A quarter of a million of them are within the budget of a namespace.
    """
    with suppress(AttributeError):
        del cidr.hosts  # the instance's own; that of the class stays
    return cidr


def cidr_order(cidr: Cidr) -> tuple[int, int, int]:
    """A total order over both families."""
    return cidr.version, int(cidr.network_address), cidr.prefixlen


def covers(outer: Cidr, inner: Cidr) -> bool:
    """Say whether every address of `inner` lies in `outer`; never across families."""
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _in_order(cidrs: Iterable[Cidr]) -> tuple[Cidr, ...]:
    return in_order(cidrs, cidr_order)


_LENGTH_BITS = 8  # of a prefix's length in a code
_IPV6 = 1 << 128 + _LENGTH_BITS


def _coded(cidr: Cidr | int) -> int:
    """Family, first address and length of the prefix as one number, in that order; a code is returned as it is."""
    if isinstance(cidr, int):
        return cidr
    family = 0 if isinstance(cidr, IPv4Network) else _IPV6
    return family | int(cidr.network_address) << _LENGTH_BITS | cidr.prefixlen


def _network(code: int) -> Cidr:
    length, first = code & 0xFF, (code & ~_IPV6) >> _LENGTH_BITS
    return _slim(IPv6Network((first, length)) if code & _IPV6 else IPv4Network((first, length)))


@frozen(kw_only=True)
class Block:
    """An ipBlock: a CIDR less its own excepts, all of one family, excepts in canonical order (S23).

    The CIDR is kept as a number: a network of `ipaddress` takes 190 bytes, and a node may know half a million blocks.

    Attributes:
        cidr: The CIDR, made when it is read.
        excepts: CIDRs.
    """

    _code: int = field(alias="cidr", converter=_coded, repr=lambda code: str(_network(code)))
    excepts: tuple[Cidr, ...] = field(default=(), converter=_in_order)

    @property
    def cidr(self) -> Cidr:
        """The CIDR."""
        return _network(self._code)

    @property
    def prefix(self) -> tuple[int, int]:
        """Length and first address of the CIDR, as numbers."""
        return self._code & 0xFF, (self._code & ~_IPV6) >> _LENGTH_BITS

    @property
    def family(self) -> Family:
        """The family of all of its addresses."""
        return 6 if self._code & _IPV6 else 4

    def contains(self, address: Address) -> bool:
        """Say whether the address lies in the CIDR and in none of the excepts."""
        first, last = _code_span(self._code)
        inside = address.version == self.family and first <= int(address) <= last
        return inside and not any(address in cidr for cidr in self.excepts)

    def __str__(self) -> str:
        excepts = ", ".join(map(str, self.excepts))
        return f"{self.cidr} except {excepts}" if excepts else str(self.cidr)


def block_order(block: Block) -> tuple[int, ...]:
    """A total order of blocks."""
    return tuple(map(_coded, (block._code, *block.excepts)))  # noqa: SLF001 - a function of this class's module


@frozen(kw_only=True)
class AddressRange:
    """Addresses of one family from first to last, both included."""

    first: Address
    last: Address

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def address_ranges(blocks: Iterable[Block], family: Family) -> tuple[AddressRange, ...]:
    """The union of the blocks of one family as ranges: sorted, disjoint, never adjacent.

    The form of a packet filter: excepts are subtracted (S23), overlapping and nested CIDRs merged.
    """
    make = IPv4Address if family == 4 else IPv6Address
    spans = sorted(span for block in blocks if block.family == family for span in _block_spans(block))
    return tuple(AddressRange(first=make(first), last=make(last)) for first, last in _merged(spans))


def _code_span(code: int) -> tuple[int, int]:
    """First and last address of a CIDR."""
    length, first = code & 0xFF, (code & ~_IPV6) >> _LENGTH_BITS
    return first, first + (1 << (128 if code & _IPV6 else 32) - length) - 1


def _block_spans(block: Block) -> Iterator[tuple[int, int]]:
    """The CIDR cut at its excepts."""
    start, end = _code_span(block._code)  # noqa: SLF001 - likewise
    for first, last in _merged(sorted(_code_span(_coded(cidr)) for cidr in block.excepts)):
        if start < first:
            yield start, first - 1
        start = max(start, last + 1)
    if start <= end:
        yield start, end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join sorted spans that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
