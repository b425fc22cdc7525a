"""The headers of a packet, parsed from bytes that nobody has checked: a pod can send anything."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.model import Address, Protocol

TCP_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""From the lowest bit on (RFC 9293)."""

_IPV4: Final = struct.Struct("!BxHxxHxBxx4s4s")  # version and length, total length, fragment, protocol, addresses
_IPV6: Final = struct.Struct("!B3xHBx16s16s")  # version, payload length, next header, addresses
_PORTS: Final = struct.Struct("!HH")
_OFFSET_OF_TCP_FLAGS, _SIZE_OF_IPV6, _SIZE_OF_SCTP = 13, 40, 12
_EXTENSIONS: Final = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options: length in units of 8 bytes
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS: Final = 8
_WITH_PORTS: Final = frozenset({Protocol.TCP, Protocol.UDP, Protocol.SCTP})


@frozen(kw_only=True)
class Headers:
    """The headers of one packet, as far as its first bytes hold them.

    Attributes:
        protocol: IANA's number of the protocol above IP.
        length: Bytes of the packet, by its own header.
        source_port: None for a protocol without ports, or if the bytes do not hold it, like the following.
        flags: Set flags of TCP, of `TCP_FLAGS`.
        kind: ICMP type.
        code: ICMP code.
        chunk: The type of the first chunk of SCTP.
    """

    source: Address
    target: Address
    protocol: int
    length: int
    source_port: int | None = None
    target_port: int | None = None
    flags: tuple[str, ...] | None = None
    kind: int | None = None
    code: int | None = None
    chunk: int | None = None

    @property
    def opens(self) -> bool:
        """Whether this looks like the first packet of a flow, as far as its protocol tells."""
        if self.protocol == Protocol.TCP:
            return self.flags is not None and "SYN" in self.flags and "ACK" not in self.flags
        if self.protocol == Protocol.SCTP:
            return self.chunk == 1  # INIT (RFC 9260)
        return True


def parse_headers(packet: bytes) -> Headers | None:
    """Parse the first bytes of a packet; None if there is no header of IP."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= _IPV4.size:
        return _ipv4(packet)
    if version == 6 and len(packet) >= _SIZE_OF_IPV6:
        return _ipv6(packet)
    return None


def _ipv4(packet: bytes) -> Headers:
    first, length, fragment, protocol, source, target = _IPV4.unpack_from(packet)
    found = Headers(source=IPv4Address(source), target=IPv4Address(target), protocol=protocol, length=length)
    if fragment & 0x1FFF:  # not the first one: no header follows
        return found
    return _with_transport(found, packet[max(20, 4 * (first & 0xF)) :])


def _ipv6(packet: bytes) -> Headers:
    _, length, following, source, target = _IPV6.unpack_from(packet)
    protocol, offset = _after_extensions(packet, following)
    found = Headers(
        source=IPv6Address(source), target=IPv6Address(target), protocol=protocol, length=length + _SIZE_OF_IPV6
    )
    return found if offset is None else _with_transport(found, packet[offset:])


def _after_extensions(packet: bytes, protocol: int) -> tuple[int, int | None]:
    """The protocol after the extension headers (RFC 8200), and where its header is; None if it is not there."""
    offset = _SIZE_OF_IPV6
    for _ in range(_MOST_EXTENSIONS):
        is_short = offset + 8 > len(packet)
        if protocol in _EXTENSIONS and not is_short:
            protocol, offset = packet[offset], offset + 8 * (packet[offset + 1] + 1)
        elif protocol == _AUTHENTICATION and not is_short:
            protocol, offset = packet[offset], offset + 4 * (packet[offset + 1] + 2)
        elif protocol == _FRAGMENT and not is_short:
            is_first = not int.from_bytes(packet[offset + 2 : offset + 4], "big") >> 3
            protocol, offset = packet[offset], offset + 8
            if not is_first:
                return protocol, None
        else:
            return protocol, offset
    return protocol, None


def _with_transport(found: Headers, data: bytes) -> Headers:
    """Add the fields of the transport header, which may be cut off anywhere."""
    if found.protocol in _WITH_PORTS and len(data) >= _PORTS.size:
        source, target = _PORTS.unpack_from(data)
        return evolve(
            found, source_port=source, target_port=target, flags=_flags(found, data), chunk=_chunk(found, data)
        )
    is_icmp = found.protocol in {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}
    return evolve(found, kind=data[0], code=data[1]) if is_icmp and len(data) > 1 else found


def _flags(found: Headers, data: bytes) -> tuple[str, ...] | None:
    if found.protocol != Protocol.TCP or len(data) <= _OFFSET_OF_TCP_FLAGS:
        return None
    bits = data[_OFFSET_OF_TCP_FLAGS]
    return tuple(name for number, name in enumerate(TCP_FLAGS) if bits >> number & 1)


def _chunk(found: Headers, data: bytes) -> int | None:
    return data[_SIZE_OF_SCTP] if found.protocol == Protocol.SCTP and len(data) > _SIZE_OF_SCTP else None
