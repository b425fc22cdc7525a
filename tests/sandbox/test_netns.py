"""Entering a sandbox: the right one, never the host's, and back."""

import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.errors import SandboxError, SandboxNotFoundError, UnsupportedError
from mnp_core.sandbox.created import new_namespace, pin, unpin
from mnp_core.sandbox.netns import identify, is_there, run_here, run_inside
from mnp_core.testing.netns import private_namespace
from tests.sandbox.looks import descriptors, drop_capabilities, inode

pytestmark = pytest.mark.root
HOST = inode()


def unreachable():
    pytest.fail("work was done")


def test_work_happens_inside_and_the_caller_stays_where_it_is(sandbox):
    caller = threading.get_ident()
    where, who = run_inside(sandbox, lambda: (inode(), threading.get_ident()))
    assert where == sandbox.inode != HOST
    assert who != caller
    assert inode() == HOST


def test_errors_of_the_work_reach_the_caller(sandbox):
    with pytest.raises(ZeroDivisionError):
        run_inside(sandbox, lambda: 1 / 0)
    with pytest.raises(SystemExit):
        run_inside(sandbox, sys.exit)


@pytest.mark.parametrize("path", ["/proc/self/ns/net", "/proc/{pid}/ns/net", "/proc/thread-self/ns/net"])
def test_host_is_refused_by_any_path(path):
    with pytest.raises(SandboxError, match="host's own network namespace"):
        run_inside(identify(path.format(pid=os.getpid())), unreachable)


def test_host_is_refused_from_inside_a_sandbox(sandbox):
    with pytest.raises(SandboxError, match="host's own"):
        run_inside(sandbox, lambda: run_inside(identify("/proc/self/ns/net"), unreachable))


def test_namespace_of_pid_1_is_refused_by_a_process_that_started_in_another():
    program = (
        "from mnp_core.errors import SandboxError\n"
        "from mnp_core.sandbox.netns import identify, run_inside\n"
        "try: run_inside(identify('/proc/1/ns/net'), lambda: print('entered'))\n"
        "except SandboxError as error: print('refused', error)\n"
    )
    first = ["unshare", "--net", "--pid", "--fork", "--mount-proc"]  # its child is pid 1, in a namespace of its own
    command = [*first, "sh", "-c", 'unshare --net "$@"; true', "sh", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused /proc/1/ns/net: the host's own"), done.stderr


def test_sandboxes_can_be_entered_from_within_another(sandbox):
    with private_namespace() as other:
        before_and_after = run_inside(sandbox, lambda: (inode(), run_inside(other, inode), inode()))
    assert before_and_after == (sandbox.inode, other.inode, sandbox.inode)


def test_path_that_leads_elsewhere_by_now_is_not_entered(sandbox, tmp_path):
    path = tmp_path / "pod"
    pinned = pin(sandbox, path)
    unpin(path)
    with private_namespace() as successor:
        pin(successor, path)
        try:
            with pytest.raises(SandboxNotFoundError, match=f"inode {sandbox.inode} has gone, inode {successor.inode}"):
                run_inside(pinned, unreachable)
        finally:
            unpin(path)


def test_vanished_namespace_is_not_found(tmp_path):
    with private_namespace() as anonymous:
        gone = pin(anonymous, tmp_path / "gone")
    unpin(tmp_path / "gone")
    with pytest.raises(SandboxNotFoundError, match="no network namespace"):
        run_inside(gone, unreachable)


def test_whether_a_namespace_is_there_is_seen_without_entering_it(tmp_path):
    with private_namespace() as anonymous, private_namespace() as other:
        pinned = pin(anonymous, tmp_path / "pod")
        assert is_there(pinned)
        unpin(tmp_path / "pod")
        assert not is_there(pinned)
        pin(other, tmp_path / "pod")
        assert not is_there(pinned)
        unpin(tmp_path / "pod")


@pytest.mark.parametrize("field", ["device", "inode"])
def test_identity_must_match_in_device_and_inode(sandbox, field):
    with pytest.raises(SandboxNotFoundError):
        run_inside(evolve(sandbox, **{field: getattr(sandbox, field) + 1}), unreachable)


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/proc/0/ns/net", "/proc/self/ns/mnt", "/proc/self/ns/user", __file__, "/dev/null", "/", "a\0b", ""],
)
def test_a_file_that_is_no_network_namespace_is_refused_by_name(path):
    with pytest.raises(SandboxNotFoundError) as caught:
        identify(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SandboxNotFoundError):
        identify(str(tmp_path / "fifo"))


def test_identity_is_the_same_by_every_path(sandbox, tmp_path):
    pinned = pin(sandbox, tmp_path / "pod")
    try:
        inside = run_inside(sandbox, lambda: identify("/proc/thread-self/ns/net"))
        assert (pinned.device, pinned.inode) == (sandbox.device, sandbox.inode) == (inside.device, inside.inode)
        assert run_inside(pinned, inode) == sandbox.inode
    finally:
        unpin(tmp_path / "pod")


def test_without_privileges_the_error_has_a_remedy(sandbox):
    with ThreadPoolExecutor(max_workers=1, initializer=drop_capabilities) as weak:
        for attempt in (lambda: run_inside(sandbox, unreachable), new_namespace):
            with pytest.raises(
                UnsupportedError, match=r"may not .* network namespaces: run as root with CAP_SYS_ADMIN"
            ):
                weak.submit(attempt).result()


def test_thread_that_cannot_come_back_says_so_and_the_result_is_not_lost(sandbox):
    future = Future()

    def serve():
        return run_here(future, sandbox, drop_capabilities), inode()

    with ThreadPoolExecutor(max_workers=1) as thread:
        assert thread.submit(serve).result() == (False, sandbox.inode)
    assert future.result() is None


def test_2000_enters_leave_no_file_and_no_thread(sandbox):
    run_inside(sandbox, int)
    before = descriptors(), threading.active_count()
    for _ in range(2000):
        run_inside(sandbox, int)
    with pytest.raises(SandboxError):
        run_inside(identify("/proc/self/ns/net"), unreachable)
    assert descriptors() <= before[0]  # fewer, if something of an earlier test ends only now
    assert threading.active_count() <= before[1] + 1  # the last one may not have ended altogether
    assert Path("/proc/self/ns/net").stat().st_ino == HOST
