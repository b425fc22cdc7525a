"""The bed's control groups: all processes of the bed are in them, and so are their children.

They define the processes for `down` to end, also after a crash, without trust in process numbers.

    mnp-testbed/daemons/NAME   a component and its children
    mnp-testbed/kubepods/...   pods, made by the kubelet

Both versions of control groups are served: in version 1 the daemons are in one hierarchy, pods in all.
"""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.errors import TestBedError
from scripts.testbed.patience import wait_for


def make() -> None:
    """Make the bed's group in every hierarchy; the kubelet wants it to be there."""
    for mount in _hierarchies():
        (mount / place.CGROUP).mkdir(exist_ok=True)


def for_daemon(name: str) -> Path:
    """Where the group of a component is, or would be."""
    return _tracked() / place.CGROUP / "daemons" / name


def processes() -> frozenset[int]:
    """Every process of the bed, containers' included."""
    return frozenset(pid for mount in _hierarchies() for pid in _members(mount / place.CGROUP))


def kill() -> None:
    """End every process of the bed, and wait until there is none."""
    wait_for("every process of the bed has ended", _kill_once, patience=60, interval=0.05)


def remove() -> None:
    """Take the groups away; they are empty by now."""
    for mount in _hierarchies():
        wait_for(f"{mount / place.CGROUP} can be removed", lambda top=mount / place.CGROUP: _removed(top), patience=20)


def members(group: Path) -> frozenset[int]:
    """The processes in one group itself."""
    try:
        return frozenset(int(line) for line in (group / "cgroup.procs").read_text().split())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):  # gone meanwhile, or a group of threads
            return frozenset()
        raise


def _members(top: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(top):
        yield from members(Path(folder))


def _kill_once() -> bool:
    ours = processes() - {os.getpid()}
    for pid in ours:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return not ours


def _removed(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False  # the kernel still counts a process in
    return True


def _hierarchies() -> tuple[Path, ...]:
    return tuple(path for path, _, _ in _mounts())


def _tracked() -> Path:
    """The hierarchy in which daemons are: version 2 if it is the only one, else that of pids."""
    for path, version, options in _mounts():
        if version == "cgroup" and "pids" in options.split(","):
            return path
    for path, version, _ in _mounts():
        if version == "cgroup2":
            return path
    raise TestBedError("no control groups are mounted under /sys/fs/cgroup")


def _mounts() -> tuple[tuple[Path, str, str], ...]:
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return tuple((Path(at), kind, options) for _, at, kind, options, *_ in lines if kind in ("cgroup", "cgroup2"))
