"""Members of groups: as text in a ruleset, and as keys of maps."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from mnp_core.errors import ApplyError
from mnp_core.model import Address, AddressGroup, Endpoint, Group, Protocol
from mnp_ebpf.names import group_id

ADDRESSES, ENDPOINTS = "addresses", "endpoints"
"""What the names of sets begin with."""

KEY_SIZE: Final = 20
VALUE: Final = bytes(4)
_KEY = struct.Struct("=16sHBB")  # struct member_key: address, port, protocol, family


def set_name(group: Group) -> str:
    """The name of the set of a group."""
    return f"{ADDRESSES if isinstance(group, AddressGroup) else ENDPOINTS}-{group_id(group.id)}"


def elements(group: Group) -> frozenset[str]:
    """The members as text: ``10.0.0.2``, or ``10.0.0.2 TCP/80``."""
    return frozenset(map(_text, group.members))


def _text(member: Address | Endpoint) -> str:
    if isinstance(member, Endpoint):
        return f"{member.address} {member.protocol.name}/{member.port}"
    return str(member)


def keys(name: str, members: Iterable[str]) -> Iterator[bytes]:
    """The keys of a set; one of endpoints also has each address alone, for fragments without ports.

    Raises:
        ApplyError: An element is not in the form of this dialect's renderer.
    """
    alone = set()
    for member in members:
        try:
            address, _, service = member.partition(" ")
            protocol, _, port = service.partition("/")
            number = Protocol[protocol] if service else 0
            yield _key(ip_address(address), number, int(port or 0))
        except (KeyError, ValueError, struct.error) as error:
            raise ApplyError(
                f"{member!r} is no element of the set {name}: an address, or address PROTOCOL/port"
            ) from error
        alone.add(address)
    if name.startswith(ENDPOINTS):
        yield from (_key(ip_address(address), 0, 0) for address in alone)


def _key(address: Address, protocol: int, port: int) -> bytes:
    return _KEY.pack(address.packed.ljust(16, b"\0"), port, protocol, address.version)


def members_of(name: str, found: Mapping[bytes, bytes]) -> frozenset[str]:
    """The elements of a set, from what is in its map; whatever is there that we would not write is shown as bytes."""
    shown = frozenset(map(_shown, found))
    try:
        alone = {_shown(key) for key in keys(name, shown)} - shown if name.startswith(ENDPOINTS) else set()
    except ApplyError:
        return shown
    with_ports = frozenset(each for each in shown if " " in each)
    if (
        name.startswith(ENDPOINTS)
        and not alone
        and shown - with_ports == {each.partition(" ")[0] for each in with_ports}
    ):
        return with_ports
    return shown


def _shown(key: bytes) -> str:
    data, port, protocol, family = _KEY.unpack(key)
    if family not in {4, 6} or (family == 4 and any(data[4:])):
        return f"0x{key.hex()}"
    address = ip_address(data[:4] if family == 4 else data)
    if not protocol and not port:
        return str(address)
    try:
        return f"{address} {Protocol(protocol).name}/{port}"
    except ValueError:
        return f"0x{key.hex()}"
