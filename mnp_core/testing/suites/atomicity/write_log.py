"""The steps of an enforcing process, with times, readable after the process was killed."""

import os
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_ENTRY = struct.Struct("@QQ")  # time and kind; an end has the kind plus one of these
_ALONE, _HELPED = 16, 32


class Kind(IntEnum):
    """Why something is written into the kernel."""

    START = 0  # a new process takes over
    RULES = 1
    MEMBERSHIP = 2
    WHOLE = 3  # the rules in force


class Record(NamedTuple):
    """One write.

    Attributes:
        kind: Why.
        start: When it began, by the monotonic clock in nanoseconds.
        end: When it ended; 0 if the process was killed meanwhile.
        alone: Whether the process did all of it itself: no child of it ran.
    """

    kind: Kind
    start: int
    end: int
    alone: bool


class WriteLog:
    """Appends to a file, an entry before and after each write: a few bytes at a time, which no signal cuts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    @contextmanager
    def entry(self, kind: Kind) -> Iterator[None]:
        ended = _ended_children()
        self._file.write(_ENTRY.pack(time.monotonic_ns(), kind))
        yield
        how = _ALONE if _ended_children() == ended and not _has_child() else _HELPED
        self._file.write(_ENTRY.pack(time.monotonic_ns(), kind + how))


def count(path: Path) -> int:
    """About how many writes were begun: two entries each, one of those that were cut short."""
    return path.stat().st_size // _ENTRY.size // 2


def read(path: Path) -> list[Record]:
    """All writes that were begun."""
    entries = [*_ENTRY.iter_unpack(path.read_bytes()), (0, 0)]
    return [
        Record(Kind(kind), start, end if how in {_ALONE, _HELPED} else 0, alone=how == _ALONE)
        for (start, kind), (end, end_kind) in pairwise(entries)
        if kind < _ALONE
        for how in [end_kind - kind]
    ]


def _ended_children() -> int:
    """Page faults of the children that were waited for: none does without."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _has_child() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
