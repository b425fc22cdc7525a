"""Many sandboxes at once, each in order."""

import random
import threading
import time
import weakref
from contextlib import ExitStack
from itertools import pairwise

import pytest
from attrs import evolve

from mnp_core.errors import SandboxError, SandboxNotFoundError, UnsupportedError
from mnp_core.netfilter import kept
from mnp_core.sandbox.created import pin, unpin
from mnp_core.sandbox.netns import identify
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import private_namespace
from tests.sandbox.looks import descriptors, drop_capabilities, inode

pytestmark = pytest.mark.root
HOST = inode()
SOON = 10  # seconds: far more than anything here takes


@pytest.fixture
def sandboxes():
    with ExitStack() as stack:
        yield [stack.enter_context(private_namespace()) for _ in range(50)]


@pytest.mark.parametrize("workers", [1, 4, 32])
def test_every_task_sees_its_own_sandbox_in_order_and_alone(sandboxes, workers):
    seen = {sandbox.inode: [] for sandbox in sandboxes}
    inside = dict.fromkeys(seen, 0)

    def work(expected, number):
        inside[expected] += 1
        assert inside[expected] == 1
        if number % 7 == 0:
            time.sleep(0.0005)  # lets others overtake if they can
        found = inode()
        inside[expected] -= 1
        seen[expected].append(number)
        return found

    tasks = [(sandbox, number) for number in range(60) for sandbox in sandboxes]
    with SandboxPool(workers) as pool:
        futures = [
            (sandbox, pool.submit(sandbox, lambda inode=sandbox.inode, number=number: work(inode, number)))
            for sandbox, number in tasks
        ]
        assert all(future.result(SOON) == sandbox.inode for sandbox, future in futures)
    assert all(numbers == list(range(60)) for numbers in seen.values())


def test_sandbox_is_the_same_by_another_path(sandbox):
    spans = []

    def work():
        start = time.monotonic()
        time.sleep(0.01)
        spans.append((start, time.monotonic()))

    other = evolve(sandbox, path=sandbox.path.replace("/fd/", "/task/../fd/"))
    assert other != sandbox
    with SandboxPool() as pool:
        for _ in range(3):
            pool.submit(sandbox, work)
            pool.submit(other, work)
    assert len(spans) == 6
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_slow_sandbox_does_not_hold_up_others(sandboxes):
    slow, *others = sandboxes
    release = threading.Event()
    with SandboxPool(2) as pool:
        held = [pool.submit(slow, lambda: release.wait(SOON)) for _ in range(100)]
        assert [pool.submit(other, inode).result(SOON) for other in others] == [other.inode for other in others]
        assert not any(future.done() for future in held)
        release.set()
    assert all(future.result() for future in held)


def test_busy_sandbox_does_not_starve_others_of_the_only_thread(sandboxes):
    busy, other, *_ = sandboxes
    order, all_are_there = [], threading.Event()
    with SandboxPool(1) as pool:
        pool.submit(busy, all_are_there.wait)
        for _ in range(20):
            pool.submit(busy, lambda: order.append("busy"))
        pool.submit(other, lambda: order.append("other"))
        all_are_there.set()
    assert "other" in order[:2]


def test_failures_belong_to_their_own_task(sandbox, tmp_path):
    with private_namespace() as anonymous:  # known by the number of a file, which the next file that is opened may get
        gone = pin(anonymous, tmp_path / "gone")
    unpin(tmp_path / "gone")
    with SandboxPool(1) as pool:
        lost = pool.submit(gone, inode)
        refused = pool.submit(identify("/proc/self/ns/net"), inode)
        broken = pool.submit(sandbox, lambda: 1 / 0)
        assert pool.run(sandbox, inode) == sandbox.inode
    assert isinstance(lost.exception(), SandboxNotFoundError)
    assert isinstance(broken.exception(), ZeroDivisionError)
    assert type(refused.exception()) is SandboxError


def test_thread_that_cannot_come_back_never_serves_again(sandboxes):
    first, second, third, *_ = sandboxes
    ready, release = threading.Event(), threading.Event()

    def strand():
        ready.wait(SOON)
        drop_capabilities()
        return threading.get_native_id()

    with SandboxPool(2) as pool:
        stranded = pool.submit(first, strand)
        busy = pool.submit(third, lambda: (ready.set(), release.wait(SOON)))
        after = [pool.submit(sandbox, lambda: (inode(), threading.get_native_id())) for sandbox in (first, second) * 5]
        lost = stranded.result(SOON)
        release.set()
        assert [future.result(SOON)[0] for future in after] == [first.inode, second.inode] * 5
        assert lost not in {future.result()[1] for future in after}
        assert busy.result()


def test_pool_that_lost_its_only_thread_refuses_waiting_work_and_recovers(sandboxes):
    first, second, *_ = sandboxes
    release = threading.Event()
    with SandboxPool(1) as pool:
        pool.submit(first, lambda: (release.wait(SOON), drop_capabilities()))
        waiting = [pool.submit(sandbox, inode) for sandbox in (first, second)]
        release.set()
        assert {type(future.exception(SOON)) for future in waiting} == {UnsupportedError}
        end = time.monotonic() + SOON
        while pool._threads and time.monotonic() < end:
            time.sleep(0.001)
        assert pool.run(second, inode) == second.inode


def test_pool_used_from_inside_a_sandbox_serves_the_right_one(sandboxes):
    first, second, *_ = sandboxes
    with SandboxPool(1) as outer, SandboxPool(1) as inner:
        assert outer.run(first, lambda: (inner.run(second, inode), inode())) == (second.inode, first.inode)


def test_waiting_for_the_pool_from_its_own_thread_is_an_error_not_a_deadlock(sandbox):
    with SandboxPool(1) as pool, pytest.raises(RuntimeError, match="must not wait for the pool"):
        pool.run(sandbox, lambda: pool.run(sandbox, inode))


def test_close_completes_submitted_work_and_takes_no_more(sandbox):
    done = []
    pool = SandboxPool(1)
    for number in range(10):
        pool.submit(sandbox, lambda number=number: (time.sleep(0.001), done.append(number)))
    pool.close()
    pool.close()
    assert done == list(range(10))
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(sandbox, inode)


def test_error_in_the_with_block_drops_unstarted_work(sandbox):
    started, release = threading.Event(), threading.Event()
    waiting = []

    def interrupted():
        with SandboxPool(1) as pool:
            pool.submit(sandbox, lambda: (started.set(), release.wait(SOON)))
            waiting.extend(pool.submit(sandbox, inode) for _ in range(10))
            waiting[-1].add_done_callback(lambda _: release.set())
            assert started.wait(SOON)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(future.cancelled() for future in waiting)


def test_cancelled_task_is_passed_over(sandbox):
    with SandboxPool(1) as pool:
        release = threading.Event()
        pool.submit(sandbox, lambda: release.wait(SOON))
        cancelled = pool.submit(sandbox, lambda: pytest.fail("work was done"))
        last = pool.submit(sandbox, inode)
        assert cancelled.cancel()
        release.set()
        assert last.result(SOON) == sandbox.inode


def test_pool_makes_no_more_threads_than_it_needs_and_may(sandboxes):
    with SandboxPool(8) as pool:
        for _ in range(20):
            pool.run(sandboxes[0], inode)
        assert len(pool._threads) == 1
        for future in [pool.submit(sandbox, lambda: time.sleep(0.001)) for sandbox in sandboxes * 4]:
            future.result(SOON)
        assert len(pool._threads) == 8
    assert not pool._threads
    assert not pool._tasks


def test_2000_tasks_leave_no_file_and_no_thread(sandboxes):
    end = time.monotonic() + SOON
    while kept._shelf._closes and time.monotonic() < end:  # sockets of earlier tests are closed after a while
        time.sleep(0.05)
    before = descriptors(), threading.active_count()
    with SandboxPool() as pool:
        for future in [pool.submit(random.choice(sandboxes), inode) for _ in range(2000)]:  # noqa: S311 # no secret
            assert future.result(SOON) != HOST
    assert (descriptors(), threading.active_count()) == before


def test_results_are_not_kept_by_idle_threads(sandbox):
    class Large: ...

    with SandboxPool(1) as pool:
        large = pool.run(sandbox, Large)
        pool.run(sandbox, int)
        gone = weakref.ref(large)
        del large
        assert gone() is None
