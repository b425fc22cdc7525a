"""Traces of the test bed on this machine, to detect leftovers."""

import re
from collections.abc import Iterator
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.links import CHANGED

_NAMES = re.compile(rf"{place.CGROUP}|testbed\d|{re.escape(str(place.ROOT))}")


def traces() -> dict[str, set[str]]:
    """Everything that names the bed, by type."""
    return {
        "links": {path.name for path in Path("/sys/class/net").iterdir() if _NAMES.search(path.name)},
        "mounts": set(_mounts()),
        "processes": set(_processes()),
        "groups": {str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{place.CGROUP}")},
        "files": {str(path) for path in (place.ROOT,) if path.exists()},
    }


def settings() -> dict[str, str]:
    """The kernel's settings that a kubelet changes, as they are now."""
    paths = {name: Path("/proc/sys") / name for name in CHANGED}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}


def _mounts() -> Iterator[str]:
    """Of every mount namespace that a process is in."""
    for pid in {_link(path): path.parent.parent for path in Path("/proc").glob("[0-9]*/ns/mnt")}.values():
        try:
            yield from (line for line in (pid / "mountinfo").read_text().splitlines() if _NAMES.search(line))
        except OSError:  # it ended
            continue


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _processes() -> Iterator[str]:
    """Those that have ended and wait for the machine's first process to notice have no command line any more."""
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            command = (path.parent / "cmdline").read_text()
            if command and place.CGROUP in path.read_text():
                yield f"{path.parent.name} {command}"
        except (FileNotFoundError, ProcessLookupError):
            continue
