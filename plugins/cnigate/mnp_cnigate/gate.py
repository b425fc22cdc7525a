"""The agent's end: listens for calls of the CNI plugin, and asks the keeper."""

import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from mnp_cnigate.conversation import Conversation
from mnp_cnigate.listener import SETTING, Listener, OccupiedError, peer
from mnp_cnigate.request import Request, parse_request
from mnp_cnigate.sandboxes import Sandboxes
from mnp_core.api import Admission, Gatekeeper
from mnp_core.errors import InputError

_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)

DEFAULT_SOCKET: Final = "/run/mnp/gate.sock"
_MOST_CALLS: Final = 256  # at once; a kubelet starts no more pods
_SHARE: Final = 0.9  # of the plugin's patience: the answer has to be back in time
_LOOK_SECONDS: Final = 0.5  # between looks at the socket's path
_END_SECONDS: Final = 1.0
_ENDS: Final = "the node agent ends; the kubelet tries again"


class CniGate:
    """Implements `mnp_core.api.Gate`. One thread accepts, one each holds a call."""

    def __init__(self, path: Path) -> None:
        """Prepare.

        Args:
            path: Of the socket; the same as in the network configuration.
        """
        self._path = path
        self._lock = threading.Lock()
        self._calls: dict[Conversation, threading.Thread] = {}
        self._sandboxes = Sandboxes()
        self._listener: Listener | None = None
        self._accepting: threading.Thread | None = None
        self._closed = threading.Event()
        self._problem = "the gate is not open"

    def open(self, keeper: Gatekeeper) -> None:
        """Listen, at once or as soon as another agent has ended; raises InputError if the path cannot be used."""
        try:
            self._claim()
        except OccupiedError as error:
            self._problem = str(error)
        self._accepting = threading.Thread(target=self._accept, args=(keeper,), name="cnigate", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Refuse all waiting calls, and end."""
        with self._lock:
            self._closed.set()
            calls = dict(self._calls)
            if self._listener is not None:
                self._listener.close()
        for conversation in calls:
            conversation.answer("refused", _ENDS)
        self._problem = "the gate is closed"
        deadline = time.monotonic() + _END_SECONDS
        for thread in (*calls.values(), *filter(None, [self._accepting])):
            thread.join(max(deadline - time.monotonic(), 0.0))

    @property
    def problem(self) -> str:
        """Why no call arrives; empty if all do."""
        listener = self._listener
        if listener is not None and listener.in_place and not self._closed.is_set():
            return ""
        return self._problem or f"{self._path} is not there any more: it is made again"

    def _claim(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._listener = Listener.claim(self._path)
            self._listener.socket.settimeout(_LOOK_SECONDS)
            self._problem = ""

    def _accept(self, keeper: Gatekeeper) -> None:
        while not self._closed.is_set():
            listener = self._listener
            try:
                if listener is None or not listener.in_place:
                    self._claim()
                else:
                    self._receive(listener.socket.accept()[0], keeper)
            except TimeoutError:
                continue
            except OSError:  # closed, or out of descriptors
                self._closed.wait(_LOOK_SECONDS)
            except InputError as error:
                self._problem = str(error)
                self._closed.wait(_LOOK_SECONDS)

    def _receive(self, connection: socket.socket, keeper: Gatekeeper) -> None:
        conversation = Conversation(connection)
        thread = threading.Thread(target=self._hold, args=(conversation, keeper), name="cnigate", daemon=True)
        with self._lock:
            try:
                refusal = self._refusal(connection)
                if not refusal:
                    thread.start()  # waits for the lock at its end
                    self._calls[conversation] = thread
            except (OSError, RuntimeError) as error:  # it has gone; no more threads
                refusal = f"{error}; the kubelet tries again"
        if refusal:
            conversation.answer("refused", refusal)

    def _refusal(self, connection: socket.socket) -> str:
        if peer(connection)[1] not in {0, os.geteuid()}:
            return "only root may ask"
        if self._closed.is_set():
            return _ENDS
        return "too many calls at once; the kubelet tries again" if len(self._calls) >= _MOST_CALLS else ""

    def _hold(self, conversation: Conversation, keeper: Gatekeeper) -> None:
        """Answer one call, also after a failure."""
        try:
            conversation.answer(*self._answer(parse_request(conversation.read()), keeper))
        except InputError as error:
            conversation.answer("invalid", str(error))
        except Exception as error:  # noqa: BLE001 - one call's failure is its own
            _log.warning("call of the CNI plugin failed", error=repr(error))
            conversation.answer("refused", f"the agent failed: {error!r}; see its log")
        finally:
            with self._lock:
                del self._calls[conversation]

    def _answer(self, request: Request, keeper: Gatekeeper) -> tuple[str, str]:
        """The answer to one call, and its reason."""
        if request.start is None:
            ended = self._sandboxes.remove(request.container, request.interface)
            if ended is not None:
                keeper.stopped(ended.pod, ended.uid, ended.netns)
            return "admitted", ""
        self._sandboxes.add(request.container, request.start)
        decision = keeper.admit(request.start, seconds=request.seconds * _SHARE)
        if decision.admission is Admission.OPEN:
            _log.warning("pod starts without its rules", pod=str(request.start.pod), reason=decision.reason)
        return ("admitted" if decision.admitted else "refused"), decision.reason


def make_gate(settings: Mapping[str, str]) -> CniGate:
    """Make the gate from the settings: ``cnigate-socket``, the path of its socket."""
    return CniGate(Path(settings.get(SETTING, DEFAULT_SOCKET)))
