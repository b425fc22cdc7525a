"""One call of gRPC over a unix socket, on a connection of its own.

A node asks its runtime twice for each new pod: a connection for each call costs next to nothing, and none has to be
watched over. The library grpcio would take 12 MiB of the agent's memory, and threads; h2, which knows HTTP/2 and no
sockets, takes one.
"""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
"""Of the codes of gRPC (doc/statuscodes.md)."""

_LONGEST_REQUEST: Final = 16384 - 5  # bytes: one frame, of the size that every server takes
_LARGEST: Final = 16 << 20  # bytes of an answer, as the kubelet has it
_PREFIX: Final = struct.Struct("!BI")  # of a message: whether it is compressed, its length


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
    if len(request) > _LONGEST_REQUEST:
        raise CallError(INTERNAL, "the request is too large")
    try:
        with socket.socket(socket.AF_UNIX) as connected:
            exchange = _Exchange(connected, time.monotonic() + seconds)
            exchange.send(path, method, request, seconds)
            return exchange.response()
    except TimeoutError:
        raise CallError(DEADLINE_EXCEEDED, "no answer in time") from None
    except OSError as error:
        raise CallError(UNAVAILABLE, error.strerror or str(error)) from error
    except (H2Error, ValueError) as error:
        raise CallError(UNAVAILABLE, f"no answer of gRPC: {error}") from error


class _Exchange:
    """A connection with one stream."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self._connection = H2Connection()
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()

    def send(self, path: str, method: str, request: bytes, seconds: float) -> None:
        """Open the connection and the stream, and send the request on it."""
        self._limit_wait()
        self._socket.connect(path)
        self._connection.initiate_connection()
        stream = self._connection.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-timeout": f"{seconds * 1000:.0f}m",
        }
        self._connection.send_headers(stream, list(headers.items()))
        self._connection.send_data(stream, _PREFIX.pack(0, len(request)) + request, end_stream=True)
        self._flush()

    def response(self) -> bytes:
        """Read until the end of the stream.

        Raises:
            CallError: The server refuses.
            H2Error: It does not speak HTTP/2.
            ValueError: It does not speak gRPC.
        """
        for event in self._events():
            if isinstance(event, StreamEnded):
                return self._message()
            self._take_in(event)
        raise CallError(UNAVAILABLE, "the connection has ended")

    def _take_in(self, event: Event) -> None:
        match event:
            case ResponseReceived(headers=headers) | TrailersReceived(headers=headers):
                self._headers.update((bytes(name), bytes(value)) for name, value in headers or ())
            case DataReceived(data=data, stream_id=stream, flow_controlled_length=length):
                self._body += data or b""
                self._connection.acknowledge_received_data(length or 0, stream or 0)
            case StreamReset():
                raise CallError(UNAVAILABLE, "the server has given up the call")
            case ConnectionTerminated():
                raise CallError(UNAVAILABLE, "the server takes no more calls")
        if len(self._body) > _LARGEST + _PREFIX.size:
            raise ValueError(f"it has more than {_LARGEST} bytes")

    def _message(self) -> bytes:
        status = self._headers.get(b"grpc-status", b"")
        if not status.isdigit():
            http = self._headers.get(b":status", b"none").decode(errors="replace")
            raise ValueError(f"it has no status of gRPC, and the HTTP status {http}")
        if int(status):
            text = unquote(self._headers.get(b"grpc-message", b"").decode(errors="replace"), errors="replace")
            raise CallError(int(status), text)
        message = bytes(self._body[_PREFIX.size :])
        if self._body[: _PREFIX.size] != _PREFIX.pack(0, len(message)):
            raise ValueError("it is not one message without compression")
        return message

    def _events(self) -> Iterator[Event]:
        """What comes, until the peer closes the connection."""
        while True:
            self._limit_wait()
            if not (received := self._socket.recv(65536)):
                return
            yield from self._connection.receive_data(received)
            self._flush()

    def _flush(self) -> None:
        self._limit_wait()
        self._socket.sendall(self._connection.data_to_send())

    def _limit_wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
