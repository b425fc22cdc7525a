"""Groups as named sets: their names, and the text of members, written and read back.

A group has the same sets in every sandbox, one per family, both always declared, so that a change of membership is the
same transaction everywhere. They are hash sets: an element comes or goes in constant time.
"""

import socket
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address

from attrs import frozen

from mnp_core.model import Address, Endpoint, EndpointGroup, Family, Group
from mnp_nftables.names import group_id
from mnp_nftables.recent import Recent

FAMILIES: tuple[Family, ...] = (4, 6)
_ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_ADDRESS_SIZE = {4: 4, 6: 16}
_ADDRESS_NUMBER = {4: 7, 6: 8}  # TYPE_IPADDR, TYPE_IP6ADDR in libnftables' datatype.h
_PROTOCOL_NUMBER, _SERVICE_NUMBER = 12, 13  # TYPE_INET_PROTOCOL, TYPE_INET_SERVICE; six bits each, put together
_BIG_ENDIAN, _NO_ORDER = b"\0\4\2\0\0\0", b"\0\4\0\0\0\0"  # NFTNL_UDATA_SET_KEYBYTEORDER
_REGISTER = 4  # the kernel pads each part of a concatenation to a multiple of this (NFT_REG32_SIZE)

TABLE = "mnp"
"""Everything of ours is in this table of family inet, and in one of family bridge for bridged interfaces."""

Elements = Mapping[str, frozenset[str]]
"""Name of a set to its elements, as nft writes them."""


@frozen(kw_only=True, cache_hash=True)
class SetName:
    """One family of one group: ``g4-ID`` and ``g6-ID`` for addresses, ``e4-ID`` and ``e6-ID`` for endpoints.

    Attributes:
        union: Whether it is ``u4-ID`` or ``u6-ID``, for the addresses of several groups, see
            `mnp_core.netfilter.unions`.
        length: Whether it is ``b4-LENGTH-ID`` or ``b6-LENGTH-ID``, for prefixes of one length by their first
            addresses, see `mnp_nftables.blocks`.
    """

    family: Family
    endpoints: bool
    group: str
    union: bool = False
    length: int | None = None

    @lru_cache(maxsize=1 << 10)  # noqa: B019 - a value, not an object with a life
    def __str__(self) -> str:
        if self.length is not None:
            return f"b{self.family}-{self.length}-{group_id(self.group)}"
        kind = "u" if self.union else "e" if self.endpoints else "g"
        return f"{kind}{self.family}-{group_id(self.group)}"

    @property
    def type(self) -> str:
        """The type of its elements."""
        address = _ADDRESS_TYPE[self.family]
        return f"{address} . inet_proto . inet_service" if self.endpoints else address

    @property
    def kernel_type(self) -> tuple[int, int, bytes]:
        """For the kernel: the type by which nft shows elements, their size, and their byte order for nft."""
        address, size = _ADDRESS_NUMBER[self.family], _ADDRESS_SIZE[self.family]
        if not self.endpoints:
            return address, size, _BIG_ENDIAN
        return (address << 12) | (_PROTOCOL_NUMBER << 6) | _SERVICE_NUMBER, size + 2 * _REGISTER, _NO_ORDER


def set_names(group: Group) -> tuple[SetName, ...]:
    """The sets of a group."""
    return _set_names(group.id, isinstance(group, EndpointGroup))


@lru_cache(maxsize=1 << 10)
def _set_names(identity: str, endpoints: bool) -> tuple[SetName, ...]:  # noqa: FBT001 - for the cache
    return tuple(SetName(family=family, endpoints=endpoints, group=identity) for family in FAMILIES)


def elements(group: Group) -> dict[str, frozenset[str]]:
    """The elements of each of a group's sets."""
    found = _by_family(group.members)
    return {str(name): found[name.family] for name in set_names(group)}


def _texts(members: frozenset[Address] | frozenset[Endpoint]) -> Mapping[Family, frozenset[str]]:
    texts: dict[Family, set[str]] = {family: set() for family in FAMILIES}
    for member in members:
        if isinstance(member, Endpoint):
            texts[member.address.version].add(_endpoint(member))
        else:
            texts[member.version].add(str(member))
    return {family: frozenset(found) for family, found in texts.items()}


_by_family = Recent(_texts)


def command(verb: str, changed: Elements, family: str = "inet") -> str:
    """Lines that add (``add``, or ``create`` if none may be there yet) or ``delete`` elements; sorted."""
    lines = (
        f"{verb} element {family} {TABLE} {name} {{\n\t" + _listed(changed[name]) + "\n}\n"
        for name in sorted(changed)
        if changed[name]
    )
    return "".join(lines)


def _list(members: frozenset[str]) -> str:
    return ",\n\t".join(sorted(members))


_listed = Recent(_list)


def element_key(text: str) -> bytes:
    """The bytes of an element as the kernel has them; the inverse of `element_text`."""
    address, *endpoint = text.split(" . ")
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    if not endpoint:
        return packed
    protocol, port = map(int, endpoint)
    return (
        packed + protocol.to_bytes(1, "big").ljust(_REGISTER, b"\0") + port.to_bytes(2, "big").ljust(_REGISTER, b"\0")
    )


def element_text(key: bytes) -> str:
    """The text of an element, from its bytes in the kernel; hexadecimal if the length is not one of ours."""
    for family in FAMILIES:
        size = _ADDRESS_SIZE[family]
        if len(key) == size:
            return address_text(family, key)
        if len(key) == size + 2 * _REGISTER:
            port = int.from_bytes(key[size + _REGISTER : size + _REGISTER + 2], "big")
            return f"{address_text(family, key[:size])} . {key[size]} . {port}"
    return f"0x{key.hex()}"


def _endpoint(endpoint: Endpoint) -> str:
    return f"{endpoint.address} . {int(endpoint.protocol)} . {endpoint.port}"


def address_text(family: Family, packed: bytes) -> str:
    """An address of one family as nft and Python write it."""
    if family == 4:
        return socket.inet_ntoa(packed)
    text = socket.inet_ntop(socket.AF_INET6, packed)
    return str(IPv6Address(packed)) if "." in text else text  # ::1.2.3.4 is not how Python writes it
