"""The API server, as a test sees it: JSON in and out, over a connection that stays open."""

import base64
import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import yaml

from scripts.testbed.errors import TestBedError

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_TIMEOUT = 60.0  # seconds; as long as an API server takes to answer


class ApiError(TestBedError):
    """A refusal by the API server.

    Attributes:
        code: HTTP status.
        status: The body, a `Status` object where the server sent one.
    """

    def __init__(self, code: int, status: Mapping[str, Any], asked: str) -> None:
        """Keep the response, and make a message of it."""
        super().__init__(f"{asked}: {code} {status.get('reason', '')}: {status.get('message', status)}")
        self.code = code
        self.status = status


class Connection:
    """One connection, for one thread. It is opened when it is used, and again if the server has closed it."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read the server's address and the client's credentials.

        Args:
            kubeconfig: Its current context is used; it holds certificates or a token, or names files of them.
        """
        self._server, self._context, self._headers = _read(kubeconfig)
        self._http: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """Send a request, and return the parsed response.

        Raises:
            ApiError: It refused.
            OSError: It cannot be reached.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | {"Accept": JSON, "Content-Type": content_type}
        answer, content = self._exchange(method, target, data, headers)
        parsed = _parsed(content)
        if answer >= 400:
            raise ApiError(answer, parsed, f"{method} {target}")
        return parsed

    def close(self) -> None:
        """Hang up."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        reused = self._http is not None
        try:
            return self._exchange_once(method, target, data, headers)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if not reused:  # else the server may have closed an idle connection
                raise OSError(f"{method} {target}: {error!r}") from error
        return self._exchange(method, target, data, headers)

    def _exchange_once(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        http_connection = self._http = self._http or self._connect()
        http_connection.request(method, target, body=data, headers=dict(headers))
        response = http_connection.getresponse()
        return response.status, response.read()

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._server.netloc, timeout=_TIMEOUT)
        connection = http.client.HTTPSConnection(self._server.netloc, timeout=_TIMEOUT, context=self._context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"message": content.decode(errors="replace")}


def _read(kubeconfig: Path) -> tuple[Any, ssl.SSLContext | None, dict[str, str]]:
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
    except (OSError, LookupError, TypeError, yaml.YAMLError) as error:
        raise TestBedError(f"{kubeconfig}: no kubeconfig with a current context: {error!r}") from error
    server = urlsplit(cluster["server"])
    token = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return server, _tls(cluster, user) if server.scheme == "https" else None, token


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((entry for entry in entries if entry["name"] == name), {})


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _material(cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _material(user, "client-certificate"), _material(user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile() as file:  # the only way in that the module has
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _material(section: Mapping[str, Any], name: str) -> bytes | None:
    if f"{name}-data" in section:
        return base64.b64decode(section[f"{name}-data"])
    return Path(section[name]).read_bytes() if name in section else None
