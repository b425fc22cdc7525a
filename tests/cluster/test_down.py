"""The end of the test bed; these come after all other tests of this folder, and leave it up if it was up before."""

import signal
import subprocess
import sys
import time

import pytest

from scripts.testbed import bed as testbed
from scripts.testbed import daemon, place
from tests.cluster.components import command
from tests.cluster.machine import settings, traces
from tests.cluster.manifests import network, pod, running

NOTHING = {kind: set() for kind in ("links", "mounts", "processes", "groups", "files")}
CUTS = (0.5, 3, 8, 15)  # seconds into `up`


@pytest.fixture(scope="module", autouse=True)
def _as_it_was(bed):
    yield
    if bed.was_up:
        command("up")


def test_up_leaves_running_parts_alone():
    before = {name: daemon.pid_of(name) for name in testbed.COMPONENTS}
    command("up")
    assert {name: daemon.pid_of(name) for name in testbed.COMPONENTS} == before


def test_up_restarts_ended_parts(bed):
    bed.components.stop("kube-scheduler", kill=True)
    assert not testbed.is_up()
    command("up")
    assert testbed.is_up()


def test_down_leaves_nothing_of_running_pods(bed):
    bed.objects.apply(network("red", "10.77.1.0/24"))
    bed.objects.apply(pod("a", "red"))
    bed.objects.wait_until("v1/Pod", "a", running)
    bed.components.add_parent("testbed2")
    before = settings_before_up()
    assert all(traces().values()), "else this test could not fail"
    command("down")
    assert traces() == NOTHING
    assert settings() == before


@pytest.mark.parametrize("seconds", CUTS)
def test_down_cleans_up_after_an_up_that_was_cut_short(seconds):
    command("down")
    words = (sys.executable, "-m", "scripts.testbed", "up")
    with subprocess.Popen(words, cwd=place.CHECKOUT, stderr=subprocess.DEVNULL) as up:
        time.sleep(seconds)
        up.send_signal(signal.SIGKILL)
    command("down")
    assert traces() == NOTHING


def test_down_does_nothing_where_nothing_is():
    command("down")
    command("down")
    assert traces() == NOTHING


def settings_before_up():
    lines = (place.ROOT / "sysctl").read_text().splitlines()
    return dict(line.split() for line in lines)
