"""The HTTP side of the API server in this process."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from mnp_core.testing.apiserver.faults import Answer, Cut, Fault, Garbage, Hang, Slow
from mnp_core.testing.apiserver.store import ExpiredError, Object, Selector, ServedResource, Store
from mnp_core.testing.apiserver.writes import Target, write

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


class Api(Protocol):
    """The part behind HTTP; see `FakeApiServer`."""

    store: Store
    resources: dict[str, ServedResource]
    ready: bool
    tokens: frozenset[str] | None
    requests: list[str]
    authorizations: list[str]
    bodies: list[Any]
    unknown_fields: frozenset[str]
    epoch: int

    def fault(self, path: str, *, watch: bool) -> Fault | None:
        """The fault that hits a request."""

    def may(self, plural: str, verb: str) -> bool:
        """Whether this is permitted."""

    def events(
        self, plural: str, version: int, selector: Selector, *, epoch: int, end: float
    ) -> Iterator[tuple[str, Object]]:
        """Events of a watch, until a time on the monotonic clock or the end of the epoch."""

    def take(self, connection: socket.socket) -> None:
        """Know of a connection."""

    def leave(self, connection: socket.socket) -> None:
        """It is closed."""


class HttpServer(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1, and serves each connection on a thread."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, api: Api, tls: ssl.SSLContext | None) -> None:
        """Take a port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = api
        self.tls = tls
        self.stopping = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that leave in the middle of an answer: tests do so on purpose."""


class _Broken(Exception):  # noqa: N818 # it ends an answer, as it should
    """The connection is to be closed at this point."""


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Speak TLS, if that is wanted."""
        if self.server.tls is not None:
            self.request.settimeout(10)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.request.settimeout(None)
        self.server.api.take(self.request)
        super().setup()

    def finish(self) -> None:
        """Close, even if the client has closed its end."""
        self.server.api.leave(self.request)
        with suppress(OSError):
            super().finish()
        if self.server.tls is not None:
            self.request.close()

    def log_message(self, *_: object) -> None:
        """Tests read `requests`."""

    # --- requests -----------------------------------------------------------------------------------------------

    def do_GET(self) -> None:
        """Read."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """Create."""
        self._guarded(self._write)

    def do_PATCH(self) -> None:
        """Change."""
        self._guarded(self._write)

    def do_DELETE(self) -> None:
        """Delete."""
        self._guarded(self._write)

    def _guarded(self, serve: Callable[[], None]) -> None:
        api = self.server.api
        api.requests.append(f"{self.command} {self.path}")
        api.authorizations.append(self.headers.get("Authorization", ""))
        self._sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self._fault = api.fault(self.path, watch=self._query.get("watch") == "true")
        try:
            if not self._fails_early():
                serve() if self._let_in() else self._status(401, "Unauthorized", "Unauthorized")
        except (_Broken, OSError):
            self.close_connection = True

    def _let_in(self) -> bool:
        tokens = self.server.api.tokens
        return tokens is None or self.headers.get("Authorization", "").removeprefix("Bearer ") in tokens

    def _fails_early(self) -> bool:
        fault = self._fault
        if isinstance(fault, Answer):
            body = fault.body
            if body is None:
                self._status(fault.status, "InternalError", "this server fails on purpose", fault.headers)
            else:
                self._send(fault.status, body, fault.headers)
        elif isinstance(fault, Garbage):
            self._send(200, fault.body)
        elif isinstance(fault, Hang) and not fault.head:
            self.server.stopping.wait(fault.seconds)
            raise _Broken
        elif fault is not None and type(fault) is Fault:
            raise _Broken
        return isinstance(fault, Answer | Garbage)

    def _get(self) -> None:
        api, path = self.server.api, urlsplit(self.path).path
        if path == "/readyz":
            self._send(200 if api.ready else 500, b"ok" if api.ready else b"not ready")
        elif path == "/apis":
            self._json({"kind": "APIGroupList", "apiVersion": "v1", "groups": self._groups()})
        elif path.startswith(_DEFINITIONS):
            self._definition(path.removeprefix(_DEFINITIONS))
        elif path.count("/") == 3 and path.startswith("/apis/"):
            self._resources(path.removeprefix("/apis/"))
        elif (target := Target.find(path, api.resources)) is not None and target.name:
            self._object(target)
        else:
            self._objects(path)

    def _write(self) -> None:
        api, path = self.server.api, urlsplit(self.path).path
        body = json.loads(self._sent or b"{}")
        api.bodies.append(body)
        target = Target.find(path, api.resources)
        if target is None and path.startswith("/apis/"):
            self._send(404, b"404 page not found\n")
        elif target is None:  # Events
            self._json(body, 201 if self.command == "POST" else 200)
        elif not api.may(target.resource.plural, _VERBS[self.command]):
            self._forbidden(target.resource.plural, _VERBS[self.command])
        else:
            status, answer = write(api.store, self.command, target, body)
            if isinstance(answer, str):
                self._status(status, answer, f"{path}: {answer}")
            else:
                self._json(answer, status)

    # --- discovery ----------------------------------------------------------------------------------------------

    def _groups(self) -> list[Object]:
        versions: dict[str, set[str]] = {}
        for each in list(self.server.api.resources.values()):
            if each.group and each.versions:
                versions.setdefault(each.group, set()).update(each.versions)
        return [
            {"name": group, "versions": [{"groupVersion": f"{group}/{v}", "version": v} for v in sorted(found)]}
            for group, found in versions.items()
        ]

    def _resources(self, group_version: str) -> None:
        found = [
            {"name": each.plural + suffix, "kind": each.kind, "verbs": ["get", "list", "watch"]}
            for each in list(self.server.api.resources.values())
            if any(f"{each.group}/{version}" == group_version for version in each.versions)
            for suffix in (("", "/status") if each.status else ("",))
        ]
        if found:
            self._json({"kind": "APIResourceList", "groupVersion": group_version, "resources": found})
        else:
            self._send(404, b"404 page not found\n")

    def _definition(self, name: str) -> None:
        """Of a resource, served or not; `forbid` it by the plural ``customresourcedefinitions``."""
        if not self.server.api.may("customresourcedefinitions", "get"):
            self._forbidden("customresourcedefinitions", "get")
        elif name in {f"{each.plural}.{each.group}" for each in list(self.server.api.resources.values())}:
            self._json({"metadata": {"name": name}})
        else:
            self._status(404, "NotFound", f'customresourcedefinitions.apiextensions.k8s.io "{name}" not found')

    # --- objects ------------------------------------------------------------------------------------------------

    def _object(self, target: Target) -> None:
        found = self.server.api.store.get(target.resource.plural, target.name, target.namespace)
        if found is None:
            self._status(404, "NotFound", f"{target.resource.plural} {target.name!r} not found")
        else:
            self._json(found)

    def _forbidden(self, plural: str, verb: str) -> None:
        message = f'{plural} is forbidden: User "nobody" cannot {verb} resource "{plural}" at the cluster scope'
        self._status(403, "Forbidden", message)

    def _objects(self, path: str) -> None:
        self._epoch = self.server.api.epoch  # before the look at served resources: watches of removed ones end
        group_version, _, plural = path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
        group, _, version = group_version.rpartition("/")
        resource = self.server.api.resources.get(plural)
        if resource is None or resource.group != group or version not in resource.versions:
            self._send(404, b"404 page not found\n")
            return
        verb = "watch" if self._query.get("watch") == "true" else "list"
        if not self.server.api.may(plural, verb):
            self._forbidden(plural, verb)
            return
        serve = self._watch if verb == "watch" else self._list
        selector = Selector.read(self._query.get("fieldSelector", ""))
        if unknown := sorted(selector.fields & self.server.api.unknown_fields):
            self._status(400, "BadRequest", f"field label not supported: {unknown[0]}")
            return
        serve(resource, group_version, selector)

    def _list(self, resource: ServedResource, group_version: str, selector: Selector) -> None:
        limit, token = int(self._query.get("limit", "0")) or 10**9, self._query.get("continue", "")
        try:
            items, version, token = self.server.api.store.page(resource.plural, selector, limit, token)
        except ExpiredError:
            self._status(410, "Expired", "The provided continue parameter is too old")
            return
        metadata = {"resourceVersion": str(version), "continue": token}
        if resource.group:  # items of built-in kinds have no type
            items = [{"apiVersion": group_version, "kind": resource.kind, **item} for item in items]
        self._json({"kind": f"{resource.kind}List", "apiVersion": group_version, "metadata": metadata, "items": items})

    def _watch(self, resource: ServedResource, group_version: str, selector: Selector) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + float(self._query.get("timeoutSeconds", "300"))
        version = int(self._query.get("resourceVersion", "0"))
        if isinstance(self._fault, Hang):
            self.server.stopping.wait(self._fault.seconds)
            raise _Broken
        typed = {"apiVersion": group_version, "kind": resource.kind}
        try:
            for kind, found in self.server.api.events(resource.plural, version, selector, epoch=self._epoch, end=end):
                self._chunk({"type": kind, "object": {**typed, **found}})
        except ExpiredError:
            self._chunk({"type": "ERROR", "object": _status_of(410, "Expired", "too old resource version")})
        self._body(b"0\r\n\r\n")

    # --- answers ------------------------------------------------------------------------------------------------

    def _chunk(self, event: Object) -> None:
        line = json.dumps(event).encode() + b"\n"
        self._body(b"%x\r\n%s\r\n" % (len(line), line))

    def _json(self, body: Object, status: int = 200) -> None:
        self._send(status, json.dumps(body).encode())

    def _status(self, code: int, reason: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(code, json.dumps(_status_of(code, reason, message)).encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self._body(body)

    def _body(self, body: bytes) -> None:
        """Write a part of the body, as far as the request's fault lets it."""
        if isinstance(self._fault, Cut):
            self.wfile.write(body[: self._fault.after])
            self.wfile.flush()
            raise _Broken
        if isinstance(self._fault, Slow):
            for start in range(0, len(body), self._fault.size):
                self.wfile.write(body[start : start + self._fault.size])
                self.wfile.flush()
                self.server.stopping.wait(self._fault.pause)
            return
        self.wfile.write(body)
        self.wfile.flush()


def _status_of(code: int, reason: str, message: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
