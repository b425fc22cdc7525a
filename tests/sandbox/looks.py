"""Ways to see where a thread is and what a process holds, and to make a thread weak."""

import ctypes
import os
import time
from pathlib import Path

from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside

_CAPABILITY_VERSION_3 = 0x20080522  # <linux/capability.h>


def inode():
    """Of the network namespace that the calling thread is in."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def descriptors():
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 # the same for a Path, but it would hold a file itself


def drop_capabilities():
    """Take every capability from the calling thread alone: capset(2) is per thread."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, nothing) == 0


def goes_away(sandbox, name, within=10):
    """Whether a link vanishes within so many seconds, as one end of a pair does with the namespace of the other."""
    end = time.monotonic() + within
    while name in {link.name for link in run_inside(sandbox, read_links)}:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def lay_out_process(root, pid, sandbox, *, cgroup="0::/\n", started=0, name="pause"):
    """Lay out a process in /proc below a directory: its namespace, which is real, and its control group."""
    home = root / "proc" / str(pid)
    (home / "ns").mkdir(parents=True)
    (home / "ns" / "net").symlink_to(sandbox.path)
    (home / "cgroup").write_text(cgroup)
    (home / "stat").write_text(f"{pid} ({name}) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {started} 0 0\n")
    return home
