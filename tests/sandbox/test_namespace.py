"""Namespaces come and go with their creator, unless they are pinned."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mnp_core.errors import InputError, SandboxNotFoundError
from mnp_core.sandbox.created import new_namespace, pin, unpin
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import identify, run_inside
from mnp_core.testing.netns import End, private_namespace, veth_pair
from tests.sandbox.looks import goes_away, inode

pytestmark = pytest.mark.root


def mounted(path):
    return f" {path} " in Path("/proc/self/mountinfo").read_text()


def test_namespace_is_new_and_the_caller_stays_where_it_is():
    host = inode()
    with new_namespace() as one, new_namespace() as two:
        assert len({host, one.sandbox.inode, two.sandbox.inode}) == 3
        assert inode() == host


def test_path_of_a_namespace_is_good_in_other_processes():
    with new_namespace() as namespace:
        program = f"import os; print(os.stat({namespace.sandbox.path!r}).st_ino)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == namespace.sandbox.inode


def test_closed_namespace_goes_with_its_links(sandbox):
    with private_namespace() as gone:
        veth_pair(End(sandbox, "near"), End(gone, "far"))
    assert goes_away(sandbox, "near")


def test_namespace_goes_when_its_process_is_killed(sandbox):
    program = (
        "import sys\n"
        "from mnp_core.sandbox.created import new_namespace\n"
        "namespace = new_namespace()\n"
        "print(namespace.sandbox.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            theirs = identify(process.stdout.readline().strip())
            veth_pair(End(sandbox, "near"), End(theirs, "far"))
        finally:
            process.send_signal(signal.SIGKILL)
    assert goes_away(sandbox, "near")


def test_pinned_namespace_outlives_its_maker_and_goes_when_unpinned(sandbox, tmp_path):
    path = tmp_path / "pod"
    with new_namespace() as namespace:
        veth_pair(End(sandbox, "near"), End(namespace.sandbox, "far"))
        pinned = pin(namespace.sandbox, path)
    try:
        assert (pinned.path, pinned.inode) == (str(path), namespace.sandbox.inode)
        assert "far" in {link.name for link in run_inside(identify(str(path)), read_links)}
    finally:
        unpin(path)
    assert not path.exists()
    assert not mounted(path)
    assert goes_away(sandbox, "near")


def test_unpin_of_nothing_is_no_error(tmp_path):
    unpin(tmp_path / "nothing")


def test_unpin_removes_a_half_made_pin(tmp_path):
    (tmp_path / "half").touch()
    unpin(tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_unpin_leaves_files_of_others_alone(tmp_path):
    theirs = tmp_path / "file"
    theirs.write_text("precious")
    for path in (theirs, tmp_path):
        with pytest.raises(InputError, match="left alone"):
            unpin(path)
    assert theirs.read_text() == "precious"


def test_pin_refuses_a_path_in_use_and_a_directory_that_is_not_there(sandbox, tmp_path):
    theirs = tmp_path / "file"
    theirs.write_text("precious")
    for path in (theirs, tmp_path / "no" / "such"):
        with pytest.raises(InputError, match=f"{path}: cannot pin"):
            pin(sandbox, path)
    assert theirs.read_text() == "precious"
    assert not mounted(theirs)


def test_pin_that_fails_leaves_nothing(tmp_path):
    with private_namespace() as gone:
        pass
    with pytest.raises(SandboxNotFoundError, match="has gone"):
        pin(gone, tmp_path / "pod")
    assert not list(tmp_path.iterdir())


def test_namespaces_leave_no_file_and_no_thread():
    """In a process of its own: in this one, threads of other tests may still be ending."""
    program = (
        "import threading\n"
        "from mnp_core.sandbox.created import new_namespace\n"
        "from tests.sandbox.looks import descriptors\n"
        "def held(): return descriptors(), threading.active_count()\n"
        "new_namespace().close()\n"
        "before = held()\n"
        "for _ in range(50): new_namespace().close()\n"
        "assert held() == before, (before, held())\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_forgotten_namespace_is_said(recwarn):
    path = new_namespace().sandbox.path
    gc.collect()
    assert any(issubclass(warning.category, ResourceWarning) for warning in recwarn)
    assert not os.path.exists(path)  # noqa: PTH110 # a magic link
