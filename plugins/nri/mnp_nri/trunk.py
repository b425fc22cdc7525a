"""One connection with two services on it: frames of the multiplexer, and ttrpc messages within.

A frame is the number of the logical connection, the length and the bytes, all numbers big endian
(``pkg/net/multiplex`` of containerd/nri). A ttrpc message is length, stream, type, flags and the bytes, and may begin
and end in the middle of frames (``PROTOCOL.md`` of containerd/ttrpc).
"""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attrs import frozen

PLUGIN: Final = 1  # the logical connection on which the runtime calls the plugin
RUNTIME: Final = 2  # ... and the plugin the runtime
REQUEST: Final = 1
RESPONSE: Final = 2

_FRAME: Final = struct.Struct(">II")
_MESSAGE: Final = struct.Struct(">IIBB")
_LONGEST: Final = 16 << 20  # of either; ttrpc itself sends 4 MiB
_PIECE: Final = 4096  # bytes a sent frame: Go's multiplexer refuses frames longer than the reader's buffer
_SEND_SECONDS: Final = 2


class ProtocolError(Exception):
    """Bytes that are no frames of NRI: there is no way to find the next frame, so the connection ends."""


@frozen
class Message:
    """A ttrpc message.

    Attributes:
        connection: `PLUGIN` or `RUNTIME`.
        stream: Joins a response to its request.
        kind: `REQUEST`, `RESPONSE`, or another.
        payload: A serialised ``Request`` or ``Response``.
    """

    connection: int
    stream: int
    kind: int
    payload: bytes


class Trunk:
    """A connected socket. `receive` is for one thread, all else for any."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._sending = threading.Lock()
        self._frames = bytearray()
        self._streams: dict[int, bytearray] = {PLUGIN: bytearray(), RUNTIME: bytearray()}

    def send(self, message: Message) -> None:
        """Send it whole.

        Raises:
            OSError: The other side has gone, or reads nothing.
        """
        data = _MESSAGE.pack(len(message.payload), message.stream, message.kind, 0) + message.payload
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
        with self._sending:
            self._socket.sendall(b"".join(_FRAME.pack(message.connection, len(piece)) + piece for piece in pieces))

    def receive(self, seconds: float | None) -> tuple[Message, ...] | None:
        """Wait for bytes, and return the messages that they complete; None at the end.

        Args:
            seconds: The longest wait; None for any.

        Raises:
            ProtocolError: The bytes are no frames.
            OSError: The connection is broken.
        """
        if not self._poll.poll(None if seconds is None else max(seconds, 0) * 1000):
            return ()
        data = self._socket.recv(1 << 16)
        if not data:
            return None
        self._frames += data
        return tuple(self._complete())

    def shut(self) -> None:
        """Wake up the reader: to it the connection is at its end."""
        with suppress(OSError):  # it is down already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; for the thread that receives."""
        self._socket.close()

    def _complete(self) -> Iterator[Message]:
        for (connection, _), piece in _cut(self._frames, _FRAME, length_at=1):
            stream = self._streams.get(connection)
            if stream is None:
                continue  # of a service that this plugin does not know
            stream += piece
            for (_, number, kind, _), payload in _cut(stream, _MESSAGE, length_at=0):
                yield Message(connection, number, kind, payload)


def _cut(data: bytearray, header: struct.Struct, *, length_at: int) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Take the complete units off the front: a header's numbers, one of them the payload's length, and the payload."""
    while len(data) >= header.size:
        numbers = header.unpack_from(data)
        end = header.size + numbers[length_at]
        if end > _LONGEST:
            raise ProtocolError(f"a length of {end} bytes, where {_LONGEST} is the most")
        if len(data) < end:
            return
        unit = bytes(data[header.size : end])
        del data[:end]
        yield numbers, unit
