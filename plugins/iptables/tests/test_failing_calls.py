"""No system call that fails ends the process, and none leaves a mixture of two states (S60).

A child process, forked for each fault, works in the pod while strace(1) makes one of its system calls fail.
"""

import os
import select
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from mnp_core.errors import MnpError
from mnp_core.model import GroupDelta
from mnp_core.testing.netns import private_namespace
from mnp_core.testing.policies import DENY, GROUP, OTHER_GROUP, addresses, allow, interface, isolated, sandbox
from plugins.iptables.tests.pods import Pod, renderer
from plugins.iptables.tests.test_applier import EVERYTHING, MEMBERS

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes system calls fail: apt-get install strace"),
]

OLD = EVERYTHING
NEW = sandbox(
    interface("net1", ingress=isolated(allow([GROUP], ["TCP/443"])), egress=DENY),
    interface("net3", ingress=DENY),
    groups=[addresses(GROUP, "10.0.0.2", "10.0.0.99", "fd00::99")],
)
MORE = addresses(GROUP, "10.0.0.2", "10.0.0.30", "10.0.0.77", "fd00::2", "::1.2.3.4")
DELTA = renderer.render_delta(GroupDelta(before=MEMBERS, after=MORE))
OLD_RULES, NEW_RULES = renderer.render(OLD), renderer.render(NEW)
MORE_RULES = renderer.render(sandbox(*OLD.interfaces, groups=[MORE, OLD.groups[OTHER_GROUP]]))

WORK = {
    "apply": lambda pod: pod.apply(NEW_RULES),
    "translate": lambda pod: (pod._rules.compiler._done.clear(), pod.apply(NEW_RULES)),
    "update": lambda pod: pod.update(DELTA),
    "installed": lambda pod: pod.installed(),
    "is_in_force": lambda pod: pod.is_in_force(OLD_RULES),
    "remove": lambda pod: pod.remove(),
}
DONE = {
    "apply": NEW_RULES,
    "translate": NEW_RULES,
    "update": MORE_RULES,
    "installed": OLD_RULES,
    "is_in_force": OLD_RULES,
    "remove": None,
}
CALLS = (
    *("socket", "setsockopt", "getsockopt", "sendto", "recvfrom", "openat", "flock", "fcntl"),
    *("memfd_create", "unshare", "pipe2", "vfork", "prlimit64", "execve"),  # while a ruleset is translated
)
ERRORS = ("EPERM", "ENOMEM", "ENOBUFS", "EMFILE", "EBUSY", "EAGAIN")
ENOUGH = 10  # seconds


def fail(pod, work, call, error, number):
    """Do something in the pod while the call of this number fails; returns its words, and whether it was reached."""
    go, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _child(pod, work, go[0], told[1])
    os.close(go[0])
    os.close(told[1])
    inject = f"inject={call}:error={error}:when={number}"
    with tempfile.TemporaryFile() as trace:  # a pipe would fill, and the child wait for it
        command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject, "-p", str(child)]
        tracer = subprocess.Popen(command, stderr=trace, stdout=subprocess.DEVNULL)
        ready = []
        try:
            _wait_for_tracer(child)
            os.write(go[1], b"go")
            ready, _, _ = select.select([told[0]], [], [], ENOUGH)
            said = os.read(told[0], 1 << 16).decode() if ready else "it hangs"
        finally:
            os.close(go[1])
            os.close(told[0])
            if not ready:
                os.kill(child, 9)
            status = os.waitpid(child, 0)[1]
            tracer.wait(ENOUGH)
        trace.seek(0)
        return said or f"ended by {status}", b"(INJECTED)" in trace.read()


def _child(pod, work, go, told):
    try:
        os.read(go, 2)
        try:
            pod.run(lambda: WORK[work](pod.applier))
            said = "done"
        except MnpError as error:
            said = f"refused: {error}"
        except BaseException as error:  # noqa: BLE001 - reported to the test
            said = f"raised {type(error).__name__}: {error}"
        os.write(told, said.encode(errors="replace"))
    finally:
        os._exit(0)


def _wait_for_tracer(child):
    until = time.monotonic() + ENOUGH
    while time.monotonic() < until:
        lines = Path(f"/proc/{child}/status").read_text().splitlines()
        if any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in lines):
            return
        time.sleep(0.002)
    raise AssertionError("strace does not attach")


def matches(pod, ruleset):
    """Whether exactly this is in force; None for nothing."""
    if ruleset is None:
        return pod.installed() is None
    return pod.run(lambda: pod.applier.is_in_force(ruleset))


def check(way, work, call, faults):
    """Faults of a call, each an error and the number of the call, up to the last that there is; returns how many."""
    reached_last = 0
    with ExitStack() as cleanup:
        pod = Pod(cleanup.enter_context(private_namespace()), cleanup, way)
        pod.enforce(NEW)  # so that it is translated, and the child need not
        for error, number in faults:
            pod.enforce(OLD)
            said, reached = fail(pod, work, call, error, number)
            if not reached:
                break
            reached_last += 1
            case = f"{work}, {call} number {number}: {error}: {said}"
            assert said.startswith(("done", "refused: ")), case
            left = matches(pod, OLD_RULES), matches(pod, DONE[work])
            assert any(left) or work in {"update", "remove"}, case  # these are more than one step, and say so
            assert matches(pod, DONE[work]) or not said.startswith("done"), case
            pod.enforce(OLD)
            assert matches(pod, OLD_RULES), case
    return reached_last


@pytest.mark.parametrize("call", ["socket", "sendto", "recvfrom", "getsockopt", "setsockopt"])
def test_a_call_that_fails_leaves_the_old_state_or_the_new_one(way, call):
    assert check(way, "apply", call, (("ENOBUFS", number) for number in range(1, 100, 9))) or call == "getsockopt"


@pytest.mark.parametrize("way", ["legacy"])
@pytest.mark.parametrize(("work", "call"), [("apply", "setsockopt"), ("remove", "openat")])
def test_neither_counters_that_are_lost_nor_a_list_that_cannot_be_read_stop_a_change_half_way(way, work, call):
    """The kernel takes counters after the table; that it does not list its tables does not mean that there are none."""
    assert check(way, work, call, (("ENOMEM", number) for number in range(1, 100)))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("work", WORK)
def test_every_call_that_fails_leaves_the_old_state_or_the_new_one(way, work):
    """Each call once, with one error after the other: some four minutes for all."""
    faults = sum(check(way, work, call, zip(cycle(ERRORS), range(1, 200), strict=False)) for call in CALLS)
    print(f"{way}, {work}: {faults} faults")  # noqa: T201 - the figure
    assert faults > 4
