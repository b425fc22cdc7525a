"""Pods are found by their processes: the oldest one that is not the runtime's own (S64)."""

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

import pytest
from attrs import evolve

from mnp_core.errors import SandboxError, SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.host import HostFilesystem
from mnp_core.sandbox.netns import identify, run_inside
from mnp_core.sandbox.proc import index
from mnp_core.sandbox.proc.locator import ProcLocator, make_proc_locator
from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import SandboxLocatorConformance
from mnp_core.testing.conformance.locator import Located
from tests.sandbox.looks import lay_out_process

pytestmark = pytest.mark.root

UID = "0a1b2c3d-0000-4000-8000-00000000000a"
WEB = evolve(pod("web"), uid=UID)
CGROUP = f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-0123.scope\n"
HOSTS_OWN = identify(f"/proc/{os.getpid()}/ns/net")


@pytest.fixture
def spaces():
    """Makes namespaces that go with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(new_namespace()).sandbox


@pytest.fixture
def lay_out(tmp_path):
    lay_out_process(tmp_path, 1, HOSTS_OWN, name="init")
    (tmp_path / "proc" / "self").symlink_to("1")
    (tmp_path / "proc" / "meminfo").touch()

    def lay_out(pid, sandbox, **rest):
        return lay_out_process(tmp_path, pid, sandbox, **{"cgroup": CGROUP, "started": pid} | rest)

    return lay_out


@pytest.fixture
def locator(tmp_path):
    return ProcLocator(HostFilesystem(str(tmp_path)))


def identity(sandbox):
    return sandbox.device, sandbox.inode


# --- duties of every locator --------------------------------------------------------------------------------------


class TestLaidOut(SandboxLocatorConformance):
    @pytest.fixture(autouse=True)
    def _spaces(self, tmp_path, spaces, lay_out):
        self.root, self.spaces, self.lay_out = tmp_path, spaces, lay_out

    @contextmanager
    def located(self):
        sandbox = self.spaces()
        pause = self.lay_out(100, sandbox)

        def remake():
            rmtree(pause)
            made = self.spaces()
            self.lay_out(101, made)
            return made

        yield Located(locator=ProcLocator(HostFilesystem(str(self.root))), pod=WEB, sandbox=sandbox, remake=remake)


def writable_hierarchy():
    """A hierarchy of control groups in which a test may make its own; None where there is none."""
    for mount in map(str.split, Path("/proc/mounts").read_text().splitlines()):
        if mount[2] in {"cgroup", "cgroup2"} and os.access(mount[1], os.W_OK) and "cpuset" not in mount[3]:
            return Path(mount[1])
    return None


@pytest.fixture
def put_into_cgroup():
    """Puts processes into a control group of the pod, as a kubelet with the driver cgroupfs names it."""
    home = writable_hierarchy()
    if home is None:
        pytest.skip("no hierarchy of control groups is writable here")
    outer = home / f"mnp-test-{os.getpid()}"
    path = outer / "kubepods" / "besteffort" / f"pod{UID}"
    path.mkdir(parents=True)
    yield lambda pid: (path / "cgroup.procs").write_text(str(pid))
    until = time.monotonic() + 5
    while (path / "cgroup.procs").read_text().strip() and time.monotonic() < until:
        time.sleep(0.01)
    for each in (path, path.parent, path.parent.parent, outer):
        each.rmdir()


class TestRealProcesses(SandboxLocatorConformance):
    @pytest.fixture(autouse=True)
    def _cgroup(self, spaces, put_into_cgroup):
        self.spaces, self.put_into_cgroup = spaces, put_into_cgroup

    @contextmanager
    def located(self):
        running = []

        def make():
            sandbox = self.spaces()
            running.append(run_inside(sandbox, lambda: subprocess.Popen(["sleep", "600"])))
            self.put_into_cgroup(running[-1].pid)
            return sandbox

        def end():
            running[-1].kill()
            running.pop().wait()

        def remake():
            end()
            return make()

        try:
            yield Located(locator=make_proc_locator({}), pod=WEB, sandbox=make(), remake=remake)
        finally:
            end()


# --- which process counts -----------------------------------------------------------------------------------------


def test_the_oldest_process_counts_and_not_the_lowest_number(locator, lay_out, spaces):
    """A process of the pod that may (CAP_SYS_ADMIN) moves to another namespace: it does not mislead."""
    pause, moved = spaces(), spaces()
    lay_out(300, moved, started=5000)
    lay_out(200, pause, started=4000)
    lay_out(150, moved, started=6000)
    assert identity(locator.locate(WEB)) == identity(pause)


def test_the_runtimes_own_processes_in_the_pods_control_group_do_not_count(locator, lay_out, spaces):
    """conmon of CRI-O is older than the container, and in the host's namespace."""
    sandbox = spaces()
    lay_out(200, HOSTS_OWN, name="conmon")
    lay_out(201, sandbox)
    assert identity(locator.locate(WEB)) == identity(sandbox)


def test_a_container_that_has_not_entered_its_sandbox_yet_is_asked_for_again(locator, lay_out):
    lay_out(200, HOSTS_OWN, name="runc:[1:CHILD]")
    with pytest.raises(SandboxNotFoundError, match="none of its 1 processes is in a network namespace of its own"):
        locator.locate(WEB)


def test_the_hosts_namespace_is_known_where_the_agent_has_another(tmp_path, spaces):
    hosts = spaces()
    lay_out_process(tmp_path, 1, hosts, name="init")
    lay_out_process(tmp_path, 200, hosts, cgroup=CGROUP)
    with pytest.raises(SandboxNotFoundError):
        ProcLocator(HostFilesystem(str(tmp_path))).locate(WEB)


@pytest.mark.parametrize("name", ["sleep", "a b", ") S 1 1 1 0", "(((", "1 (x) R 0 0 0 0 0", "\n"])
def test_a_name_that_a_process_gave_itself_does_not_make_it_older(locator, lay_out, spaces, name):
    """Field 2 of /proc/PID/stat is set by prctl(PR_SET_NAME)."""
    pause = spaces()
    lay_out(200, pause, started=4000)
    lay_out(300, spaces(), started=5000, name=name)
    assert identity(locator.locate(WEB)) == identity(pause)


def test_processes_that_have_ended_are_passed_over(locator, lay_out, spaces):
    sandbox = spaces()
    (lay_out(200, sandbox) / "ns" / "net").unlink()  # a zombie has none
    (lay_out(201, sandbox) / "stat").write_text("")
    (lay_out(202, sandbox) / "cgroup").unlink()
    lay_out(203, sandbox)
    assert locator.locate(WEB).path.endswith("/203/ns/net")


def test_a_number_that_another_process_has_got_is_noticed(locator, lay_out, spaces):
    """Between the walk through /proc and the look at the namespace."""
    lay_out(300, spaces(), cgroup=CGROUP.replace(UID.replace("-", "_"), "another"))
    victim = lay_out(200, spaces())
    locator.locate(WEB)
    rmtree(victim)
    lay_out(200, spaces(), cgroup=CGROUP.replace(UID.replace("-", "_"), "another"))
    with pytest.raises(SandboxNotFoundError, match="no process under"):
        locator.locate(WEB)
    rmtree(victim)
    fresh = spaces()
    lay_out(200, fresh, started=9000)
    time.sleep(0.3)  # the answer before is no longer fresh
    assert identity(locator.locate(WEB)) == identity(fresh)


@pytest.mark.parametrize(
    "other",
    [
        evolve(WEB, uid="another"),
        evolve(WEB, uid=""),
        evolve(WEB, name=ObjectName("other", "thief"), uid="", static_uid=UID),
        evolve(WEB, name=ObjectName("other", "thief"), uid="another", static_uid=UID),
    ],
    ids=str,
)
def test_no_pod_claims_the_processes_of_another(locator, lay_out, spaces, other):
    """The UID that a mirror pod claims is an annotation, and a control group has no name to compare."""
    lay_out(200, spaces())
    with pytest.raises(SandboxNotFoundError):
        locator.locate(other)


def test_the_error_about_a_mirror_pod_names_another_locator(locator):
    with pytest.raises(SandboxNotFoundError, match="use the locator 'cri'"):
        locator.locate(evolve(WEB, static_uid="9c1c5e1d8a0fb50c1b6f0f3c0f8d4e5a"))


def test_no_proc_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(SandboxError, match=f"{tmp_path}/proc: .*mount the host's /proc there"):
        ProcLocator(HostFilesystem(str(tmp_path))).locate(WEB)


# --- cost ---------------------------------------------------------------------------------------------------------


def test_one_walk_through_proc_serves_all_who_ask_at_nearly_the_same_time(locator, lay_out, spaces):
    """Seen by its effect: a process that came after the walk is not known until the answer is too old."""
    sandbox = spaces()
    lay_out(200, sandbox)
    late = evolve(WEB, uid="late")
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait(5)
        return identity(locator.locate(WEB))

    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {identity(sandbox)}
    lay_out(201, sandbox, cgroup="0::/kubepods/podlate\n")
    found_at = None
    while found_at is None:
        try:
            locator.locate(late)
            found_at = time.monotonic() - began
        except SandboxNotFoundError:
            assert time.monotonic() - began < 5
            time.sleep(0.01)
    assert found_at > 0.2


def test_processes_are_ordered_by_age():
    assert sorted([index.Process(2, 1, "a"), index.Process(1, 9, "b"), index.Process(1, 3, "c")]) == [
        index.Process(1, 3, "c"),
        index.Process(1, 9, "b"),
        index.Process(2, 1, "a"),
    ]
