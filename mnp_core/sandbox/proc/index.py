"""The processes of all pods on a node, by one walk through ``/proc`` for all nearly simultaneous queries."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import field

from mnp_core.classes import frozen
from mnp_core.errors import SandboxError
from mnp_core.sandbox.proc.cgroup import pod_of

_NOTHING: Final[Mapping[str, Sequence["Process"]]] = {}


@frozen(order=True)
class Process:
    """A process, distinct from later ones with the same number.

    Attributes:
        started: When, in clock ticks since the machine started; so processes are ordered from the oldest on.
        pid: Its number.
        uid: Of the pod that it belongs to.
    """

    started: int
    pid: int
    uid: str = field(order=False)


class ProcessIndex:
    """Index of processes by pod. Thread safe."""

    def __init__(self, proc: str) -> None:
        """Make an empty index.

        Args:
            proc: Where the host's procfs is mounted.
        """
        self._proc = proc
        self._lock = threading.Lock()
        self._found = _NOTHING
        self._seen = -1.0

    def processes(self, uid: str, *, since: float) -> Sequence[Process]:
        """The processes of a pod, the oldest first.

        Args:
            uid: Of the pod.
            since: How old the answer may be: not looked at before this `time.monotonic`.

        Raises:
            SandboxError: There is no procfs.
        """
        with self._lock:  # waiters here share the result of the one before them
            if self._seen < since:
                seen = time.monotonic()
                self._found = _walk(self._proc)
                self._seen = seen
            return self._found.get(uid, ())

    def still(self, process: Process) -> bool:
        """Whether it is there, and still the same."""
        return _look(self._proc, process.pid) == process


def _walk(proc: str) -> Mapping[str, Sequence[Process]]:
    try:
        pids = [int(name) for name in os.listdir(proc) if name.isdecimal()]  # noqa: PTH208 # thousands of names
    except OSError as error:
        raise SandboxError(
            f"{proc}: the processes of this node cannot be listed ({error.strerror}): mount the host's /proc there"
        ) from error
    found: defaultdict[str, list[Process]] = defaultdict(list)
    for process in filter(None, (_look(proc, pid) for pid in pids)):
        found[process.uid].append(process)
    return {uid: sorted(processes) for uid, processes in found.items()}


def _look(proc: str, pid: int) -> Process | None:
    """A process of a pod; None if it is none, or has ended."""
    try:
        uid = pod_of(_read(f"{proc}/{pid}/cgroup"))
        return Process(_started(_read(f"{proc}/{pid}/stat")), pid, uid) if uid else None
    except (OSError, ValueError, IndexError):
        return None


def _started(stat: str) -> int:
    """Field 22 of ``/proc/PID/stat``, see proc_pid_stat(5); field 2 is a name that may hold blanks and parentheses."""
    return int(stat.rpartition(")")[2].split()[22 - 3])


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
