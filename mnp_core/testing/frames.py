"""Packets made by hand, each with a number that identifies it on arrival.

No listener, no handshake and no support of the kernel is needed for them, and any address can be their source.
Checksums are right: connection tracking calls others invalid, and they would test another path than real ones take. The
number is the TCP sequence number (RFC 9293), the SCTP initiate tag (RFC 9260), else part of the payload.
"""

import struct
from collections.abc import Iterator

from mnp_core.model import Address, Packet, Protocol, parse_address
from mnp_core.sandbox.icmp import checksum
from mnp_lab.transport.sctp import Chunk, Message

SOURCE_PORTS = range(20000, 60000)
"""Each number has its own of these, so that each packet opens a connection of its own."""

_MAGIC = 0x6D6E7021  # "mnp!": marks our packets
_SYN, _ACK, _WINDOW = 0x02, 0x10, 0x6D6E
_SIZE4, _SIZE6 = 20, 40
_NOT_TO_BE_FRAGMENTED = 0x4000
_UNUSED_MAC = bytes.fromhex("020000000099")
_FRAGMENT_HEADER = 44  # IANA protocol number


def packet_bytes(packet: Packet, number: int) -> bytes:
    """The packet with its IP header.

    Args:
        packet: The packet; port and icmp_type are those of its protocol.
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
    """The number of a packet that `packet_bytes` made, from the bytes after its IP header; None for all others."""
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


def datagram_fragments(
    source: str, destination: str, port: int, payload: bytes, identification: int, *, size: int = 1200
) -> list[bytes]:
    """A UDP datagram as IP fragments, in order, each with its IP header.

    Args:
        source: Address; both are of one family.
        destination: Address.
        port: Destination port; the source port is the first of `SOURCE_PORTS`.
        payload: More than one fragment of it.
        identification: Distinguishes datagrams, 1 to 65535.
        size: Bytes of the datagram in each fragment but the last, a multiple of 8.
    """
    here, there = parse_address(source), parse_address(destination)
    ends, length = here.packed + there.packed, 8 + len(payload)
    head = struct.pack("!HHHH", SOURCE_PORTS[0], port, length, 0)
    total = checksum(ends + struct.pack("!II", length, Protocol.UDP) + head + payload)
    whole = head[:6] + struct.pack("!H", total or 0xFFFF) + payload
    offsets = range(0, length, size)
    write = _fragment4 if here.version == 4 else _fragment6
    return [
        write(ends, identification, offset, whole[offset : offset + size], more=offset != offsets[-1])
        for offset in offsets
    ]


def multicast_frame(source: str, destination: str, port: int, payload: bytes) -> bytes:
    """An Ethernet frame with a UDP datagram over IPv6 to a multicast group; ports as for `datagram_fragments`."""
    group = parse_address(destination).packed
    ends, length = parse_address(source).packed + group, 8 + len(payload)
    head = struct.pack("!HHHH", SOURCE_PORTS[0], port, length, 0)
    total = checksum(ends + struct.pack("!II", length, Protocol.UDP) + head + payload)
    datagram = head[:6] + struct.pack("!H", total or 0xFFFF) + payload
    ethernet = b"\x33\x33" + group[-4:] + _UNUSED_MAC + b"\x86\xdd"
    return ethernet + struct.pack("!IHBB", 6 << 28, length, Protocol.UDP, 64) + ends + datagram


def _fragment4(ends: bytes, identification: int, offset: int, part: bytes, *, more: bool) -> bytes:
    """RFC 791; the kernel fills in the checksum of raw packets."""
    place = offset // 8 | more << 13
    size = _SIZE4 + len(part)
    return struct.pack("!BBHHHBBH", 0x45, 0, size, identification, place, 64, Protocol.UDP, 0) + ends + part


def _fragment6(ends: bytes, identification: int, offset: int, part: bytes, *, more: bool) -> bytes:
    """RFC 8200 section 4.5."""
    header = struct.pack("!BBHI", Protocol.UDP, 0, offset | more, identification)
    return struct.pack("!IHBB", 6 << 28, len(header) + len(part), _FRAGMENT_HEADER, 64) + ends + header + part


def crowd_frames(mac: str, destination: str, port: int, flows: int) -> Iterator[bytes]:
    """Ethernet frames with a small UDP datagram each, of so many flows: from 200 addresses of the destination's /24.

    Args:
        mac: Where they go, ``02:00:00:00:00:01``.
        destination: IPv4 address.
        port: Destination port.
        flows: At most 200 times as many as there are `SOURCE_PORTS`.
    """
    ethernet = bytes.fromhex(mac.replace(":", "")) + _UNUSED_MAC + b"\x08\x00"
    there, body = parse_address(destination).packed, b"crowd..."
    for address in range(50, 250):
        ends = there[:3] + bytes([address]) + there
        head = struct.pack("!BBHHHBBH", 0x45, 0, _SIZE4 + 8 + len(body), 0, 0, 64, Protocol.UDP, 0)
        head = head[:10] + struct.pack("!H", checksum(head + ends)) + ends
        for source in SOURCE_PORTS[: flows // 200]:
            yield ethernet + head + struct.pack("!HHHH", source, port, 8 + len(body), 0) + body
