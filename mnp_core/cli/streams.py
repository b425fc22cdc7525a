"""Standard streams that cannot be used: closed, full, or without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

_MODES = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_RDWR}


def occupy_closed_streams() -> None:
    """Open those of descriptors 0 to 2 that the caller has closed, so that no other file gets one of these numbers.

    Reading standard input, or writing to standard output, then fails as it should (EBADF); output to a closed standard
    error is discarded.
    """
    for number, mode in _MODES.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode | os.O_CLOEXEC)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


class OutputError(Exception):
    """Standard output cannot be written to.

    No OSError: click and rich end the program by themselves if a pipe has no reader, and other files may be full, too.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output cannot be written to: {cause.strerror}")
        self.is_pipe = isinstance(cause, BrokenPipeError)


class _Output:
    """Standard output, with errors distinct from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputError(error) from error


@contextmanager
def watched_output() -> Iterator[None]:
    """Have errors of standard output raised as `OutputError`; all of it is written at the end."""
    stream = sys.stdout
    sys.stdout = cast("TextIO", _Output(stream))
    try:
        yield
        sys.stdout.flush()
    except OutputError:
        discard(stream)
        raise
    finally:
        sys.stdout = stream


def discard(stream: TextIO) -> None:
    """Discard a stream and its buffer: nothing fails once more when the interpreter flushes at exit."""
    with suppress(OSError, ValueError):  # a stream of a test has no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
