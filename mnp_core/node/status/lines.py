"""Lines from a socket, with a limit and a deadline: the other end may send anything at any pace."""

import socket
import time

_CHUNK = 64 * 1024


class LineTooLongError(OSError):
    """A line is longer than agreed."""


class LineReader:
    """Reads lines of at most so many bytes."""

    def __init__(self, connection: socket.socket, longest: int) -> None:
        """Begin with an empty buffer."""
        self._connection, self._longest = connection, longest
        self._buffer = bytearray()
        self._searched = 0

    def line_within(self, seconds: float) -> bytes:
        """The next line without its end; what comes before the end of the stream without a newline is none.

        Raises:
            TimeoutError: It did not come in time.
            LineTooLongError: It is too long.
            EOFError: The stream has ended.
            OSError: The connection is broken.
        """
        end = time.monotonic() + seconds
        while (at := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if len(self._buffer) > self._longest:
                raise LineTooLongError(f"a line has more than {self._longest} bytes")
            self._connection.settimeout(max(end - time.monotonic(), 0.001))
            chunk = self._connection.recv(_CHUNK)
            if not chunk:
                raise EOFError("the stream has ended")
            self._buffer += chunk
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        self._searched = 0
        return line
