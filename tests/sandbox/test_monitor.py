"""Changes of links and addresses in sandboxes are told, each to whom it concerns, and nothing is asked twice."""

import queue
import threading

import pytest
from pyroute2 import IPRoute

from mnp_core.errors import SandboxNotFoundError
from mnp_core.sandbox.monitor import LinkMonitor
from mnp_core.sandbox.namespace import new_namespace
from mnp_core.sandbox.netns import run_inside

pytestmark = pytest.mark.root
SOON = 5


@pytest.fixture
def told():
    return queue.SimpleQueue()


@pytest.fixture
def monitor(told):
    monitor = LinkMonitor(told.put)
    yield monitor
    monitor.close()


def add_address(address="192.0.2.1", prefix=32):
    with IPRoute() as kernel:
        kernel.addr("add", index=1, address=address, prefixlen=prefix)


def nothing_more(told):
    try:
        return not told.get(timeout=0.2)
    except queue.Empty:
        return True


@pytest.mark.parametrize(("address", "prefix"), [("192.0.2.1", 32), ("2001:db8::1", 128)])
def test_an_address_that_appears_is_told_for_its_sandbox_alone(monitor, told, address, prefix):
    with new_namespace() as left, new_namespace() as right:
        monitor.watch("left", left.sandbox)
        monitor.watch("right", right.sandbox)
        run_inside(right.sandbox, lambda: add_address(address, prefix))
        assert told.get(timeout=SOON) == "right"
        while not told.empty():
            assert told.get() == "right"


def test_nothing_is_told_of_a_sandbox_that_was_forgotten(monitor, told):
    with new_namespace() as space:
        monitor.watch("pod", space.sandbox)
        monitor.forget("pod")
        run_inside(space.sandbox, add_address)
        assert nothing_more(told)
        monitor.forget("pod")


def test_a_key_that_comes_to_mean_another_sandbox_is_followed_there(monitor, told):
    """S61: a sandbox that was made anew."""
    with new_namespace() as old, new_namespace() as new:
        monitor.watch("pod", old.sandbox)
        monitor.watch("pod", new.sandbox)
        run_inside(old.sandbox, add_address)
        assert nothing_more(told)
        run_inside(new.sandbox, add_address)
        assert told.get(timeout=SOON) == "pod"


def test_a_flood_of_changes_is_told_in_few_words_and_none_is_missed():
    said, may_go_on = queue.SimpleQueue(), threading.Event()

    def slow(key):
        said.put(key)
        may_go_on.wait(SOON)

    def flood():
        with IPRoute() as kernel:
            for number in range(2000):
                kernel.addr("add", index=1, address=f"10.0.{number // 250}.{number % 250}", prefixlen=32)

    monitor = LinkMonitor(slow)
    with new_namespace() as space:
        monitor.watch("pod", space.sandbox)
        run_inside(space.sandbox, flood)
        may_go_on.set()
        assert said.get(timeout=SOON) == "pod"
        assert said.get(timeout=SOON) == "pod"  # what came while the first was being told
        monitor.close()
        assert said.qsize() < 20


def test_a_sandbox_that_has_gone_is_an_error_and_harms_nobody_else(monitor, told):
    with new_namespace() as space:
        gone = new_namespace()
        gone.close()
        with pytest.raises(SandboxNotFoundError):
            monitor.watch("gone", gone.sandbox)
        monitor.watch("pod", space.sandbox)
        run_inside(space.sandbox, add_address)
        assert told.get(timeout=SOON) == "pod"
