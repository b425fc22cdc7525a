"""The HTTP server for probes and Prometheus: `/livez` (or `/healthz`), `/readyz`, `/metrics`.

Every process of the node can connect to it, so it serves only health and metrics. A slow client, or an endless request,
occupies one of few threads for a limited time: a new client without a free place evicts the oldest connection of the
address with the most. A probe sends its request at once and gets its response within milliseconds, so it finds a place
among any number of slow clients. The server never keeps a connection alive, and sends no banner.
"""

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Protocol

from attrs import frozen

from mnp_core.closing import Closing
from mnp_core.errors import InputError, UnsupportedError
from mnp_core.lasting import LastingThread
from mnp_core.telemetry.health import Answer, Health
from mnp_core.telemetry.metrics import CONTENT_TYPE

SETTING: Final = "listen"
DEADLINE: Final = 5.0  # seconds, for a whole request and for the whole answer to it
_LONGEST_HEAD: Final = 16384  # bytes of request line and headers
_MOST_AT_ONCE: Final = 32  # connections
_MOST_OF_ONE: Final = 16  # of them, of one address
_LISTEN: Final = re.compile(r"(?:(?P<v4>[0-9.]*)|\[(?P<v6>[^\]]*)\]):(?P<port>[0-9]{1,5})")
_PLAIN: Final = "text/plain; charset=utf-8"


@frozen
class ListenAddress:
    """Where to listen; an empty host is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Read ``ADDRESS:PORT``, ``[IPV6]:PORT`` or ``:PORT``; port 0 is any that is free.

    Raises:
        InputError: It is none of these.
    """
    match = _LISTEN.fullmatch(text)
    host4, host6, port = match.group("v4", "v6", "port") if match else (None, None, "")
    try:
        address = ListenAddress(str(_host(host4, host6)), int(port))
    except ValueError:
        address = None
    if address is None or address.port > 65535:
        wanted = "write an IP address and a port, as in 127.0.0.1:9469, [::1]:9469, or :9469 for every address"
        raise InputError(f"{text[:60]!r} is not an address to listen on: {wanted}", field=SETTING)
    return address


def _host(host4: str | None, host6: str | None) -> IPv4Address | IPv6Address | str:
    if host6 is not None:
        return IPv6Address(host6)
    return IPv4Address(host4) if host4 else ""


class Exposition(Protocol):
    """Metrics for Prometheus."""

    def text(self) -> bytes:
        """All of them, in its text format."""


class Endpoint(Closing):
    """Serves until it is closed, on threads of its own that do not keep the process alive."""

    def __init__(
        self, address: ListenAddress, *, health: Health, metrics: Exposition, deadline: float = DEADLINE
    ) -> None:
        """Begin to serve.

        Args:
            address: Where to listen.
            health: The answers to probes.
            metrics: The metrics for Prometheus.
            deadline: Seconds that a client has for its request, and again for taking the answer.

        Raises:
            UnsupportedError: This machine does not let it listen there.
        """
        pages: Mapping[str, Callable[[], _Page]] = {
            "/healthz": lambda: _page(health.alive()),
            "/livez": lambda: _page(health.alive()),
            "/readyz": lambda: _page(health.readiness()),
            "/metrics": lambda: _Page(HTTPStatus.OK, metrics.text(), CONTENT_TYPE),
        }
        self._server = _listen(address, pages, deadline)
        host, port, *_ = self._server.socket.getsockname()
        self.address = ListenAddress(host, port)  # with the real port
        self._thread = LastingThread("endpoint", self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; requests in progress are completed."""
        self._thread.end()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@frozen
class _Page:
    status: HTTPStatus
    body: bytes
    content_type: str = _PLAIN


def _page(answer: Answer) -> _Page:
    status = HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE
    return _Page(status, f"{answer.text}\n".encode(errors="backslashreplace"))


def _listen(address: ListenAddress, pages: Mapping[str, Callable[[], _Page]], deadline: float) -> "_Server":
    try:
        return _Server(address, pages, deadline)
    except OSError as error:
        raise UnsupportedError(
            f"{SETTING}: cannot listen on {address}: {error.strerror or error}. "
            "End the program that listens there, or set another address or port"
        ) from error


class _Server(ThreadingHTTPServer):
    """Few threads, each with a deadline."""

    daemon_threads = False  # joined at the end, which the deadline keeps short
    request_queue_size = 64

    def __init__(self, address: ListenAddress, pages: Mapping[str, Callable[[], _Page]], deadline: float) -> None:
        everywhere = not address.host and socket.has_dualstack_ipv6()
        self._dual = everywhere
        self.address_family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
        self.pages = pages
        self.deadline = deadline
        self._lock = threading.Lock()
        self._open: dict[socket.socket, str] = {}  # and the client's address, the oldest first
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without the base class's DNS lookup of the own name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not self._dual)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make a place for the client, if there is none, by closing another connection."""
        with self._lock:
            address = self._open[request] = str(client_address[0])
            of_address = Counter(self._open.values())
            if len(self._open) > _MOST_AT_ONCE:
                self._hang_up_oldest(max(of_address, key=lambda each: of_address[each]))
            elif of_address[address] > _MOST_OF_ONE:
                self._hang_up_oldest(address)
        super().process_request(request, client_address)

    def _hang_up_oldest(self, address: str) -> None:
        """Its thread finds out, and ends. The lock is held."""
        client = next(client for client, found in self._open.items() if found == address)
        del self._open[client]
        with suppress(OSError):  # the client was faster
            client.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Make room for another."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close, without waiting for clients that have not sent a request yet."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RD)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hung up or were too slow."""


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = BytesIO(_read_head(self.connection, self.server.deadline))

    def do_GET(self) -> None:
        page = self._find()
        self._answer(page)
        self.wfile.write(page.body)

    def do_HEAD(self) -> None:
        self._answer(self._find())

    def _find(self) -> _Page:
        make = self.server.pages.get(self.path.partition("?")[0])
        return make() if make else _Page(HTTPStatus.NOT_FOUND, b"there are /livez, /readyz, /healthz and /metrics\n")

    def _answer(self, page: _Page) -> None:
        self.send_response_only(page.status)  # and no banner
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002 # passed by the base class
        explain: str | None = None,  # noqa: ARG002 # likewise
    ) -> None:
        """Answer a request that the base class refuses, without echoing its text."""
        wrong_method = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus.METHOD_NOT_ALLOWED if wrong_method else HTTPStatus(code)
        page = _Page(status, f"{status.phrase}\n".encode())
        self.request_version = self.protocol_version  # the response to an unparsable request has a head, too
        self.send_response_only(status)
        if wrong_method:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Skip the log: probes arrive every few seconds."""


def _read_head(connection: socket.socket, deadline: float) -> bytes:
    """Read up to the empty line, at any pace of the client.

    Raises:
        TimeoutError: It took too long.
        ConnectionError: It is too long, or the client hung up.
    """
    ends, head = time.monotonic() + deadline, b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        connection.settimeout(max(ends - time.monotonic(), 0.001))
        received = connection.recv(4096)
        head += received
        if not received or len(head) > _LONGEST_HEAD:
            raise ConnectionError("no request came")
    connection.settimeout(deadline)  # sendall applies it to the whole
    return head
