"""Cost of entering a sandbox: `python benchmarks/sandbox_enter.py` (root).

Everything else that is done in a sandbox comes on top of this, so it is to stay far below the cost of a commit.
"""

import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack

from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_here, run_inside
from mnp_core.sandbox.pool import SandboxPool

SANDBOXES = 50
TIMES = 100  # for each of them
WAIT = 0.010  # seconds that the imitation of a commit waits


def nothing():
    pass


def per_task(what, seconds, tasks):
    print(f"{what:<58} {seconds / tasks * 1e6:8.0f} µs a task")


def measure(what, tasks, work):
    start = time.perf_counter()
    work()
    per_task(what, time.perf_counter() - start, tasks)


def commit():
    """Wait as a commit does, without the interpreter's lock."""
    time.sleep(WAIT)


def enter_repeatedly(sandbox):
    """Enter and leave alone, without handing anything between threads."""
    start = time.perf_counter()
    for _ in range(1000):
        run_here(Future(), sandbox, nothing)
    per_task("enter and leave, same thread", time.perf_counter() - start, 1000)


def in_a_pool(pool, sandboxes, work, times):
    for future in [pool.submit(sandbox, work) for _ in range(times) for sandbox in sandboxes]:
        future.result()


def measure_pool(workers, sandboxes):
    with SandboxPool(workers) as pool:
        in_a_pool(pool, sandboxes, nothing, 1)  # makes the threads
        one, many = sandboxes[:1], len(sandboxes) * TIMES
        measure(
            f"{workers:>2} threads: one after the other", 500, lambda: [pool.run(*one, nothing) for _ in range(500)]
        )
        measure(f"{workers:>2} threads: {many} at once", many, lambda: in_a_pool(pool, sandboxes, nothing, TIMES))
        title = f"{workers:>2} threads: {len(sandboxes)} that wait {WAIT * 1000:.0f} ms"
        measure(title, len(sandboxes), lambda: in_a_pool(pool, sandboxes, commit, 1))


def main():
    with ExitStack() as stack:
        start = time.perf_counter()
        sandboxes = [stack.enter_context(new_namespace()).sandbox for _ in range(SANDBOXES)]
        per_task("make a namespace", time.perf_counter() - start, SANDBOXES)
        one = sandboxes[0]
        thread = threading.Thread(target=enter_repeatedly, args=(one,))
        thread.start()
        thread.join()
        measure("run_inside: a thread for each task", 500, lambda: [run_inside(one, nothing) for _ in range(500)])
        measure("read_links, inside", 100, lambda: run_inside(one, lambda: [read_links() for _ in range(100)]))
        for workers in (1, 8, 32):
            measure_pool(workers, sandboxes)


if __name__ == "__main__":
    main()
