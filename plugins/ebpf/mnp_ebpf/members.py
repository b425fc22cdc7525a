"""Members of groups: as text in a ruleset, and as keys of maps."""

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from mnp_core.errors import ApplyError
from mnp_core.model import Address, AddressGroup, Endpoint, Group, Protocol
from mnp_ebpf.names import group_id

ADDRESSES, ENDPOINTS = "addresses", "endpoints"
"""What the names of sets begin with."""

KEY_SIZE: Final = 20
VALUE: Final = bytes(4)
_KEY = struct.Struct("=16sHBB")  # struct member_key: address, port, protocol, family
_PORT = slice(16, 19)  # port and protocol


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


def keys(name: str, members: Iterable[str]) -> frozenset[bytes]:
    """The keys of elements of a set.

    Raises:
        ApplyError: An element is not in the form of this dialect's renderer.
    """
    return frozenset(_key(name, member) for member in members)


def _key(name: str, member: str) -> bytes:
    try:
        address, _, service = member.partition(" ")
        protocol, _, port = service.partition("/")
        family = 6 if ":" in address else 4
        packed = inet_pton(AF_INET6 if family == 6 else AF_INET, address).ljust(16, b"\0")
        return _KEY.pack(packed, int(port) if service else 0, Protocol[protocol] if service else 0, family)
    except (KeyError, OSError, ValueError, struct.error) as error:
        raise ApplyError(f"{member!r} is no element of the set {name}: an address, or address PROTOCOL/port") from error


def completed(name: str, found: Iterable[bytes]) -> frozenset[bytes]:
    """With endpoints, each address alone, too: for fragments without ports."""
    found = frozenset(found)
    return found | _alone(found) if name.startswith(ENDPOINTS) else found


def elements_only(name: str, found: Iterable[bytes]) -> frozenset[bytes]:
    """The opposite of `completed`."""
    found = frozenset(found)
    if not name.startswith(ENDPOINTS):
        return found
    served = frozenset(key for key in found if any(key[_PORT]))
    return served if found == completed(name, served) else found


def _alone(found: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(key[: _PORT.start] + bytes(3) + key[_PORT.stop :] for key in found)


def members_of(name: str, found: Iterable[bytes]) -> frozenset[str]:
    """The elements of a set, from what is in its map; whatever is there that we would not write is shown as bytes."""
    return frozenset(map(_shown, elements_only(name, found)))


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
