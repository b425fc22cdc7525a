"""An API server over HTTP."""

import socket
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from attrs import evolve
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, disable_warnings
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning, LocationParseError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from mnp_core import __version__
from mnp_core.errors import ApiUnreachableError, InputError
from mnp_core.kubeapi.credentials import Access, Anonymous, InCluster, Kubeconfig, Login, check_server
from mnp_core.kubeapi.proxy import proxy_for
from mnp_core.kubeapi.refusal import refusal
from mnp_core.kubeapi.server import JSON, MAX_ANSWER_BYTES, MERGE_PATCH, Params, TooLargeError
from mnp_core.kubeapi.stream import HttpStream, Pool, TlsPool

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 30.0
"""Seconds: to get a connection, and for the server to say anything to an ordinary request."""

STREAM_TIMEOUT = 90.0
"""Seconds without a byte after which a stream counts as dead; a watch gets a bookmark about every 60."""

_BLOCK = 64 * 1024  # bytes that are read at once
_KEPT = 8  # connections that are kept open between requests

_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""The kernel asks a peer that is silent whether it is still there: one that went without a word is noticed in 35 s."""


def connect(
    kubeconfig: str | None = None,
    *,
    context: str | None = None,
    master: str | None = None,
    stream_timeout: float = STREAM_TIMEOUT,
) -> "HttpApiServer":
    """Find the API server and our credentials; nothing is sent yet.

    Args:
        kubeconfig: A file, or several with colons between them. Without it, and without `master`, this must be a pod.
        context: Of the kubeconfig; None for its current one.
        master: URL of the server, instead of the kubeconfig's.
        stream_timeout: Seconds without a byte after which a stream is given up.

    Raises:
        InputError: The kubeconfig cannot be used, or this is not a pod.
    """
    if master:
        check_server(master, "--master")
    return HttpApiServer(_login(kubeconfig, context, master), server=master, stream_timeout=stream_timeout)


def _login(kubeconfig: str | None, context: str | None, master: str | None) -> Login:
    if kubeconfig:
        return Kubeconfig(kubeconfig, context)
    return Anonymous(master) if master else InCluster.find()


class HttpApiServer:
    """`mnp_core.kubeapi.server.ApiServer` over urllib3."""

    def __init__(self, login: Login, *, server: str | None = None, stream_timeout: float = STREAM_TIMEOUT) -> None:
        """Prepare connections; `server` is taken instead of the one that the login names."""
        self._login = login
        self._server = server
        self._stream_timeout = stream_timeout
        self._lock = threading.Lock()
        self._pools: tuple[Access, PoolManager] | None = None
        self._connections()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            if self._pools is not None:
                self._pools[1].clear()
                self._pools = None

    def get(self, path: str, params: Params | None = None) -> bytes:
        """See `ApiServer.get`."""
        return self._whole("GET", _with(path, params))

    def stream(self, path: str, params: Params | None = None) -> HttpStream:
        """See `ApiServer.stream`."""
        return HttpStream(lambda: self._send("GET", _with(path, params), timeout=self._stream_timeout))

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """See `ApiServer.post`."""
        return self._whole("POST", path, msgspec.json.encode(body))

    def patch(self, path: str, body: Mapping[str, object], content_type: str = MERGE_PATCH) -> bytes:
        """See `ApiServer.patch`."""
        return self._whole("PATCH", path, msgspec.json.encode(body), content_type=content_type)

    def delete(self, path: str) -> bytes:
        """See `ApiServer.delete`."""
        return self._whole("DELETE", path)

    def _whole(self, method: str, path: str, body: bytes | None = None, *, content_type: str = JSON) -> bytes:
        response = self._send(method, path, body, content_type=content_type, timeout=ANSWER_TIMEOUT)
        try:
            return _bounded(response)
        except (HTTPError, OSError, ValueError) as error:
            timed_out = isinstance(error, UrllibTimeoutError)
            raise ApiUnreachableError(f"the answer broke off: {error}", timed_out=timed_out) from error

    def _send(
        self, method: str, path: str, body: bytes | None = None, *, content_type: str = JSON, timeout: float
    ) -> BaseHTTPResponse:
        headers = {"Accept": JSON, "User-Agent": f"multi-network-policy/{__version__}"}
        if authorization := self._login.authorization():
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = content_type
        server, pools = self._connections()
        timeouts = Timeout(connect=CONNECT_TIMEOUT, read=timeout)
        try:
            response = pools.request(
                method,
                server + path,
                body=body,
                headers=headers,
                timeout=timeouts,
                preload_content=False,
                decode_content=False,
                retries=False,
            )
            return self._checked(_uncompressed(response))
        except (HTTPError, OSError, ValueError) as error:  # ValueError: of TLS, when a stream is closed meanwhile
            timed_out = isinstance(error, UrllibTimeoutError)
            raise ApiUnreachableError(f"{server} does not answer: {error}", timed_out=timed_out) from error

    def _checked(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        if 200 <= response.status < 300:
            return response
        error = refusal(response.status, response.headers, _bounded(response))
        response.release_conn()
        if error.status == 401:
            self._login.renew()
        raise error

    def _connections(self) -> tuple[str, PoolManager]:
        """Server and connections to it, new ones when the login names another server or other files."""
        access = self._login.access()
        if self._server:
            access = evolve(access, server=self._server)
        with self._lock:
            if self._pools is None or self._pools[0] != access:
                self._pools = access, _pools(access)
            return access.server.rstrip("/"), self._pools[1]


def _pools(access: Access) -> PoolManager:
    """Make pools.

    Raises:
        InputError: The URL of server or proxy is none.
    """
    arguments: dict[str, Any] = _tls(access) if access.server.startswith("https:") else {}
    arguments["maxsize"] = _KEPT
    arguments["socket_options"] = [*HTTPConnection.default_socket_options, *_KEEP_ALIVE]
    proxy = access.proxy or proxy_for(access.server)
    if not access.verify:
        disable_warnings(InsecureRequestWarning)  # who wrote insecure-skip-tls-verify knows
    try:
        pools = ProxyManager(proxy, **arguments) if proxy else PoolManager(**arguments)
    except (LocationParseError, ValueError) as error:
        raise InputError(f"{proxy!r} is not the URL of a proxy ({error})", where=access.server) from None
    pools.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    return pools


def _tls(access: Access) -> dict[str, object]:
    return {
        "cert_reqs": "CERT_REQUIRED" if access.verify else "CERT_NONE",
        "ca_certs": access.authority or None,
        "cert_file": access.certificate or None,
        "key_file": access.key or None,
        "server_hostname": access.server_name or None,
        "assert_hostname": access.server_name or None,
    }


def _uncompressed(response: BaseHTTPResponse) -> BaseHTTPResponse:
    """The response, unless it is compressed: a few bytes could become any number of them, past every limit.

    http.client asks for ``identity`` alone. API servers compress for clients that ask for it, and no others.

    Raises:
        HTTPError: It is compressed.
    """
    coding = response.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() in {"", "identity"}:
        return response
    response.close()
    raise HTTPError(f"the answer is compressed ({coding[:40]!r}), which was not asked for")


def _bounded(response: BaseHTTPResponse) -> bytes:
    """The answer as a whole; raises TooLargeError and the errors of urllib3."""
    body = bytearray()
    while block := response.read(_BLOCK):
        body += block
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise TooLargeError
    response.release_conn()
    return bytes(body)


def _with(path: str, params: Params | None) -> str:
    return f"{path}?{urlencode(params)}" if params else path
