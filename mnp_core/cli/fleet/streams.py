"""Many programs that go on: their lines, merged as they come, until all have ended.

A thread of its own reads, so that a slow reader of ours, such as a pager, makes no program wait: lines that find no
room are counted. Both ends are seen to be there: programs write empty lines, and get them.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.cli.attended import BEAT, SILENCE_SECONDS
from mnp_core.cli.fleet.asking import Limits, last_words
from mnp_core.cli.fleet.children import Children, Ended, Output
from mnp_core.closing import Closing

_WAITING: Final = 10_000  # lines that have not been taken yet
_LONGEST: Final = 1 << 20  # bytes of a line
_BEAT_SECONDS: Final = SILENCE_SECONDS / 6
_TICK_SECONDS: Final = 0.2


@frozen
class Line:
    """A line of a program's standard output, without its end."""

    key: str
    data: bytes


@frozen
class Missed:
    """So many lines of a program have found no room."""

    key: str
    number: int


@frozen
class Over:
    """A program writes no more."""

    key: str
    reason: str


@define
class _Stream:
    """A running program.

    Attributes:
        heard: When it has written last, or was started.
        answers: Whether it has ever written.
        rest: The beginning of a line.
        fault: The reason for which it was killed.
    """

    heard: float
    answers: bool = False
    rest: bytearray = field(factory=bytearray)
    fault: str = ""


class LineStreams(Closing):
    """Iterate over it for lines as they come; `close` ends all programs."""

    def __init__(self, commands: Mapping[str, Sequence[str]], over: Mapping[str, str], limits: Limits) -> None:
        """Begin.

        Args:
            commands: By key.
            over: Reasons why others are not run.
            limits: So many programs have not answered yet at once; a program that is silent for longer is ended.
        """
        self._limits = limits
        self._commands = deque(commands.items())
        self._streams: dict[str, _Stream] = {}
        self._waiting: deque[Line | Over] = deque(Over(*each) for each in over.items())
        self._missed: dict[str, int] = {}
        self._changed = threading.Condition()
        self._closing = self._ended = False
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Line | Missed | Over]:
        """Until all programs have ended."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended, _TICK_SECONDS)
                found, missed, ended = [*self._waiting], self._missed, self._ended
                self._waiting.clear()
                self._missed = {}
            yield from (Missed(*each) for each in missed.items())
            yield from found
            if ended:
                return

    def close(self) -> None:
        """End all programs, and wait for their ends."""
        self._closing = True
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with Children() as children:
                self._read(children)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _read(self, children: Children) -> None:
        fed = time.monotonic()
        while (self._commands or children) and not self._closing:
            self._start(children)
            for event in children.events(_TICK_SECONDS):
                if isinstance(event, Output):
                    self._take(children, event)
                else:
                    self._end(event)
            now = time.monotonic()
            self._end_silent(children, now)
            if now - fed >= _BEAT_SECONDS:
                fed = now
                children.feed(BEAT)

    def _start(self, children: Children) -> None:
        """Start as many as may begin at once: each costs most of its time then."""
        beginning = sum(not stream.answers for stream in self._streams.values())
        for _ in range(min(self._limits.at_once - beginning, len(self._commands))):
            key, command = self._commands.popleft()
            try:
                children.start(key, command, fed=True)
            except OSError as error:
                self._put(Over(key, f"kubectl cannot be started ({error.strerror})"))
            else:
                self._streams[key] = _Stream(time.monotonic())

    def _take(self, children: Children, event: Output) -> None:
        stream = self._streams[event.key]
        stream.heard, stream.answers = time.monotonic(), True
        *lines, rest = (bytes(stream.rest) + event.data).split(b"\n")
        stream.rest = bytearray(rest)
        for line in filter(None, lines):
            self._put(Line(event.key, line))
        if len(rest) > _LONGEST:
            self._kill(children, event.key, "it writes a line without an end")

    def _end_silent(self, children: Children, now: float) -> None:
        for key, stream in self._streams.items():
            if now - stream.heard > self._limits.seconds and not stream.fault:
                self._kill(children, key, f"nothing was heard for {self._limits.seconds:g} seconds")

    def _kill(self, children: Children, key: str, fault: str) -> None:
        self._streams[key].fault = fault
        children.kill(key)

    def _end(self, event: Ended) -> None:
        self._put(Over(event.key, self._streams.pop(event.key).fault or last_words(event)))

    def _put(self, item: Line | Over) -> None:
        with self._changed:
            if isinstance(item, Line) and len(self._waiting) >= _WAITING:
                self._missed[item.key] = self._missed.get(item.key, 0) + 1
            else:
                self._waiting.append(item)
            self._changed.notify()
