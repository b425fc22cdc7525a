"""Many programs with an answer each: so many at once, a time limit for each and for all."""

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence

from mnp_core.classes import frozen
from mnp_core.cli.fleet.children import Children, Ended
from mnp_core.telemetry.text import printable, shorten

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer."""

ANSWERING = frozenset({0})
"""Exit statuses of programs that have answered."""

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


def ask(
    commands: Mapping[str, Sequence[str]],
    limits: Limits,
    most_bytes: int = MOST_BYTES,
    *,
    answering: frozenset[int] = ANSWERING,
) -> Iterator[Answer]:
    """Run programs, and give the answer of each as it comes; programs that are running are ended with the iterator.

    Args:
        commands: By key.
        limits: Of time and number.
        most_bytes: Of one answer.
        answering: Exit statuses with which a program has answered, if there is any output.
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
                    output = bytes(outputs.pop(event.key, b""))
                    yield _answer(event, output, limits, most_bytes, is_good=event.status in answering and bool(output))
                elif len(outputs[event.key]) <= most_bytes:
                    outputs[event.key] += event.data
                else:
                    children.kill(event.key)


def _started(children: Children, key: str, command: Sequence[str], seconds: float) -> Iterator[Answer]:
    """Start a program; an answer only if that fails."""
    if seconds <= 0:
        yield Answer(key, failure="not asked: the time for all was up")
        return
    try:
        children.start(key, command, seconds)
    except OSError as error:
        yield Answer(key, failure=f"kubectl cannot be started ({error.strerror})")


def _answer(ended: Ended, output: bytes, limits: Limits, most_bytes: int, *, is_good: bool) -> Answer:
    if len(output) > most_bytes:
        return Answer(ended.key, failure=f"its answer is larger than {most_bytes / 2**20:g} MiB")
    if ended.timed_out:
        limit = f"{limits.seconds:g} seconds, or within {limits.total_seconds:g} for all"
        return Answer(ended.key, failure=f"no answer within {limit}")
    if ended.status and not is_good:
        return Answer(ended.key, failure=last_words(ended))
    return Answer(ended.key, output)


def last_words(ended: Ended) -> str:
    """The reason of a program's end: the end of its standard error, safe for a terminal, or its exit status."""
    lines = [line.strip() for line in ended.error.splitlines() if line.strip() and not line.startswith(_NOISE)]
    return shorten(printable(" ".join(lines[-2:])), _LONGEST_REASON) or f"it ended with status {ended.status}"
