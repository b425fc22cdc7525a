"""The agent's end of its socket: few clients, each on a thread of its own with deadlines, so that none delays another.

A socket that cannot be opened, or that is lost, is tried again; enforcement goes on without it.
"""

import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

import mnp_core
from mnp_core.closing import Closing
from mnp_core.errors import InputError, MnpError, UnsupportedError
from mnp_core.lasting import LastingThread
from mnp_core.node.status.lines import LineReader, LineTooLongError
from mnp_core.node.status.peer import peer_uid
from mnp_core.node.status.place import Place
from mnp_core.node.status.protocol import (
    LONGEST_REQUEST,
    PROTOCOL,
    Item,
    Refusal,
    RefusedError,
    RequestKind,
    encode,
    parse_request,
)

_MOST_CLIENTS: Final = 16
_MOST_ENDLESS: Final = 8  # of them
_REQUEST_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 10.0  # for one line
_CHECK_SECONDS: Final = 10.0  # between two looks whether the socket is still there, and two tries to open it
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


class _ClientLeftError(Exception):
    """The client has gone, or is too slow."""


class StatusServer(Closing):
    """Serves until it is closed."""

    def __init__(
        self,
        path: Path,
        kinds: Mapping[str, RequestKind],
        *,
        node: str,
        users: frozenset[int] = frozenset({0}),
        request_seconds: float = _REQUEST_SECONDS,
        send_seconds: float = _SEND_SECONDS,
        check_seconds: float = _CHECK_SECONDS,
    ) -> None:
        """Begin to serve, as soon as the socket can be opened.

        Args:
            path: Where to listen.
            kinds: The requests by name.
            node: The node's name, for the answers.
            users: Those that may ask.
            request_seconds: How long a client may take for its request.
            send_seconds: How long it may take to read a line.
            check_seconds: Between two tries to open the socket, and two looks at it.
        """
        self._path, self._kinds, self._users = path, kinds, users
        self._request_seconds, self._send_seconds, self._check_seconds = request_seconds, send_seconds, check_seconds
        self._head = encode({"protocol": PROTOCOL, "version": mnp_core.__version__, "node": node})
        self._clients: dict[socket.socket, bool] = {}  # whether it asks for something endless
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._woken, self._wake = socket.socketpair()  # shutting down a listening socket wakes nobody up
        self._complaint = ""
        self._thread = LastingThread("agent socket", self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop, and hang up."""
        self._thread.end()
        with self._lock:
            self._closed.set()
            self._wake.close()
            for client in self._clients:
                with suppress(OSError):  # it has left
                    client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._woken.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with Place(self._path) as place:
                    self._complaint = ""
                    self._listen(place)
            except UnsupportedError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    _log.warning("no agent socket", error=str(error), effect="enforcement goes on, nobody can ask")
            self._closed.wait(self._check_seconds)

    def _listen(self, place: Place) -> None:
        with DefaultSelector() as selector:
            selector.register(self._woken, EVENT_READ)
            selector.register(place.listener, EVENT_READ)
            place.listener.settimeout(0.0)
            while not self._closed.is_set() and place.is_there:
                if any(key.fileobj is place.listener for key, _ in selector.select(self._check_seconds)):
                    with suppress(BlockingIOError, ConnectionError):  # it has left
                        self._accept(place.listener)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.settimeout(self._request_seconds)
        with self._lock:
            accepted = len(self._clients) < _MOST_CLIENTS and not self._closed.is_set()
            if accepted:
                self._clients[client] = False
        if not accepted:
            self._turn_away(client)
            return
        try:
            threading.Thread(target=self._serve, args=[client], name="agent socket client", daemon=True).start()
        except BaseException:
            self._leave(client)
            raise

    def _turn_away(self, client: socket.socket) -> None:
        client.settimeout(0.0)
        with client, suppress(OSError):
            client.sendall(self._head)
            self._refuse(client, RefusedError(Refusal.BUSY, f"{_MOST_CLIENTS} clients are being answered already"))

    def _leave(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.pop(client, None)
        client.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            self._send(client, self._head)
            self._answer(client)
        except RefusedError as refused:
            self._refuse(client, refused)
        except InputError as error:
            self._refuse(client, RefusedError(Refusal.INPUT, str(error)))
        except MnpError as error:
            self._refuse(client, RefusedError(Refusal.NO_ANSWER, str(error)))
        except _ClientLeftError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever a request does wrong, the agent goes on
            _log.error("a request of the agent socket has failed", exc_info=error)
            self._refuse(client, RefusedError(Refusal.DEFECT, f"{type(error).__name__}: {error}"))
        finally:
            self._leave(client)

    def _answer(self, client: socket.socket) -> None:
        if (user := peer_uid(client)) not in self._users:
            raise RefusedError(Refusal.FORBIDDEN, f"only root may ask the agent, not user {user}")
        request = parse_request(self._line(client))
        kind = self._kinds.get(request.name)
        if kind is None:
            known = ", ".join(sorted(self._kinds))
            text = f"this agent knows no request {request.name[:80]!r}: it knows {known}"
            raise RefusedError(Refusal.UNKNOWN_REQUEST, text)
        self._mark(client, endless=kind.endless)
        send = partial(self._send, client)
        with bound_contextvars(uid=user), closing(kind.answer(request.arguments)) as items:
            for item in items:
                send(_line(item))
        send(encode({"end": True}))

    def _mark(self, client: socket.socket, *, endless: bool) -> None:
        """Keep places for short requests."""
        with self._lock:
            if endless and sum(self._clients.values()) >= _MOST_ENDLESS:
                raise RefusedError(Refusal.BUSY, f"{_MOST_ENDLESS} clients are following already")
            self._clients[client] = endless

    def _line(self, client: socket.socket) -> bytes:
        try:
            return LineReader(client, LONGEST_REQUEST).line_within(self._request_seconds)
        except LineTooLongError as error:
            raise RefusedError(Refusal.INPUT, f"the request is too long: {error}") from error
        except TimeoutError as error:
            raise RefusedError(Refusal.INPUT, f"no request came within {self._request_seconds:g} s") from error
        except (OSError, EOFError) as error:
            raise _ClientLeftError from error

    def _send(self, client: socket.socket, line: bytes) -> None:
        try:
            client.settimeout(self._send_seconds)
            client.sendall(line)
        except OSError as error:
            raise _ClientLeftError from error

    def _refuse(self, client: socket.socket, refused: RefusedError) -> None:
        """Say why, if there is room for it: also after a part of an answer."""
        error = {"reason": refused.reason.value, "message": str(refused)}
        with suppress(OSError):
            client.settimeout(0.5)
            client.sendall(encode({"error": error}))


def _line(item: Item | None) -> bytes:
    return encode({"item": item}) if item is not None else b"\n"
