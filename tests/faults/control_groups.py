"""A control group with a limit of memory, for one process: the OOM killer of the kernel itself."""

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
PATIENCE = 10  # seconds
NAME = f"mnp-faults-{os.getpid()}"


@contextmanager
def memory_limit(pid, size):
    """Let a process have so many bytes more than it has; gives whether the kernel has killed it for that.

    Pages stay with the group in which they were first used, so only new ones count.
    """
    parent, limit, events = _hierarchy()
    group = parent / NAME
    group.mkdir()
    try:
        (group / limit).write_text(str(size))
        (group / "cgroup.procs").write_text(str(pid))
        yield lambda: _kills(group / events) > 0
    finally:
        _remove(group, parent)


def _remove(group, parent):
    """Its process is back in the parent, if it lives; one that has just ended keeps a group for a moment."""
    end = time.monotonic() + PATIENCE
    while group.exists():
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (parent / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < end, f"{group} is left"
            time.sleep(0.05)


def _hierarchy():
    """The folder of new groups, and the names of two files, of either version of control groups."""
    if (ROOT / "memory" / "memory.limit_in_bytes").exists() and os.access(ROOT / "memory", os.W_OK):
        return ROOT / "memory", "memory.limit_in_bytes", "memory.oom_control"
    controllers = ROOT / "cgroup.subtree_control"
    if controllers.exists() and "memory" in controllers.read_text().split() and os.access(ROOT, os.W_OK):
        return ROOT, "memory.max", "memory.events"
    pytest.skip("needs control groups that can be written to, with the controller memory")
    return None


def _kills(events):
    counts = dict(line.split() for line in events.read_text().splitlines())
    return int(counts["oom_kill"])
