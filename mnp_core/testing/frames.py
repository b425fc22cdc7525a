"""Packets made by hand, each with a number by which it is known again wherever it arrives.

No listener, no handshake and no support of the kernel is needed for them, and any address can be their source. What
needs a checksum has the right one: connection tracking calls others invalid, and they would test another path than
real ones take. The number is the TCP sequence number (RFC 9293), the SCTP initiate tag (RFC 9260), else part of the
payload.
"""

import struct

from mnp_core.lab.transport.icmp import checksum
from mnp_core.lab.transport.sctp import Chunk, Message
from mnp_core.model import Address, Packet, Protocol, parse_address

SOURCE_PORTS = range(20000, 60000)
"""Each number has its own of these, so that each packet opens a connection of its own."""

_MAGIC = 0x6D6E7021  # "mnp!": what has it is ours
_SYN, _ACK, _WINDOW = 0x02, 0x10, 0x6D6E
_SIZE4, _SIZE6 = 20, 40
_NOT_TO_BE_FRAGMENTED = 0x4000


def packet_bytes(packet: Packet, number: int) -> bytes:
    """The packet with its IP header.

    Args:
        packet: What it is; port and icmp_type are those of its protocol.
        number: 32 bits, not 0.
    """
    payload = _payload(packet, number)
    source, destination = packet.source.packed, packet.destination.packed
    if packet.source.version == 6:
        return (
            struct.pack("!IHBB", 6 << 28, len(payload), packet.protocol, packet.hop_limit)
            + source
            + destination
            + payload
        )
    head = struct.pack(
        "!BBHHHBBH", 0x45, 0, _SIZE4 + len(payload), 0, _NOT_TO_BE_FRAGMENTED, packet.hop_limit, packet.protocol, 0
    )
    total = checksum(head + source + destination)
    return head[:10] + struct.pack("!H", total) + source + destination + payload


def number_of(protocol: int, payload: bytes) -> int | None:
    """The number of a packet that `packet_bytes` made, from what follows its IP header; None for all others."""
    try:
        match protocol:
            case Protocol.TCP:
                _, _, number, _, _, flags, window = struct.unpack_from("!HHIIBBH", payload)
                return int(number) if (flags & (_SYN | _ACK), window) == (_SYN, _WINDOW) else None
            case Protocol.SCTP:
                message = Message.unpack(payload)
                return message.initiate if message is not None and message.chunk == Chunk.INIT else None
            case _:
                magic, number = struct.unpack_from("!II", payload, 8)
                return int(number) if magic == _MAGIC else None
    except struct.error:
        return None


def split(data: bytes) -> tuple[Address, int, bytes] | None:
    """Destination, protocol and payload of an IP packet without extension headers; None if it is none."""
    if len(data) >= _SIZE4 and data[0] >> 4 == 4:
        return parse_address(".".join(map(str, data[16:20]))), data[9], data[(data[0] & 0x0F) * 4 :]
    if len(data) >= _SIZE6 and data[0] >> 4 == 6:
        return parse_address(data[24:40].hex(":", 2)), data[6], data[_SIZE6:]
    return None


def _payload(packet: Packet, number: int) -> bytes:
    source_port = SOURCE_PORTS[number % len(SOURCE_PORTS)]
    match packet.protocol:
        case Protocol.TCP:
            head = struct.pack("!HHIIBBHHH", source_port, packet.port, number, 0, 5 << 4, _SYN, _WINDOW, 0, 0)
            return _summed(packet, head, 16)
        case Protocol.UDP:
            data = struct.pack("!HHHHII", source_port, packet.port, 16, 0, _MAGIC, number)
            return _summed(packet, data, 6)
        case Protocol.SCTP:
            chunk = Message(source=source_port, destination=packet.port or 0, tag=0, chunk=Chunk.INIT, initiate=number)
            return chunk.pack()
        case Protocol.ICMP | Protocol.ICMPV6:
            data = struct.pack("!BBHHHII", packet.icmp_type, 0, 0, number & 0xFFFF, 1, _MAGIC, number)
            return _summed(packet, data, 2)
        case _:
            return struct.pack("!QII", 0, _MAGIC, number)


def _summed(packet: Packet, data: bytes, at: int) -> bytes:
    """With the Internet checksum at an offset; over a pseudo header, but for ICMP (RFC 793, 768, 792, 4443)."""
    addresses = packet.source.packed + packet.destination.packed
    pseudo = addresses + struct.pack("!II", len(data), packet.protocol)
    total = checksum(data if packet.protocol == Protocol.ICMP else pseudo + data)
    if packet.protocol == Protocol.UDP:
        total = total or 0xFFFF
    return data[:at] + struct.pack("!H", total) + data[at + 2 :]
