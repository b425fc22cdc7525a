"""The steps of an enforcing process, with times, readable after the process was killed."""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_ENTRY = struct.Struct("@QQ")  # time and kind; an end has the kind plus _END
_END = 16


class Kind(IntEnum):
    """Why something is written into the kernel."""

    START = 0  # a new process takes over
    RULES = 1
    MEMBERSHIP = 2
    WHOLE = 3  # the rules in force


class Record(NamedTuple):
    """One write, by the monotonic clock in nanoseconds; `end` is 0 if the process was killed meanwhile."""

    kind: Kind
    start: int
    end: int


class WriteLog:
    """Appends to a file, an entry before and after each write: a few bytes at a time, which no signal cuts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    @contextmanager
    def entry(self, kind: Kind) -> Iterator[None]:
        self._file.write(_ENTRY.pack(time.monotonic_ns(), kind))
        yield
        self._file.write(_ENTRY.pack(time.monotonic_ns(), kind + _END))


def count(path: Path) -> int:
    """About how many writes were begun: two entries each, one of those that were cut short."""
    return path.stat().st_size // _ENTRY.size // 2


def read(path: Path) -> list[Record]:
    """All writes that were begun."""
    entries = [*_ENTRY.iter_unpack(path.read_bytes()), (0, 0)]
    return [
        Record(Kind(kind), start, end if end_kind == kind + _END else 0)
        for (start, kind), (end, end_kind) in pairwise(entries)
        if kind < _END
    ]
