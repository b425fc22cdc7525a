"""From the start of the process until every pod's rules are in force, cold and with the rules in place.

Cold: until packets to no pod pass any more, and until the agent reports ready. With rules in place: until it reports
ready; the kernels of the pods tell of every commit meanwhile, and there has to be none.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

from benchmarks.bench.cluster import Cluster, cluster
from benchmarks.bench.enforced import Size, grown, started
from benchmarks.bench.engines import Engine, ours
from benchmarks.bench.local_pods import LocalPods, local_pods
from benchmarks.bench.measurement import Measurement
from benchmarks.bench.verdicts import packets_to
from mnp_core.sandbox.netns import run_inside
from mnp_nftables.commit_listener import announced_generation, listen_to_commits

PART: Final = "start"
QUICK: Final = (Size(30, 500, 2, 2),)
_SIZES: Final = (Size(100, 1_000, 2, 5), Size(250, 1_000, 2, 3))
_TARGET: Final = 2.0
"""Seconds, for 100 pods."""
_QUIET: Final = 2.0  # seconds after readiness in which commits count, too


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Ours in each size."""
    with cluster() as found:
        for size in grown(found, QUICK if quick else _SIZES):
            found.write_policies(size.per_pod)
            with local_pods(size.local) as pods, found.node(pods):
                yield from cold(PART, ours(), found, size, pods)
                yield from _in_place(ours(), found, size, pods)


def cold(part: str, engine: Engine, found: Cluster, size: Size, pods: LocalPods) -> Iterator[Measurement]:
    """Starts without rules, by packets; raises UnfinishedError."""
    taken = []
    with packets_to(pods.addresses(), pods.sender.path) as verdicts:
        for _ in range(size.rounds):
            pods.forget_rules()
            with started(engine, found, verdicts) as (_, change):
                taken.append(max(change.pods) / 1000)
    target = _TARGET if size.local == 100 else None
    yield Measurement(part=part, name=f"{engine.name}, cold, {size}", unit="s", samples=taken, target=target)


def _in_place(engine: Engine, found: Cluster, size: Size, pods: LocalPods) -> Iterator[Measurement]:
    """Starts with the rules of the last start."""
    seconds, commits, processor = [], [], []
    for _ in range(size.rounds):
        with ExitStack() as stack:
            listeners = [stack.enter_context(run_inside(pod.sandbox, listen_to_commits)) for pod in pods.pods]
            with engine.run(found.socket) as running:
                seconds.append(running.ready())
                processor.append(running.seconds_of_processor())
                time.sleep(_QUIET)
                running.check()
            commits.append(float(sum(map(_announced, listeners))))
    label = f"{engine.name}, rules in place, {size}"
    yield Measurement(part=PART, name=f"{label}, until ready", unit="s", samples=seconds)
    yield Measurement(part=PART, name=f"{label}, processor", unit="s", samples=processor)
    yield Measurement(part=PART, name=f"{label}, commits", unit="1", samples=commits, target=0)


def _announced(listener: socket.socket) -> int:
    """Commits that a pod's kernel has told of."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            count += announced_generation(listener.recv(65536)) is not None
    return count
