"""A process that lasts: none of its threads ends in silence, and signals end it in order."""

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SHORTEST: Final = 0.5  # seconds after a failure, and twice as many each time
_LONGEST: Final = 30.0

_log = logging.getLogger(__name__)


def log_dying_threads() -> None:
    """Log the error by which any thread of this process ends: those of pools are replaced, none ends in silence."""
    threading.excepthook = _log_dying


def _log_dying(dying: threading.ExceptHookArgs) -> None:
    name = dying.thread.name if dying.thread is not None else "(unknown)"
    error = dying.exc_value or dying.exc_type()
    _log.error("the thread %s has ended by an error", name, exc_info=error)


class LastingThread:
    """Restarts its work after an exception, with a log line; ends when the work returns."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        """Prepare; nothing is done until `start`.

        Args:
            name: For the log and for health.
            work: Returns when the thread is to end; any exception is logged, and it is called again.
        """
        self.name = name
        self.failures = 0
        self._work = work
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Do not begin again; the work has to be made to return."""
        self._ending.set()

    def join(self, timeout: float | None = None) -> None:
        """End, and wait for it; a thread that was not started has ended."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether it works, or is about to try again."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._work()
            except Exception:  # noqa: BLE001 - the thread has to survive all of them
                self.failures += 1
                _log.exception("the thread %s has failed, it begins again", self.name)
                self._ending.wait(min(_LONGEST, _SHORTEST * 2.0 ** min(self.failures - 1, 10)))
            else:
                return


class WokenThread(LastingThread):
    """Calls its work when it is woken up, and again after the pause that the work returns (inf: not by itself)."""

    def __init__(self, name: str, work: Callable[[], float], *, collect_seconds: float = 0.0) -> None:
        """Prepare; nothing is done until `start` and the first `wake`.

        Args:
            name: For the log and for health.
            work: Returns the next pause in seconds.
            collect_seconds: Between waking up and the work, for more to come; at most the pause.
        """
        super().__init__(name, self._loop)
        self._paused_work = work
        self._collect_seconds = collect_seconds
        self._woken, self._closed = threading.Event(), threading.Event()

    def wake(self) -> None:
        """Have the work done soon. From any thread."""
        self._woken.set()

    def close(self, timeout: float) -> None:
        """Stop, and wait so many seconds for the work under way."""
        self._closed.set()
        self._woken.set()
        self.join(timeout)

    def _loop(self) -> None:
        pause = math.inf
        while self._wait(pause):
            self._woken.clear()
            pause = self._paused_work()

    def _wait(self, pause: float) -> bool:
        """Until there is work; False once closed."""
        if pause > 0:
            self._woken.wait(None if math.isinf(pause) else pause)
        if self._woken.is_set() and pause > 0:
            self._closed.wait(min(self._collect_seconds, pause))
        return not self._closed.is_set()


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM and SIGINT. For the main thread."""

    def heed(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, heed) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
