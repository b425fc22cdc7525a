"""One connection of the CNI plugin: a request, and one answer."""

import socket
import threading
import time
from contextlib import suppress
from typing import Final

from mnp_core.errors import InputError

GREETING: Final = b"mnp-cnigate/1 "
"""Begins requests and answers; the number is the protocol's version."""

_READ_SECONDS: Final = 2.0  # the plugin has all of its input before it connects
_WRITE_SECONDS: Final = 1.0
_LARGEST: Final = (1 << 20) + (1 << 14)  # the plugin's limit for a result, and room for the rest of the request
_LONGEST_REASON: Final = 1000


class Conversation:
    """A connection that is answered once, by the first thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._answered = False

    def read(self) -> bytes:
        """Read the request's body.

        Raises:
            InputError: It does not follow the protocol, is too large or too slow.
        """
        deadline = time.monotonic() + _READ_SECONDS
        received = b""
        try:
            while b"\n" not in received and len(received) < 64:
                received += self._receive(64, deadline)
            head, _, rest = received.partition(b"\n")
            body = bytearray(rest)
            size = _size(head)
            while len(body) < size:
                body += self._receive(min(size - len(body), 1 << 16), deadline)
        except OSError:
            raise InputError("the request does not end") from None
        if len(body) > size:
            raise InputError("the request is longer than announced")
        return bytes(body)

    def _receive(self, size: int, deadline: float) -> bytes:
        self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
        received = self._connection.recv(size)
        if not received:
            raise ConnectionResetError
        return received

    def answer(self, word: str, reason: str = "") -> None:
        """Answer and close; later answers are dropped, and a plugin that has gone gets none."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
            text = reason[:_LONGEST_REASON].encode("utf-8", "backslashreplace").decode()
            line = "".join(c if c.isprintable() else " " for c in f"{word} {text}".rstrip())
            with self._connection, suppress(OSError):
                self._connection.settimeout(_WRITE_SECONDS)
                self._connection.sendall(GREETING + line.encode() + b"\n")


def _size(head: bytes) -> int:
    digits = head.removeprefix(GREETING)
    if digits == head:
        raise InputError("another version of the protocol; run `mnp cnigate install` of the agent's version again")
    if not digits.isdigit() or len(digits) > 8 or int(digits) > _LARGEST:
        raise InputError(f"the request is larger than {_LARGEST} bytes")
    return int(digits)
