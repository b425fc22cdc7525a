"""The agent lacks something: time, memory, disk, descriptors; or has much to do at once."""

import os
import resource
import signal
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mnp_core.sandbox.netns import run_inside
from tests.faults import cluster
from tests.faults.control_groups import memory_limit


@contextmanager
def large_pod(bed):
    """A pod that takes some 30 MiB to read."""
    raw = cluster.ready_pod("large", 9000, node="elsewhere")
    raw["metadata"]["annotations"]["large"] = "x" * (12 << 20)
    bed.server.put("pods", raw)
    try:
        yield
    finally:
        bed.server.delete("pods", "large", cluster.NAMESPACE)


@contextmanager
def out_of_memory(bed):
    """The kernel's OOM killer ends it, by the limit of its control group."""
    with memory_limit(bed.process.pid, 4 << 20) as killed, large_pod(bed):
        yield
        bed.await_death()
        assert killed()


@contextmanager
def no_address_space(bed):
    """Allocations fail (RLIMIT_AS): not a MiB more than it has; it may end of that."""
    usual = resource.prlimit(bed.process.pid, resource.RLIMIT_AS)
    size = int(Path(f"/proc/{bed.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(bed.process.pid, resource.RLIMIT_AS, (size + (1 << 20), usual[1]))
    with large_pod(bed):
        yield
        assert "MemoryError" in bed.text() or not bed.running, "no allocation has failed"
    if bed.running:
        resource.prlimit(bed.process.pid, resource.RLIMIT_AS, usual)


@contextmanager
def stopped(bed):
    os.kill(bed.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bed.process.pid, signal.SIGCONT)


@contextmanager
def overflown(bed):
    """Commits while the agent cannot read: the kernel drops their notifications, and that of a change of our rules."""
    commits = "add table inet theirs\ndelete table inet theirs\n" * 1500
    with stopped(bed):
        yield
        in_client = partial(subprocess.run, ["nft", "-i"], input=commits, text=True, check=True, capture_output=True)
        run_inside(bed.sandboxes["client"], in_client)
        remove = partial(subprocess.run, ["nft", "delete", "table", "inet", "mnp"], check=True)
        run_inside(bed.sandboxes["client"], remove)


@contextmanager
def full_disk(bed):
    """The file system of its log and TMPDIR has one page, and that is taken."""
    bed.kill()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", bed.scratch], check=True)
    usual = bed.log
    try:
        filler = bed.scratch / "filler"
        filler.write_bytes(bytes(4096))
        bed.log = bed.scratch / "log"
        bed.start()
        yield
        bed.recover("the rules are right with a full disk")
        assert bed.log.stat().st_size == 0, "the log is on the full disk"
        filler.unlink()
        bed.change()
        bed.until(lambda: bed.log.stat().st_size, "there is something in the log again")
    finally:
        bed.kill()
        bed.log = usual
        subprocess.run(["umount", bed.scratch], check=True)


@contextmanager
def no_descriptors(bed):
    """Not one more than it has; and there are new pods."""
    _, hard = resource.prlimit(bed.process.pid, resource.RLIMIT_NOFILE)
    usual = resource.prlimit(bed.process.pid, resource.RLIMIT_NOFILE)
    with bed.pods(3):
        resource.prlimit(bed.process.pid, resource.RLIMIT_NOFILE, (bed.resources().descriptors, hard))
        try:
            yield
        finally:
            resource.prlimit(bed.process.pid, resource.RLIMIT_NOFILE, usual)
        bed.recover("the new pods have their rules")


@contextmanager
def many_pods(bed, number):
    with bed.pods(number):
        bed.recover(f"{number} pods have their rules")
        yield
