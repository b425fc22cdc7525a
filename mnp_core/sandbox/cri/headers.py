"""Header blocks of HTTP/2 (HPACK, RFC 7541), as far as a call needs them.

What is sent has neither table nor Huffman code. What comes is from an encoder that was asked for a table of size 0,
so of the indexed fields there are only those of the static table, and of these nothing but the status matters here.
"""

from collections.abc import Iterable, Iterator
from typing import Final

_STATUS: Final = {8: b"200", 9: b"204", 10: b"206", 11: b"304", 12: b"400", 13: b"404", 14: b"500"}  # appendix A
_STATIC_ENTRIES: Final = 61

# Appendix B: the symbols of each length of a code. It is canonical: lengths and the order of symbols make the codes.
_SYMBOLS: Final = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\0$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5"
    b"\xe7\xef",
    24: b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"
    b"\xdc\xf9",
    30: b"\n\r\x16",
}


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a block of literal fields, shorter than 127 bytes each."""
    return b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in headers)


def decode_headers(block: bytes) -> dict[bytes, bytes]:
    """Read a block; fields of the static table are left out, except for the status.

    Raises:
        ValueError: It is damaged, or refers to a table that this side has refused.
    """
    return dict(_fields(block))


def _fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(block):
        first = block[position]
        if first & 0x80:  # a field of the table
            index, position = _integer(block, position, 7)
            if not 0 < index <= _STATIC_ENTRIES:
                raise ValueError(f"there is no header {index}")
            if index in _STATUS:
                yield b":status", _STATUS[index]
        elif first & 0xE0 == 0x20:  # a new size of the table
            _, position = _integer(block, position, 5)
        else:
            index, position = _integer(block, position, 6 if first & 0x40 else 4)
            name = b":status" if index in _STATUS else b""
            if not index:
                name, position = _text(block, position)
            value, position = _text(block, position)
            if name:
                yield name, value


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """A number (section 5.1), and the position behind it."""
    most = (1 << bits) - 1
    value, position, shift = block[position] & most, position + 1, 0
    if value < most:
        return value, position
    while shift < 28:
        if position >= len(block):
            break
        byte, position = block[position], position + 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a header's length is damaged")


def _text(block: bytes, position: int) -> tuple[bytes, int]:
    """A text (section 5.2), and the position behind it."""
    if position >= len(block):
        raise ValueError("a header is cut off")
    is_coded = block[position] & 0x80
    length, position = _integer(block, position, 7)
    text = block[position : position + length]
    if len(text) != length:
        raise ValueError("a header is cut off")
    return (_decode(text) if is_coded else text), position + length


def _codes() -> Iterator[tuple[tuple[int, int], int]]:
    code = before = 0
    for length, symbols in _SYMBOLS.items():
        code <<= length - before
        before = length
        for symbol in symbols:
            yield (length, code), symbol
            code += 1


_BY_CODE: Final = dict(_codes())  # by length and code


def _decode(text: bytes) -> bytes:
    """Undo the Huffman code; the rest, bits that are set, is padding."""
    found, code, length = bytearray(), 0, 0
    for byte in text:
        for bit in range(7, -1, -1):
            code, length = code << 1 | byte >> bit & 1, length + 1
            symbol = _BY_CODE.get((length, code))
            if symbol is not None:
                found.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise ValueError("a header's text is damaged")
    return bytes(found)
