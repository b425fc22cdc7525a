"""Cost of one change for the agent of a node: jobs in the sandboxes, calls and moves between files, and delay.

Real network namespaces and nf_tables, the monitor and the pool, all in this process; no API server. Needs root.

* jobs: how often the agent enters a pod for one change, until nothing is left to do;
* calls: Python calls for one policy that selects one pod, on the agent's thread and inside of the pod: how many, in
  how many files, with how many moves from one file to another;
* delay: from a change of a policy on all pods until it is in force in each.
"""

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from mnp_core.agent.agent import Agent
from mnp_core.agent.operations import BackendChoice
from mnp_core.api import Outcome, Sandbox
from mnp_core.backend import Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.model import Change, CommonRules, ObjectName, Pod
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.monitor import Monitor
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.builders import (
    absent,
    named,
    namespace,
    network,
    pod,
    pods,
    policy,
    present,
    rule,
    selector,
    status,
)
from mnp_core.testing.netns import End, private_namespace, veth_pair

PODS, ROUNDS, QUIET = 40, 30, 0.7  # quiet: seconds, longer than the agent waits for anything
LINK_LOCAL = 2.5  # seconds in which the kernel gives a new interface its addresses, each a change of its own
ROOT = str(Path(__file__).parents[1])
ONE = policy("one", networks=["net"], selector=selector(app="app-0"), ingress=[rule([pods(app="app-1")])])
Profile = Callable[[FrameType, str, object], None]
MANY = policy("many", networks=["net"], ingress=[rule([pods(team="red")])])
CLOSED = policy("many", networks=["net"], ingress=[])


class CountingPool(SandboxPool):
    """Counts the jobs of each pod."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.jobs: Counter[str] = Counter()
        self.profile: Profile | None = None

    def submit(self, sandbox: Sandbox | None, work: Callable[[], Any]) -> "Future[Any]":
        if sandbox is not None:
            self.jobs[sandbox.path] += 1
        return super().submit(sandbox, work if self.profile is None else partial(_profiled, self.profile, work))


def _profiled(profile: Profile, work: Callable[[], Any]) -> Any:
    sys.setprofile(profile)
    try:
        return work()
    finally:
        sys.setprofile(None)


class Bench:
    """An agent on real namespaces."""

    def __init__(self, stack: ExitStack, backends: BackendChoice | None = None, node: str | None = None) -> None:
        registry = load_plugins()
        self.sandboxes: dict[ObjectName, Sandbox] = {}
        self.pool = stack.enter_context(CountingPool(32))
        self.told: list[Outcome] = []
        self.stack = stack
        monitor = Monitor[ObjectName](lambda *notice: self.agent.noticed(*notice))  # noqa: PLW0108 - made later
        stack.callback(monitor.close)
        self.agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node=node),
            backends=backends or Backends(registry, BackendSettings(node="nftables")),
            locator=self,
            discoverers={},
            pool=self.pool,
            monitor=monitor,
            observe=self.told.append,
            finalize_after=0.3,
        )

    def locate(self, pod: Pod) -> Sandbox:
        return self.sandboxes[pod.name]

    def add(self, number: int) -> Change:
        """A pod with a namespace and an interface."""
        inside = self.stack.enter_context(private_namespace())
        outside = self.stack.enter_context(private_namespace())
        address = f"10.0.{number // 200}.{number % 200 + 1}"
        veth_pair(End(inside, "net1", (f"{address}/16",)), End(outside, "out"))
        self.sandboxes[named(f"p{number}")] = inside
        return present(pod(f"p{number}", status("net", "net1", address), labels={"app": f"app-{number}"}))

    def submit(self, *changes: Change) -> None:
        self.agent.submit(changes, time.monotonic())

    def settle(self) -> None:
        """Until nothing has happened for a while."""
        last = time.monotonic()
        while (before := time.monotonic()) < last + QUIET:
            self.agent.process(QUIET)
            if self.agent.busy or time.monotonic() < before + QUIET:
                last = time.monotonic()

    def until_told(self, count: int) -> None:
        while len(self.told) < count:
            self.agent.process(1)


def main() -> None:
    with ExitStack() as stack:
        bench = Bench(stack)
        bench.submit(present(network("net", "macvlan")), present(namespace("default")), *map(bench.add, range(PODS)))
        bench.settle()
        jobs(bench)
        calls(bench)
        delay(bench)


def jobs(bench: Bench) -> None:
    for what, count in jobs_of_changes(bench).items():
        print(f"{what}: {count} jobs in the pod")


def jobs_of_changes(bench: Bench) -> dict[str, int]:
    """How often the agent enters a pod for each sort of change."""
    first, spare = bench.sandboxes[named("p0")], bench.add(PODS)
    time.sleep(LINK_LOCAL)
    member = pod("elsewhere", status("net", "net1", "10.9.9.9"), labels={"app": "app-1"})
    steps = {
        "pod added": ((spare,), bench.sandboxes[named(f"p{PODS}")]),
        "policy created": ((present(ONE),), first),
        "member added": ((present(member),), first),
        "member removed": ((absent(member),), first),
        "policy deleted": ((absent(ONE),), first),
    }
    bench.sandboxes[named("elsewhere")] = bench.stack.enter_context(private_namespace())
    found: dict[str, int] = {}
    for what, (changes, sandbox) in steps.items():
        bench.pool.jobs.clear()
        bench.submit(*changes)
        bench.settle()
        found[what] = bench.pool.jobs[sandbox.path]
    return found


def calls(bench: Bench) -> None:
    with profiled(bench.pool) as visits:
        bench.submit(present(ONE))
        bench.settle()
    bench.submit(absent(ONE))
    bench.settle()
    for label, folders in (("all", ("/",)), ("agent and cluster", ("/mnp_core/agent/", "/mnp_core/cluster/"))):
        files, moves = Counter[str](), 0
        for entries in visits.values():
            found = [entry for entry in entries if any(folder in entry[0] for folder in folders)]
            files.update(file for file, called in found if called)
            moves += sum(one[0] != other[0] for one, other in pairwise(found))
        print(f"calls, {label}: {files.total()} in {len(files)} files, {moves} moves between them")


@contextmanager
def profiled(pool: CountingPool) -> Iterator[dict[int, list[tuple[str, bool]]]]:
    """Entries into functions of this project and returns to them, by thread: the file, and whether it was a call."""
    visits: dict[int, list[tuple[str, bool]]] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event not in {"call", "return"}:
            return
        entered = frame if event == "call" else frame.f_back
        file = entered.f_code.co_filename if entered is not None else ""
        if file.startswith(ROOT) and "/testing/" not in file and "/benchmarks/" not in file and "/.venv/" not in file:
            visits.setdefault(threading.get_ident(), []).append((file, event == "call"))

    pool.profile = note
    sys.setprofile(note)
    try:
        yield visits
    finally:
        sys.setprofile(None)
        pool.profile = None


def delay(bench: Bench) -> None:
    each: list[float] = []
    last: list[float] = []
    began = time.process_time()
    for number in range(ROUNDS):
        bench.told.clear()
        bench.submit(present(CLOSED if number % 2 else MANY))
        bench.until_told(PODS + 1)
        taken = [outcome.latency * 1000 for outcome in bench.told if outcome.latency is not None]
        each += taken
        last.append(max(taken))
        bench.settle()
    each.sort()
    processor = (time.process_time() - began) / ROUNDS * 1000
    print(
        f"delay in {PODS + 1} pods: median {statistics.median(each):.1f} ms, p99 {each[len(each) * 99 // 100]:.1f} ms;"
        f" last pod {statistics.median(last):.1f} ms; processor {processor:.0f} ms a change"
    )


if __name__ == "__main__":
    sys.exit(main())
