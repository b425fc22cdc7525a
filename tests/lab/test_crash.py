"""A command killed in any way, at any moment, leaves no namespace, mount or file behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnp_lab.lab import Lab
from mnp_lab.state import LabDirectory
from tests.lab.looks import mounts_below, pairs
from tests.lab.manifests import pod, subnet

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("run_dir")]

NET, PODS = subnet("10.0.0.0/24"), [pod(f"p{number}") for number in range(4)]
UP = 'Lab.up("demo", [NET, *PODS], progress=hook)'
APPLY = 'Lab.open("demo", progress=hook).apply(PODS)'
RUN = 'lab = Lab.run([NET, *PODS], progress=hook); print(lab.sandbox(ObjectName("default", "p0")).inode); input()'
SCRIPT = """
import os, signal
from mnp_lab.lab import Lab
from mnp_core.model import ObjectName
from tests.lab.test_crash import NET, PODS

def hook(what, done, total):
    if (what, done) == {moment!r}:
        os.kill(os.getpid(), {number})

{what}
"""


def start(what, moment=None, number=0, **streams):
    script = SCRIPT.format(what=what, moment=moment, number=int(number))
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment, **streams)


def status(what, moment, number):
    return start(what, moment, number, stderr=subprocess.DEVNULL).wait(30)


@pytest.mark.parametrize(
    ("moment", "number", "ends"),
    [
        (("building pods", 0), signal.SIGTERM, 143),
        (("building pods", 2), signal.SIGINT, -signal.SIGINT),
        (("building pods", 3), signal.SIGHUP, 129),
        (("enforcing", 0), signal.SIGTERM, 143),
    ],
)
def test_an_up_that_is_interrupted_leaves_nothing(run_dir, moment, number, ends):
    assert status(UP, moment, number) == ends
    assert list((run_dir / "labs").iterdir()) == []


def test_an_up_that_is_interrupted_when_all_is_done_is_up():
    """The signal is delivered once the lab is in order."""
    assert status(UP, ("enforcing", 1), signal.SIGTERM) == -signal.SIGTERM
    with Lab.open("demo") as lab:
        assert len(pairs(lab)) == 12


def await_handler(process, number):
    """Wait until a process handles a signal (SigCgt of proc_pid_status(5))."""
    end = time.monotonic() + 30
    while not caught(process) >> (number - 1) & 1:
        assert time.monotonic() < end
        time.sleep(0.01)


def caught(process):
    [line] = [each for each in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in each]
    return int(line.split()[1], 16)


def test_an_interrupted_up_that_waits_for_another_command_ends(run_dir):
    with LabDirectory("demo").locked(create=True):
        waiting = start(f"print('ready', flush=True); {UP}", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert waiting.stdout.readline() == b"ready\n"
        await_handler(waiting, signal.SIGTERM)
        time.sleep(0.3)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(5) == 143
        waiting.stdout.close()
    assert list((run_dir / "labs").iterdir()) == []


@pytest.mark.parametrize("moment", [("building pods", 0), ("building pods", 2), ("enforcing", 0)])
def test_leftovers_of_a_killed_up_are_replaced_by_the_next(run_dir, moment):
    assert status(UP, moment, signal.SIGKILL) == -signal.SIGKILL
    assert mounts_below(run_dir)
    assert Lab.names() == ()
    with Lab.up("demo", [NET, *PODS]) as lab:
        assert len(pairs(lab)) == 12


@pytest.mark.parametrize("down", [lambda: Lab.down_named("demo"), Lab.down_all])
def test_leftovers_of_a_killed_up_are_removed_by_down(run_dir, down):
    assert status(UP, ("building pods", 2), signal.SIGKILL) == -signal.SIGKILL
    assert down() == ("demo",)
    assert list((run_dir / "labs").iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [(("building pods", 1), signal.SIGKILL), (("enforcing", 0), signal.SIGKILL), (("enforcing", 0), signal.SIGINT)],
)
def test_an_apply_that_was_cut_short_does_no_harm(moment, number):
    Lab.up("demo", [NET, PODS[0], PODS[1]]).close()
    status(APPLY, moment, number)
    with Lab.open("demo") as lab:
        assert pairs(lab) == {("p0", "p1"), ("p1", "p0")}
        lab.apply(PODS)
        assert len(pairs(lab)) == 12


def test_a_run_that_is_killed_leaves_nothing(run_dir):
    """Its namespaces are held by its files alone: no mount, no process, no other file."""
    with start(RUN, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        inode = process.stdout.readline().decode().strip()
        assert inode.isdigit()
        assert f"[{inode}]" not in Path("/proc/self/mountinfo").read_text()
        holders = {path.parts[2] for path in namespaces(inode)}
        assert holders == {str(process.pid)}
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert list(namespaces(inode)) == []
    assert not run_dir.exists()


def namespaces(inode):
    """Open files and processes of the whole machine that refer to a network namespace."""
    for path in [*Path("/proc").glob("[0-9]*/fd/*"), *Path("/proc").glob("[0-9]*/task/*/ns/net")]:
        try:
            if path.readlink() == Path(f"net:[{inode}]"):
                yield path
        except OSError:
            continue  # it has ended
