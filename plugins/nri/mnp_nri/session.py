"""A connection to the runtime, from the registration to its end.

The runtime waits for an answer no longer than its limit, and then goes on: the pod starts and, before NRI 0.12.5, the
plugin is disconnected. So each call is answered in time, by a refusal if the gatekeeper is late or fails.
"""

import threading
import time
from concurrent.futures import Executor
from typing import Any, Final

from google.protobuf.message import DecodeError

from mnp_nri.messages import MESSAGES, PLUGIN_SERVICE, RUNTIME_SERVICE
from mnp_nri.service import Code, PluginService, RefusedError
from mnp_nri.trunk import PLUGIN, REQUEST, RESPONSE, RUNTIME, Message, ProtocolError, Trunk

NAME: Final = "mnp"
"""The plugin's name, for the runtime's settings and log."""

_WAIT: Final = 0.8  # of the runtime's limit, for a decision
_ANSWER: Final = 0.9  # ... for the answer without one
_WAITING: Final = 4096  # calls; a node has some hundred pods
_LONGEST: Final = 1000  # characters of a reason; it ends up in an Event
_PARTING: Final = 0.05


class RegistrationError(Exception):
    """The runtime does not take the plugin."""


class Session:
    """One registration. `run` is for one thread, `end` for any."""

    def __init__(self, trunk: Trunk, service: PluginService, pool: Executor) -> None:
        """Make a session.

        Args:
            trunk: The connection, which `run` closes.
            service: Answers the calls.
            pool: Threads on which it does.
        """
        self._trunk = trunk
        self._service = service
        self._pool = pool
        self._lock = threading.Lock()
        self._overdue: dict[int, float] = {}  # by stream, when an answer has to be sent
        self._ending = ""

    @property
    def holds(self) -> bool:
        """Whether the runtime has taken the plugin in, and asks it."""
        return self._service.synchronized and not self._ending

    def run(self, index: str) -> None:
        """Register and serve until the connection ends.

        Raises:
            RegistrationError: The runtime refuses.
            ProtocolError: Its bytes are no frames of NRI.
            OSError: The connection is broken.
        """
        try:
            self._register(index)
            while (messages := self._trunk.receive(self._patience())) is not None:
                for message in messages:
                    self._take(message)
                self._answer_overdue()
        finally:
            self.end("the connection to the container runtime has ended")
            self._trunk.close()

    def end(self, reason: str) -> None:
        """Refuse waiting calls, and end `run`."""
        with self._lock:
            self._ending = self._ending or reason
            waiting = list(self._overdue)
        for stream in waiting:
            self._refuse(stream, RefusedError(reason))
        if waiting:
            time.sleep(_PARTING)  # Go's reader may prefer the end of a connection to the answers before it
        self._trunk.shut()

    def _register(self, index: str) -> None:
        arguments = MESSAGES["RegisterPluginRequest"](plugin_name=NAME, plugin_idx=index).SerializeToString()
        call = MESSAGES["Request"](service=RUNTIME_SERVICE, method="RegisterPlugin", payload=arguments)
        self._trunk.send(Message(RUNTIME, 1, REQUEST, call.SerializeToString()))

    def _take(self, message: Message) -> None:
        if (message.connection, message.kind) == (PLUGIN, REQUEST):
            self._begin(message.stream, message.payload)
        elif (message.connection, message.kind) == (RUNTIME, RESPONSE):
            _see_registered(message.payload)

    def _begin(self, stream: int, payload: bytes) -> None:
        """Answer a call on another thread: many may wait, and none delays the others."""
        arrived = time.monotonic()
        with self._lock:
            ending, full = self._ending, len(self._overdue) >= _WAITING
            self._overdue[stream] = arrived + _ANSWER * self._service.timeout
        if ending or full:
            self._refuse(stream, RefusedError(ending or f"over {_WAITING} calls wait", Code.RESOURCE_EXHAUSTED))
        else:
            self._pool.submit(self._answer, stream, payload, arrived)

    def _answer(self, stream: int, payload: bytes, arrived: float) -> None:
        try:
            self._respond(stream, payload=self._call(payload, arrived))
        except RefusedError as refusal:
            self._refuse(stream, refusal)
        except DecodeError as error:
            self._refuse(stream, RefusedError(f"cannot be read: {error}", Code.INVALID_ARGUMENT))
        except Exception as error:  # noqa: BLE001 # a gatekeeper's fault refuses one pod, and ends nothing
            self._refuse(stream, RefusedError(f"{type(error).__name__}: {error}", Code.INTERNAL))

    def _call(self, payload: bytes, arrived: float) -> bytes:
        request = MESSAGES["Request"].FromString(payload)
        if request.service != PLUGIN_SERVICE:
            raise RefusedError(f"mnp has no service {request.service!r:.80}", Code.UNIMPLEMENTED)
        seconds = arrived + _WAIT * self._service.timeout - time.monotonic()
        if seconds <= 0:
            raise RefusedError("the node agent had no time for the pod: too many wait")
        return self._service.call(request.method, request.payload, seconds)

    def _refuse(self, stream: int, refusal: RefusedError) -> None:
        text = str(refusal)[:_LONGEST].encode(errors="backslashreplace").decode()
        self._respond(stream, status={"code": refusal.code, "message": text})

    def _respond(self, stream: int, **response: Any) -> None:
        """Answer a call, unless it has been."""
        with self._lock:
            if self._overdue.pop(stream, None) is None:
                return
        try:
            self._trunk.send(Message(PLUGIN, stream, RESPONSE, MESSAGES["Response"](**response).SerializeToString()))
        except OSError:
            self._trunk.shut()

    def _patience(self) -> float | None:
        with self._lock:
            return min(self._overdue.values()) - time.monotonic() if self._overdue else None

    def _answer_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            overdue = [stream for stream, when in self._overdue.items() if when <= now]
        for stream in overdue:
            limit = f"{_ANSWER * self._service.timeout:g} s"
            self._refuse(stream, RefusedError(f"the node agent gave no decision within {limit}: look at its log"))


def _see_registered(payload: bytes) -> None:
    try:
        status = MESSAGES["Response"].FromString(payload).status
    except DecodeError as error:
        raise ProtocolError(f"the answer to the registration cannot be read: {error}") from None
    if status.code:
        raise RegistrationError(f"{status.message!r:.300}")
