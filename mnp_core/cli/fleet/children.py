"""Programs that run side by side, read by one thread, and ended with everything that they started.

Each has a session of its own: Ctrl-C reaches this program alone, which ends them in order.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.closing import Closing
from mnp_core.signals import deferred

_CHUNK = 64 * 1024  # bytes that are read at once
_LONGEST_ERROR = 8 * 1024  # bytes of standard error that are kept: the last ones
_TICK = 0.5  # seconds between two looks at programs that say nothing
_SOON = 0.02  # seconds until the exit of a program that has closed its output
_LINGER = 0.5  # seconds for which output is awaited that a program's own children hold open
_GRACE = 1.0  # seconds between SIGTERM and SIGKILL


@frozen
class Output:
    """A piece of a program's standard output."""

    key: str
    data: bytes


@frozen
class Ended:
    """A program has ended, or was ended.

    Attributes:
        key: Its key.
        status: Its exit status, negative for a signal.
        error: The end of its standard error.
        timed_out: Whether its time was up.
    """

    key: str
    status: int
    error: str
    timed_out: bool = False


@define(eq=False)
class _Child:
    key: str
    process: "subprocess.Popen[bytes]"
    deadline: float
    error: bytearray = field(factory=bytearray)
    streams: int = 2
    ended_at: float | None = None

    def note(self, data: bytes) -> None:
        self.error += data
        del self.error[:-_LONGEST_ERROR]

    def has_exited(self) -> bool:
        """Whether it has; it stays a zombie, whose number nobody else gets, until it is waited for."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def is_over(self, now: float) -> bool:
        """Whether it has exited and nothing more is to be read."""
        if not self.has_exited():
            return False
        if self.ended_at is None:
            self.ended_at = now
        return not self.streams or now >= self.ended_at + _LINGER

    def signal(self, number: int) -> None:
        """Send a signal to it and its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class Children(Closing):
    """Running programs; `close` ends them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, _Child] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: str, command: Sequence[str], seconds: float = float("inf"), *, fed: bool = False) -> None:
        """Start a program, without a shell.

        Args:
            key: Names it in events.
            command: The program's full path, and its arguments.
            seconds: Its time.
            fed: Whether its input is that of `feed`; else it has none.

        Raises:
            OSError: It cannot be started.
        """
        with deferred():  # an interruption between the start and the note of it would leave the program running
            self._start(key, command, seconds, subprocess.PIPE if fed else subprocess.DEVNULL)

    def _start(self, key: str, command: Sequence[str], seconds: float, stdin: int) -> None:
        process = subprocess.Popen(  # noqa: S603 # no shell; arguments that users give are values of options
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        child = self._running[key] = _Child(key, process, time.monotonic() + seconds)
        for stream in _streams(process):
            self._selector.register(stream, selectors.EVENT_READ, (child, stream is process.stderr))

    def events(self, seconds: float = _TICK) -> Iterator[Output | Ended]:
        """The events of the next moment: none if nothing happens for so many seconds."""
        outputs = [*self._read(seconds)]
        now = time.monotonic()
        over = [child for child in self._running.values() if child.is_over(now)]
        late = [child for child in self._running.values() if child not in over and now >= child.deadline]
        _end(late)
        ended = [*map(self._ended, over), *(self._ended(child, timed_out=True) for child in late)]
        yield from outputs
        yield from ended

    def feed(self, data: bytes) -> None:
        """Write to the input of all programs that are fed; one that reads nothing misses it."""
        for child in self._running.values():
            if child.process.stdin is not None:
                with suppress(BlockingIOError, BrokenPipeError):
                    os.write(child.process.stdin.fileno(), data)

    def kill(self, key: str) -> None:
        """End a program at once; its end is an event like any other's."""
        if child := self._running.get(key):
            child.signal(signal.SIGKILL)

    def close(self) -> None:
        """End all."""
        children = list(self._running.values())
        try:
            _end(children)
        finally:
            for child in children:
                child.signal(signal.SIGKILL)
                self._ended(child)
            self._selector.close()

    def _read(self, seconds: float) -> Iterator[Output]:
        for ready, _ in self._selector.select(self._patience(seconds)):
            child, is_error = ready.data
            data = os.read(ready.fd, _CHUNK)
            if not data:
                self._selector.unregister(ready.fileobj)
                child.streams -= 1
            elif is_error:
                child.note(data)
            else:
                yield Output(child.key, data)

    def _patience(self, seconds: float) -> float:
        if any(not child.streams or child.ended_at is not None for child in self._running.values()):
            return min(seconds, _SOON)
        nearest = min((child.deadline for child in self._running.values()), default=float("inf"))
        return max(0.0, min(seconds, _TICK, nearest - time.monotonic()))

    def _ended(self, child: _Child, *, timed_out: bool = False) -> Ended:
        del self._running[child.key]
        registered = self._selector.get_map()
        for stream in _streams(child.process):
            if stream in registered:
                self._selector.unregister(stream)
            stream.close()
        if child.process.stdin is not None:
            child.process.stdin.close()
        return Ended(child.key, child.process.wait(), child.error.decode(errors="replace"), timed_out)


def _streams(process: "subprocess.Popen[bytes]") -> Iterator[IO[bytes]]:
    return (stream for stream in (process.stdout, process.stderr) if stream is not None)


def _end(children: Iterable[_Child]) -> None:
    """End programs with their own children: they are asked to, and killed after a moment."""
    children = list(children)
    for child in children:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and not all(child.has_exited() for child in children):
        time.sleep(_SOON)
    for child in children:
        child.signal(signal.SIGKILL)
