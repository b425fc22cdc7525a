"""One call of gRPC over a unix socket, on a connection of its own (HTTP/2, RFC 9113).

A node asks its runtime twice for each new pod: a connection for each call costs next to nothing, and none has to be
watched over. The library grpcio would take 12 MiB of the agent's memory, and threads.
"""

import socket
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from typing import Final
from urllib.parse import unquote

from mnp_core.sandbox.cri.headers import decode_headers, encode_headers

DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
"""Of the codes of gRPC (doc/statuscodes.md)."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4
_STREAM: Final = 1
_LONGEST_FRAME: Final = 16384  # until a peer allows more, and we do not
_LARGEST: Final = 16 << 20  # bytes of an answer, as the kubelet has it
_WINDOW: Final = _LARGEST + 5 + _LONGEST_FRAME


class _Frame(IntEnum):
    """Types of frames; others are passed over."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class CallError(Exception):
    """The call failed.

    Attributes:
        code: Of gRPC.
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


def call(path: str, method: str, request: bytes, seconds: float) -> bytes:
    """Call a method; returns the serialised response.

    Args:
        path: The socket's.
        method: ``/package.Service/Method``.
        request: Serialised, 16 KiB at most.
        seconds: The longest that it may take.

    Raises:
        CallError: Refused, without an answer in time, or unreachable.
    """
    if len(request) + 5 > _LONGEST_FRAME:
        raise CallError(INTERNAL, "the request is too large")
    try:
        with socket.socket(socket.AF_UNIX) as connected:
            connection = _Connection(connected, time.monotonic() + seconds)
            connection.send_request(path, method, request, seconds)
            return connection.response()
    except TimeoutError:
        raise CallError(DEADLINE_EXCEEDED, "no answer in time") from None
    except OSError as error:
        raise CallError(UNAVAILABLE, error.strerror or str(error)) from error
    except ValueError as error:
        raise CallError(UNAVAILABLE, f"no answer of gRPC: {error}") from error


class _Connection:
    """A connection with one stream."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self._received = bytearray()
        self._body = bytearray()
        self._block = b""
        self._headers: dict[bytes, bytes] = {}
        self._ends = False

    def send_request(self, path: str, method: str, request: bytes, seconds: float) -> None:
        """Open the connection and the stream."""
        self._limit_wait()
        self._socket.connect(path)
        settings = {_HEADER_TABLE_SIZE: 0, _ENABLE_PUSH: 0, _INITIAL_WINDOW_SIZE: _WINDOW}
        headers = encode_headers(
            (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", method.encode()),
                (b":authority", b"localhost"),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
                (b"grpc-timeout", b"%dm" % (seconds * 1000)),
            )
        )
        self._socket.sendall(
            _PREFACE
            + _frame(_Frame.SETTINGS, 0, 0, b"".join(struct.pack("!HI", *each) for each in settings.items()))
            + _frame(_Frame.WINDOW_UPDATE, 0, 0, struct.pack("!I", _WINDOW))
            + _frame(_Frame.HEADERS, _END_HEADERS, _STREAM, headers)
            + _frame(_Frame.DATA, _END_STREAM, _STREAM, struct.pack("!BI", 0, len(request)) + request)
        )

    def response(self) -> bytes:
        """Read until the end of the stream.

        Raises:
            CallError: The server refuses.
            ValueError: It does not speak gRPC.
        """
        for kind, flags, stream, payload in self._frames():
            if kind == _Frame.GOAWAY and int.from_bytes(payload[:4]) & 0x7FFFFFFF < _STREAM:
                raise CallError(UNAVAILABLE, "the server takes no more calls")
            if kind in {_Frame.SETTINGS, _Frame.PING} and not flags & _ACK:
                self._socket.sendall(_frame(kind, _ACK, 0, payload if kind == _Frame.PING else b""))
            elif stream == _STREAM and self._is_last(kind, flags, payload):
                return self._message()
        raise CallError(UNAVAILABLE, "the connection has ended")

    def _is_last(self, kind: int, flags: int, payload: bytes) -> bool:
        """Take in a frame of the stream; whether it was the last one."""
        match kind:
            case _Frame.DATA:
                self._body += _without_padding(flags, payload)
            case _Frame.HEADERS:
                self._block = _block(flags, payload)
            case _Frame.CONTINUATION:
                self._block += payload
            case _Frame.RST_STREAM:
                raise CallError(UNAVAILABLE, "the server has given up the call")
        if len(self._body) > _LARGEST + 5 or len(self._block) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} bytes")
        if kind in {_Frame.HEADERS, _Frame.CONTINUATION} and flags & _END_HEADERS:
            self._headers.update(decode_headers(self._block))
            return self._ends or bool(kind == _Frame.HEADERS and flags & _END_STREAM)
        self._ends = self._ends or bool(
            kind == _Frame.HEADERS and flags & _END_STREAM
        )  # headers that go on in other frames
        return kind == _Frame.DATA and bool(flags & _END_STREAM)

    def _message(self) -> bytes:
        status = self._headers.get(b"grpc-status", b"")
        if not status.isdigit():
            http = self._headers.get(b":status", b"none").decode(errors="replace")
            raise ValueError(f"it has no status of gRPC, and the HTTP status {http}")
        if int(status):
            text = unquote(self._headers.get(b"grpc-message", b"").decode(errors="replace"), errors="replace")
            raise CallError(int(status), text)
        if len(self._body) < 5 or self._body[0] or int.from_bytes(self._body[1:5]) != len(self._body) - 5:
            raise ValueError("it is not one message without compression")
        return bytes(self._body[5:])

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload, until the peer closes the connection."""
        while header := self._read(9):
            length, kind, flags = int.from_bytes(header[:3]), header[3], header[4]
            if length > _LONGEST_FRAME:
                raise ValueError("a frame is too long")
            yield kind, flags, int.from_bytes(header[5:]) & 0x7FFFFFFF, self._read(length)

    def _read(self, length: int) -> bytes:
        """So many bytes; fewer at the end of the connection are none."""
        while len(self._received) < length:
            self._limit_wait()
            if not (more := self._socket.recv(65536)):
                return b""
            self._received += more
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken

    def _limit_wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack("!BBI", kind, flags, stream) + payload


def _without_padding(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ValueError("a frame's padding is longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def _block(flags: int, payload: bytes) -> bytes:
    """The block of headers in their first frame."""
    return _without_padding(flags, payload)[5 if flags & _PRIORITY else 0 :]
