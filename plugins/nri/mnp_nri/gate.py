"""The gate: keeps a registration at the container runtime, through restarts and failures."""

import random
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mnp_core.api import Gatekeeper
from mnp_core.errors import InputError
from mnp_nri.service import PluginService
from mnp_nri.session import RegistrationError, Session
from mnp_nri.trunk import ProtocolError, Trunk

SOCKET: Final = "nri-socket"
"""The setting that names the runtime's socket, as this process sees it."""

INDEX: Final = "nri-plugin-index"
"""The setting that places the plugin among others: the runtime calls them in this order."""

DEFAULT_SOCKET: Final = "/var/run/nri/nri.sock"
DEFAULT_INDEX: Final = "10"

_THREADS: Final = 64  # pods that wait at once; more wait for these
_CONNECT_SECONDS: Final = 2.0
_SHORTEST: Final = 0.1
_LONGEST: Final = 2.0
_OFF: Final = (
    "start the container runtime, mount the directory of its NRI socket, and have NRI switched on: the default of "
    'containerd 2 and recent CRI-O; else disable = false in [plugins."io.containerd.nri.v1.nri"] of containerd (from '
    "1.7), enable_nri = true in [crio.nri] of CRI-O (from 1.26)"
)


class NriGate:
    """A `mnp_core.api.Gate` over NRI."""

    def __init__(self, path: str = DEFAULT_SOCKET, index: str = DEFAULT_INDEX) -> None:
        """Make a gate.

        Args:
            path: Of the runtime's NRI socket.
            index: Two digits.
        """
        self._path = path
        self._index = index
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._problem = f"{path}: not connected yet"
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mnp-nri")
        self._thread: threading.Thread | None = None

    def open(self, keeper: Gatekeeper) -> None:
        """Connect, and reconnect for ever."""
        self._thread = threading.Thread(target=self._keep_registered, args=(keeper,), name="mnp-nri", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Refuse the pods that wait, and disconnect. The runtime starts later pods without asking."""
        self._closing.set()
        with self._lock:
            session = self._session
        if session is not None:
            session.end("the node agent ends: the kubelet tries again")
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._problem = "closed"

    @property
    def problem(self) -> str:
        """Why the runtime does not ask at present; empty while it does."""
        session = self._session
        return "" if session is not None and session.holds else self._problem

    def _keep_registered(self, keeper: Gatekeeper) -> None:
        pauses = _pauses()
        while not self._closing.is_set():
            service = PluginService(keeper)
            self._problem = f"{self._path}: {self._attempt(service)}"
            if service.synchronized:
                pauses = _pauses()
            self._closing.wait(next(pauses))

    def _attempt(self, service: PluginService) -> str:
        """Serve one registration until the connection ends; return the reason of the end."""
        try:
            self._serve(service)
        except Exception as error:  # noqa: BLE001 # later pods have to be held after any failure
            return _explained(error)
        if service.synchronized:
            return "the container runtime has closed the connection: it restarts, or has switched the plugin off"
        return "the container runtime closed the connection before it took the plugin in: look at its log"

    def _serve(self, service: PluginService) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            connected.settimeout(_CONNECT_SECONDS)
            connected.connect(self._path)
            session = Session(Trunk(connected), service, self._pool)
            self._problem = f"{self._path}: connected; the container runtime has not taken the plugin in yet"
            with self._lock:
                self._session = session
            try:
                if not self._closing.is_set():  # else close() has not seen it
                    session.run(self._index)
            finally:
                with self._lock:
                    self._session = None


def make_nri_gate(settings: Mapping[str, str]) -> NriGate:
    """Make a gate from the settings ``nri-socket`` and ``nri-plugin-index``; both may be left out.

    Raises:
        InputError: One of them is invalid.
    """
    path = settings.get(SOCKET, "").removeprefix("unix://") or DEFAULT_SOCKET
    if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > 107:  # sun_path of unix(7)
        raise InputError(
            f"{path!r:.150} is not the path of a unix socket: write it as {DEFAULT_SOCKET}, 107 bytes at most",
            field=SOCKET,
        )
    index = settings.get(INDEX, "") or DEFAULT_INDEX
    if not re.fullmatch(r"[0-9]{2}", index):
        raise InputError(f"{index!r:.80} is not two digits: write it as {DEFAULT_INDEX}", field=INDEX)
    return NriGate(path, index)


def _pauses() -> Iterator[float]:
    """Seconds between attempts: growing, with jitter."""
    seconds = _SHORTEST
    while True:
        yield seconds * random.uniform(0.5, 1)  # noqa: S311 # no secret
        seconds = min(2 * seconds, _LONGEST)


def _explained(error: Exception) -> str:
    """The end of a connection, phrased for the node's operator."""
    match error:
        case FileNotFoundError():
            return f"there is no such socket: {_OFF}"
        case ConnectionError() | TimeoutError() | BlockingIOError():
            return f"{error.strerror or error}: is the container runtime running? {_OFF}"
        case OSError():
            return f"cannot connect: {error.strerror or error}: see that the node agent may use the socket"
        case RegistrationError():
            return f"the container runtime refuses the plugin: {error}: look at its log"
        case ProtocolError():
            return f"this is no NRI: {error}: see that the setting {SOCKET} names the NRI socket"
    return f"a fault of mnp-nri: {type(error).__name__}: {error!s:.200}: report it"
