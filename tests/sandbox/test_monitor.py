"""Changes of links, addresses and traffic control in sandboxes are announced, for their pod; nothing is read twice."""

import errno
import queue
import socket
import subprocess
import threading

import pytest
from pyroute2 import IPRoute

from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.monitor import Monitor, Topic, listen_to_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, veth_pair
from tests.sandbox.looks import goes_away

pytestmark = pytest.mark.root
SOON = 5


@pytest.fixture
def told():
    return queue.SimpleQueue()


@pytest.fixture
def monitor(told):
    monitor = Monitor(lambda key, topic, _: told.put((key, topic)))
    yield monitor
    monitor.close()


def watch(monitor, key, sandbox):
    monitor.listen(key, {Topic.LINKS: run_inside(sandbox, listen_to_links)})


def add_address(address="192.0.2.1", prefix=32):
    with IPRoute() as kernel:
        kernel.addr("add", index=1, address=address, prefixlen=prefix)


def nothing_more(told):
    try:
        return not told.get(timeout=0.2)
    except queue.Empty:
        return True


@pytest.mark.parametrize(("address", "prefix"), [("192.0.2.1", 32), ("2001:db8::1", 128)])
def test_a_new_address_is_announced_for_its_sandbox_alone(monitor, told, address, prefix):
    with new_namespace() as left, new_namespace() as right:
        watch(monitor, "left", left.sandbox)
        watch(monitor, "right", right.sandbox)
        run_inside(right.sandbox, lambda: add_address(address, prefix))
        assert told.get(timeout=SOON) == ("right", Topic.LINKS)
        while not told.empty():
            assert told.get() == ("right", Topic.LINKS)


def test_a_redirection_by_traffic_control_is_announced(monitor, told):
    """S64: it changes no link, and may come long after the last change of one."""
    with new_namespace() as pod:
        run_inside(pod.sandbox, lambda: tc("qdisc add dev lo ingress"))
        watch(monitor, "pod", pod.sandbox)
        run_inside(
            pod.sandbox,
            lambda: tc("filter add dev lo parent ffff: u32 match u8 0 0 action mirred egress redirect dev lo"),
        )
        assert told.get(timeout=SOON) == ("pod", Topic.LINKS)


def tc(command):
    subprocess.run(["tc", *command.split()], check=True)


def test_nothing_is_announced_of_a_forgotten_sandbox(monitor, told):
    with new_namespace() as space:
        watch(monitor, "pod", space.sandbox)
        monitor.forget("pod")
        run_inside(space.sandbox, add_address)
        assert nothing_more(told)
        monitor.forget("pod")


def test_a_key_that_comes_to_mean_another_sandbox_is_followed_there(monitor, told):
    """S61: a sandbox that was made anew."""
    with new_namespace() as old, new_namespace() as new:
        watch(monitor, "pod", old.sandbox)
        watch(monitor, "pod", new.sandbox)
        run_inside(old.sandbox, add_address)
        assert nothing_more(told)
        run_inside(new.sandbox, add_address)
        assert told.get(timeout=SOON) == ("pod", Topic.LINKS)


def test_a_flood_of_changes_gives_few_announcements_and_misses_none():
    said, may_go_on = queue.SimpleQueue(), threading.Event()

    def slow(key, topic, _):
        said.put((key, topic))
        may_go_on.wait(SOON)

    def flood():
        with IPRoute() as kernel:
            for number in range(2000):
                kernel.addr("add", index=1, address=f"10.0.{number // 250}.{number % 250}", prefixlen=32)

    monitor = Monitor(slow)
    with new_namespace() as space:
        watch(monitor, "pod", space.sandbox)
        run_inside(space.sandbox, flood)
        may_go_on.set()
        assert said.get(timeout=SOON) == ("pod", Topic.LINKS)
        assert said.get(timeout=SOON) == ("pod", Topic.LINKS)  # arrived during the first call
        monitor.close()
        assert said.qsize() < 20


def test_announcements_of_rules_and_links_are_separate(monitor, told):
    with new_namespace() as space:
        near, far = socket.socketpair(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with far:
            monitor.listen("pod", {Topic.LINKS: run_inside(space.sandbox, listen_to_links), Topic.RULES: near})
            far.send(b"anything")
            assert told.get(timeout=SOON) == ("pod", Topic.RULES)
            assert nothing_more(told)


def test_commits_are_announced_by_generation_unless_one_is_unknown():
    """S63: the agent's own commits need no look; commits that may be foreign need one."""
    told = queue.SimpleQueue()
    monitor = Monitor(lambda *notice: told.put(notice))
    near, far = socket.socketpair(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        monitor.listen("pod", {Topic.RULES: near}, lambda message: int(message) if message.isdigit() else None)
        far.send(b"7")
        assert told.get(timeout=SOON) == ("pod", Topic.RULES, frozenset({7}))
        far.send(b"junk")
        assert told.get(timeout=SOON) == ("pod", Topic.RULES, None)
    finally:
        monitor.close()
        far.close()


def test_a_namespace_that_is_forgotten_can_go(monitor):
    """A socket keeps a namespace alive, and with it the pod's devices."""
    with new_namespace() as here:
        gone = new_namespace()
        veth_pair(End(here.sandbox, "near"), End(gone.sandbox, "far"))
        watch(monitor, "pod", gone.sandbox)
        gone.close()
        assert not goes_away(here.sandbox, "near", within=0.3)
        monitor.forget("pod")
        assert goes_away(here.sandbox, "near")


class Broken(socket.socket):
    """Of which nothing can be received."""

    def recv(self, *_):
        raise OSError(errno.EIO, "it is broken")


def test_a_socket_that_fails_deafens_its_sandbox_and_no_other(told):
    deafened = queue.SimpleQueue()
    monitor = Monitor(lambda key, topic, _: told.put((key, topic)), deafened.put)
    left, right = socket.socketpair(type=socket.SOCK_DGRAM)
    broken = Broken(fileno=left.detach())
    broken.settimeout(0)
    with new_namespace() as space:
        monitor.listen("broken", {Topic.RULES: broken})
        watch(monitor, "other", space.sandbox)
        right.send(b"something has changed")
        assert deafened.get(timeout=SOON) == "broken"
        run_inside(space.sandbox, add_address)
        assert told.get(timeout=SOON) == ("other", Topic.LINKS)
        assert monitor.thread.alive
        monitor.close()
    right.close()


def test_a_failure_over_one_sandbox_is_logged_and_the_others_are_still_followed(caplog):
    """No thread of the agent dies in silence, and no message of another sandbox is lost by it."""
    told, lost = queue.SimpleQueue(), queue.SimpleQueue()

    def changed(key, topic, _):
        if key == "odd":
            raise ValueError("odd")
        told.put((key, topic))

    monitor = Monitor(changed, lost.put)
    try:
        with new_namespace() as odd, new_namespace() as sound:
            watch(monitor, "odd", odd.sandbox)
            watch(monitor, "sound", sound.sandbox)
            for number in range(1, 4):
                run_inside(odd.sandbox, lambda n=number: add_address(f"192.0.2.{n}"))
                run_inside(sound.sandbox, lambda n=number: add_address(f"192.0.2.{n}"))
                assert told.get(timeout=SOON) == ("sound", Topic.LINKS)
        assert lost.get(timeout=SOON) == "odd"
        assert "a change of links in odd could not be announced" in caplog.text
        assert monitor.thread.alive
        assert monitor.thread.failures == 0
    finally:
        monitor.close()


def test_the_thread_restarts_after_a_failure_and_keeps_its_listeners(told, caplog, monkeypatch):
    fails = iter([OSError(errno.EIO, "odd")])
    monitor = Monitor(lambda key, topic, _: told.put((key, topic)))
    drain = monitor._drain

    def drain_later(ready):
        for error in fails:
            raise error
        return drain(ready)

    monkeypatch.setattr(monitor, "_drain", drain_later)
    try:
        with new_namespace() as made:
            watch(monitor, "pod", made.sandbox)
            run_inside(made.sandbox, add_address)
            assert told.get(timeout=SOON) == ("pod", Topic.LINKS)
        assert "the thread monitor has failed, it begins again" in caplog.text
        assert (monitor.thread.alive, monitor.thread.failures) == (True, 1)
    finally:
        monitor.close()
