"""Many programs with an answer each: so many at once, a time limit for each and for all."""

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from mnp_core.cli.fleet.children import Children, Ended, Output
from mnp_core.telemetry.text import printable, shorten

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer."""

LONGEST_LINE = 64 * 1024
"""Bytes of one line of a stream."""

_LONGEST_REASON = 300  # bytes
_NOISE = "command terminated with exit code"  # kubectl's, after the words of the program that ended


@frozen(kw_only=True)
class Limits:
    """The limits of many questions.

    Attributes:
        at_once: So many programs run at once.
        seconds: For one answer.
        total_seconds: For all.
    """

    at_once: int = 16
    seconds: float = 15.0
    total_seconds: float = 120.0


@frozen
class Answer:
    """The end of a question: the standard output of a program, or the reason why there is none."""

    key: str
    output: bytes = b""
    failure: str = ""


Line = tuple[str, bytes]
"""A key, and a line of its program without the end."""


def ask(commands: Mapping[str, Sequence[str]], limits: Limits, most_bytes: int = MOST_BYTES) -> Iterator[Answer]:
    """Run programs, and give the answer of each as it comes; programs that are running are ended with the iterator.

    Args:
        commands: By key.
        limits: Of time and number.
        most_bytes: Of one answer.
    """
    waiting = deque(commands.items())
    outputs: defaultdict[str, bytearray] = defaultdict(bytearray)
    end = time.monotonic() + limits.total_seconds
    with Children() as children:
        while waiting or children:
            while waiting and len(children) < limits.at_once:
                yield from _started(children, *waiting.popleft(), min(limits.seconds, end - time.monotonic()))
            for event in children.events():
                if isinstance(event, Ended):
                    yield _answer(event, bytes(outputs.pop(event.key, b"")), limits, most_bytes)
                elif len(outputs[event.key]) <= most_bytes:
                    outputs[event.key] += event.data
                else:
                    children.kill(event.key)


def follow(commands: Mapping[str, Sequence[str]], longest_line: int = LONGEST_LINE) -> Iterator[Line | Answer]:
    """Run programs side by side until they end, and give their lines as they come, and how each has ended.

    A line of more bytes than `longest_line` is left out.
    """
    rests: dict[str, _Lines] = {key: _Lines(longest_line) for key in commands}
    with Children() as children:
        for key, command in commands.items():
            yield from _started(children, key, command, float("inf"))
        while children:
            for event in children.events():
                if isinstance(event, Output):
                    yield from ((event.key, line) for line in rests[event.key].feed(event.data))
                else:
                    yield Answer(event.key, failure=_reason(event))


class _Lines:
    """Lines out of pieces."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        first, *others = data.split(b"\n")
        self._rest += first
        for start in others:
            if not self._skipping and len(self._rest) <= self._longest:
                yield bytes(self._rest)
            self._rest, self._skipping = bytearray(start), False
        if len(self._rest) > self._longest:
            self._rest, self._skipping = bytearray(), True


def _started(children: Children, key: str, command: Sequence[str], seconds: float) -> Iterator[Answer]:
    """Start a program; an answer only if that fails."""
    if seconds <= 0:
        yield Answer(key, failure="not asked: the time for all was up")
        return
    try:
        children.start(key, command, seconds)
    except OSError as error:
        yield Answer(key, failure=f"kubectl cannot be started ({error.strerror})")


def _answer(ended: Ended, output: bytes, limits: Limits, most_bytes: int) -> Answer:
    if len(output) > most_bytes:
        return Answer(ended.key, failure=f"its answer is larger than {most_bytes / 2**20:g} MiB")
    if ended.timed_out:
        limit = f"{limits.seconds:g} seconds, or within {limits.total_seconds:g} for all"
        return Answer(ended.key, failure=f"no answer within {limit}")
    if ended.status:
        return Answer(ended.key, failure=_reason(ended))
    return Answer(ended.key, output)


def _reason(ended: Ended) -> str:
    """The last words of a program, safe for a terminal."""
    lines = [line.strip() for line in ended.error.splitlines() if line.strip() and not line.startswith(_NOISE)]
    return shorten(printable(" ".join(lines[-2:])), _LONGEST_REASON) or f"it ended with status {ended.status}"
