"""First packets of connections, made by hand: no listener, no handshake and no kernel support is needed for them.

Each packet carries a number, so that its receiver knows the question that it answers: the TCP sequence number, the
UDP payload, the SCTP initiate tag (RFC 9293, 768, 9260).
"""

import socket
import struct
from array import array
from ipaddress import ip_address

from mnp_lab.transport.sctp import crc32c

NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
SYN = 0x02
ACK = 0x10
INIT = 1


def segment(protocol: str, source: str, destination: str, ports: tuple[int, int], ident: int) -> bytes:
    """The bytes after the IP header: `ports` are source and destination, `ident` is 32 bits and not 0."""
    if protocol == "SCTP":
        chunk = struct.pack("!BBHIIHHI", INIT, 0, 20, ident, 1 << 16, 1, 1, ident)
        header = struct.pack("!HHI", *ports, 0)
        return header + struct.pack("<I", crc32c(header + bytes(4) + chunk)) + chunk
    if protocol == "UDP":
        parts = struct.pack("!HHH", *ports, 12), struct.pack("!I", ident)
    else:
        parts = struct.pack("!HHIIBBH", *ports, ident, 0, 5 << 4, SYN, 64240), struct.pack("!H", 0)
    checksum = _internet_checksum(_pseudo_header(protocol, source, destination, 12 if protocol == "UDP" else 20), parts)
    return parts[0] + struct.pack("!H", checksum) + parts[1]


def identify(protocol: str, data: bytes) -> int | None:
    """The number of a packet that `segment` made; None for any other packet (the resets that answer ours)."""
    if protocol == "UDP":
        return struct.unpack_from("!I", data, 8)[0] if len(data) == 12 else None
    if protocol == "TCP":
        _, _, ident, _, _, flags = struct.unpack_from("!HHIIBB", data)
        return ident if flags & (SYN | ACK) == SYN else None
    return struct.unpack_from("!I", data, 16)[0] if data[12] == INIT else None


def _pseudo_header(protocol: str, source: str, destination: str, length: int) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    form = "!BBH" if len(addresses) == 8 else "!I3xB"
    rest = (0, NUMBERS[protocol], length) if len(addresses) == 8 else (length, NUMBERS[protocol])
    return addresses + struct.pack(form, *rest)


def _internet_checksum(pseudo_header: bytes, parts: tuple[bytes, bytes]) -> int:
    """RFC 1071 over an even number of bytes; the checksum itself stands between the parts."""
    total = sum(array("H", pseudo_header + parts[0] + bytes(2) + parts[1]))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return socket.htons(~total & 0xFFFF) or 0xFFFF
