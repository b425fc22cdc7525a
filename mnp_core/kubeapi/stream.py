"""An answer that is read while it is written, and that another thread can end."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.response import HTTPResponse

from mnp_core.errors import ApiUnreachableError
from mnp_core.kubeapi.server import MAX_ANSWER_BYTES, TooLargeError

_BLOCK = 64 * 1024  # bytes at most that are taken at once

_waiting: ContextVar["HttpStream | None"] = ContextVar("_waiting", default=None)


class HttpStream:
    """`mnp_core.kubeapi.server.Stream` over a connection of urllib3."""

    received_at = 0.0

    def __init__(self, send: Callable[[], BaseHTTPResponse]) -> None:
        """Store the function that sends the request, for `__enter__`."""
        self._send = send
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._response: BaseHTTPResponse | None = None
        self._closed = False
        self._lines: deque[tuple[bytes, float]] = deque()
        self._rest: list[bytes] = []
        self._rest_received_at = 0.0
        self._rest_length = 0

    def __enter__(self) -> Self:
        token = _waiting.set(self)
        try:
            self._response = self._send()
        except ApiUnreachableError:
            self._check()
            raise
        finally:
            _waiting.reset(token)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._socket = None  # from here on it may belong to another request
        if self._response is not None:
            self._response.close()

    def attach(self, connection: socket.socket) -> None:
        """Take the socket on which the answer will come.

        Raises:
            ApiUnreachableError: It was closed before.
        """
        with self._lock:
            self._socket = connection
        self._check()

    def close(self) -> None:
        """Wake up a blocked reader: the kernel signals the end of the stream."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                _hang_up(self._socket)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while not self._lines:
            if not self._fill():
                return self._last()
        line, self.received_at = self._lines.popleft()
        return line

    def _last(self) -> bytes:
        line, self._rest = b"".join(self._rest), []
        if not line:
            raise StopIteration
        self.received_at = self._rest_received_at
        return line

    def _fill(self) -> bool:
        """Take received bytes; False at the end."""
        block = self._read()
        now = time.monotonic()
        first, *others = block.split(b"\n")
        if not self._rest:
            self._rest_received_at = now
        self._rest.append(first)
        self._rest_length += len(first)
        if self._rest_length > MAX_ANSWER_BYTES:
            raise TooLargeError
        for line in others:
            self._lines.append((b"".join(self._rest), self._rest_received_at))
            self._rest, self._rest_received_at, self._rest_length = [line], now, len(line)
        self._rest = [part for part in self._rest if part]
        return bool(block)

    def _read(self) -> bytes:
        self._check()
        if not isinstance(self._response, HTTPResponse):
            raise ApiUnreachableError("nothing was asked for yet")
        try:
            block = self._response.read1(_BLOCK)
        except (HTTPError, OSError, ValueError) as error:  # ValueError: of TLS, when it is closed meanwhile
            self._check()
            timed_out = isinstance(error, ReadTimeoutError)
            raise ApiUnreachableError(f"the answer broke off: {error}", timed_out=timed_out) from error
        self._check()
        return block

    def _check(self) -> None:
        if self._closed:
            raise ApiUnreachableError("the request was given up")


def _hang_up(connection: socket.socket) -> None:
    """End a connection in both directions, under TLS too: `SSLSocket.shutdown` would pull its state from a reader."""
    inner = getattr(connection, "socket", connection)  # TLS through a proxy with TLS wraps once more
    with suppress(OSError):
        socket.socket.shutdown(inner, socket.SHUT_RDWR)


def _waits_on(connection: HTTPConnection) -> None:
    stream = _waiting.get()
    if stream is not None and connection.sock is not None:
        stream.attach(connection.sock)


class _Connection(HTTPConnection):
    """Gives the waiting stream the socket of its answer."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3 has it
        _waits_on(self)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    """Likewise."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3 has it
        _waits_on(self)
        return super().getresponse()


class Pool(HTTPConnectionPool):
    """Connections that streams can end."""

    ConnectionCls = _Connection


class TlsPool(HTTPSConnectionPool):
    """Likewise."""

    ConnectionCls = _TlsConnection
