"""Faults of API server, etcd, container runtime and clock."""

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults.bed import SOON

LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # Debian package libfaketime
DAY = 86400


@contextmanager
def lying(bed):
    bed.server.late, before = 0.05, bed.server.lies
    bed.server.cut()
    try:
        yield
        assert bed.server.lies > before
    finally:
        bed.server.late = 0.0


@contextmanager
def compacted(bed):
    """410 Gone for every request."""
    with bed.server.refusing(410):
        bed.server.compact()
        yield


@contextmanager
def restored(bed):
    """The objects are those of an earlier moment, and numbers of versions are given out a second time."""
    snapshot = bed.server.snapshot()
    far = list(bed.far)
    bed.change()
    bed.change()
    bed.until(bed.right, "the changes are in force")
    yield
    bed.until(bed.right, "the changes are in force")
    bed.server.restore(snapshot)
    bed.far[:] = far


@contextmanager
def no_runtime(bed):
    """Its socket goes, pods come, and it comes back."""
    bed.runtime.stop()
    Path(bed.runtime.socket).unlink(missing_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(bed.pods(2))
            yield
            assert not bed.right(), "a pod was found without a runtime"
        finally:
            bed.runtime.start()
        bed.recover("the new pods have their rules")


@contextmanager
def clock_steps(bed):
    """CLOCK_REALTIME, a day forth and a day back."""
    clock = bed.folder / "clock"
    _step(clock, 0)
    bed.kill()
    environment = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock)}
    bed.start(**environment, FAKETIME_CACHE_DURATION="1", FAKETIME_DONT_FAKE_MONOTONIC="1")
    for offset in (DAY, -DAY):
        _step(clock, offset)
        _await_date(bed, offset)
        bed.until(bed.right, "the change is in force")
    yield
    bed.recover("the change is in force")
    bed.kill()


def _await_date(bed, offset):
    """Make changes until the log has the other date."""
    said, end = len(bed.text()), time.monotonic() + SOON
    while time.strftime("time=%Y-%m-%dT", time.gmtime(time.time() + offset)) not in bed.text()[said:]:
        assert time.monotonic() < end, "the clock was not moved"
        bed.change()
        time.sleep(0.2)


def _step(clock, seconds):
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}")
    new.replace(clock)
