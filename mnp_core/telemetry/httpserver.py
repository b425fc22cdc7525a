"""A small HTTP server for clients that may mean no good: few connections, short requests, a deadline for each.

Every process of the network can connect to it. A slow client, or an endless request, occupies one of few threads for a
limited time: a new client without a free place evicts the oldest connection of the address with the most. A probe sends
its request at once and gets its response within milliseconds, so it finds a place among any number of slow clients. The
server never keeps a connection alive, and sends no banner.
"""

import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from attrs import field

from mnp_core.classes import frozen
from mnp_core.closing import Closing
from mnp_core.errors import InputError, UnsupportedError
from mnp_core.lasting import LastingThread

SETTING: Final = "listen"
PLAIN: Final = "text/plain; charset=utf-8"
_LONGEST_HEAD: Final = 16384  # bytes of request line and headers
_WRONG_METHOD: Final = HTTPStatus.METHOD_NOT_ALLOWED
_LISTEN: Final = re.compile(r"(?:(?P<v4>[0-9.]*)|\[(?P<v6>[^\]]*)\]):(?P<port>[0-9]{1,5})")


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


@frozen
class Page:
    """The answer to a request."""

    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN


@frozen(kw_only=True)
class Limits:
    """The most that clients get.

    Attributes:
        deadline: Seconds that a client has for its request, TLS and body included, and again for taking the answer.
        body: Bytes of the body of a POST.
        connections: Open at once.
        of_one: Of them, of one address.
    """

    deadline: float = 5.0
    body: int = 0
    connections: int = 32
    of_one: int = 16


@frozen(kw_only=True)
class Site:
    """The content of a server.

    Attributes:
        pages: By path, the answer to GET and HEAD.
        forms: By path, the answer to a POST, made of its body.
        tls: The present certificate, asked for at each connection; None for a server without TLS.
    """

    pages: Mapping[str, Callable[[], Page]] = field(factory=dict)
    forms: Mapping[str, Callable[[bytes], Page]] = field(factory=dict)
    tls: Callable[[], ssl.SSLContext] | None = None


class HttpServer(Closing):
    """Serves until it is closed, on threads of its own that do not keep the process alive."""

    def __init__(self, name: str, address: ListenAddress, site: Site, limits: Limits) -> None:
        """Begin to serve; `name` is the thread's.

        Raises:
            UnsupportedError: This machine does not let it listen there.
        """
        self._server = _listen(address, site, limits)
        host, port, *_ = self._server.socket.getsockname()
        self.address = ListenAddress(host, port)  # with the real port
        self.thread = LastingThread(name, self._server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stop serving; requests in progress are completed."""
        self.thread.end()
        self._server.shutdown()
        self.thread.join()
        self._server.server_close()


def _listen(address: ListenAddress, site: Site, limits: Limits) -> "_Server":
    try:
        return _Server(address, site, limits)
    except OSError as error:
        raise UnsupportedError(
            f"{SETTING}: cannot listen on {address}: {error.strerror or error}. "
            "End the program that listens there, or set another address or port"
        ) from error


class _Server(ThreadingHTTPServer):
    """Few threads, each with a deadline."""

    daemon_threads = False  # joined at the end, which the deadline keeps short
    request_queue_size = 64

    def __init__(self, address: ListenAddress, site: Site, limits: Limits) -> None:
        everywhere = not address.host and socket.has_dualstack_ipv6()
        self._dual = everywhere
        self.address_family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
        self.site, self.limits = site, limits
        self._lock = threading.Lock()
        self._open: dict[socket.socket, str] = {}  # and the client's address, the oldest first
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without the base class's DNS lookup of the own name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not self._dual)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; TLS begins on the thread of its handler."""
        connection, address = super().get_request()
        if self.site.tls is None:
            return connection, address
        try:
            connection.getpeername()  # of one that is gone, ssl (CPython 3.11) would leave the descriptor open
            return self.site.tls().wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
        except OSError:  # the client was faster, or there is no certificate
            connection.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make a place for the client, if there is none, by closing another connection."""
        with self._lock:
            address = self._open[request] = str(client_address[0])
            of_address = Counter(self._open.values())
            if len(self._open) > self.limits.connections:
                self._hang_up_oldest(max(of_address, key=lambda each: of_address[each]))
            elif of_address[address] > self.limits.of_one:
                self._hang_up_oldest(address)
        super().process_request(request, client_address)

    def _hang_up_oldest(self, address: str) -> None:
        """Its thread finds out, and ends. The lock is held."""
        client = next(client for client, found in self._open.items() if found == address)
        del self._open[client]
        with suppress(OSError):  # the client was faster
            socket.socket.shutdown(client, socket.SHUT_RDWR)  # that of TLS would pull its state from a reader

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
                    socket.socket.shutdown(connection, socket.SHUT_RD)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hung up or were too slow."""


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    server: _Server

    def setup(self) -> None:
        self._ends = time.monotonic() + self.server.limits.deadline
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(self.server.limits.deadline)  # of the whole handshake
            self.request.do_handshake()
        super().setup()
        self.rfile.close()
        head, self._rest = _read_head(self.connection, self._ends)
        self.rfile = BytesIO(head)

    def do_GET(self) -> None:
        self._show(with_body=True)

    def do_HEAD(self) -> None:
        self._show(with_body=False)

    def do_POST(self) -> None:
        length, limits = self.headers.get("Content-Length", ""), self.server.limits
        if (form := self.server.site.forms.get(self._path)) is None:
            self.send_error(HTTPStatus.NOT_FOUND if self._path not in self.server.site.pages else _WRONG_METHOD)
        elif not (length.isascii() and length.isdigit()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 12 or int(length) > limits.body:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._send(form(_read_body(self.connection, self._rest, int(length), self._ends)))

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _show(self, *, with_body: bool) -> None:
        if (make := self.server.site.pages.get(self._path)) is not None:
            self._send(make(), with_body=with_body)
        else:
            self.send_error(_WRONG_METHOD if self._path in self.server.site.forms else HTTPStatus.NOT_FOUND)

    def _send(self, page: Page, *, with_body: bool = True) -> None:
        self.connection.settimeout(self.server.limits.deadline)  # sendall applies it to the whole
        self.send_response_only(page.status)  # and no banner
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        if page.status is _WRONG_METHOD:
            self.send_header("Allow", "POST" if self._path in self.server.site.forms else "GET, HEAD")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self.wfile.write(page.body)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002 # passed by the base class
        explain: str | None = None,  # noqa: ARG002 # likewise
    ) -> None:
        """Answer a request that is refused, without echoing its text."""
        status = _WRONG_METHOD if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.request_version = self.protocol_version  # the response to an unparsable request has a head, too
        self._send(Page(status, f"{status.phrase}\n".encode()))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Skip the log: probes arrive every few seconds."""


def _read_head(connection: socket.socket, ends: float) -> tuple[bytes, bytes]:
    """Read up to the empty line, at any pace of the client; what came after it is the second part.

    Raises:
        TimeoutError: It took too long.
        ConnectionError: It is too long, or the client hung up.
    """
    head = b""
    while not (match := re.search(rb"\r?\n\r?\n", head)):
        connection.settimeout(max(ends - time.monotonic(), 0.001))
        received = connection.recv(4096)
        head += received
        if not received or len(head) > _LONGEST_HEAD:
            raise ConnectionError("no request came")
    connection.settimeout(max(ends - time.monotonic(), 0.001))
    return head[: match.end()], head[match.end() :]


def _read_body(connection: socket.socket, first: bytes, length: int, ends: float) -> bytes:
    """Read a body of a known length; raises as `_read_head` does."""
    body = bytearray(first)
    while len(body) < length:
        connection.settimeout(max(ends - time.monotonic(), 0.001))
        received = connection.recv(min(65536, length - len(body)))
        if not received:
            raise ConnectionError("the body broke off")
        body += received
    return bytes(body[:length])
