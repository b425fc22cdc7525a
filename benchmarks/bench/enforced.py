"""From a request to the API server until packets meet the new verdict, beside a bare watch: the floor.

Nodes of 30, 100 and 250 pods: network namespaces with macvlan interfaces, listed by a stand-in for the container
runtime, as 250 real pods do not fit on a small machine. Pods of other nodes are objects alone. An agent of this
checkout, started for each size; the API server, etcd and all else of the test bed are real, on the same processors.
Packets go to each pod every 20 microseconds times the number of pods, but at most once a millisecond: that is how exact
a time is. A pod is selected by so many policies, and by one more, which lets in the peer pods that come and go.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from attrs import frozen

from benchmarks.bench.bare_watch import bare_watch
from benchmarks.bench.cluster import POD, POLICY, Cluster, cluster
from benchmarks.bench.engines import Engine, Running, ours
from benchmarks.bench.local_pods import local_pods
from benchmarks.bench.manifests import NAMESPACE
from benchmarks.bench.measurement import Measurement
from benchmarks.bench.rounds import figures, run_rounds
from benchmarks.bench.verdicts import Change, Verdicts, packets_to

PART: Final = "enforced"
_START_PATIENCE: Final = 120  # seconds


@frozen
class Size:
    """Of a node and its cluster."""

    local: int
    cluster: int
    per_pod: int
    rounds: int

    def __str__(self) -> str:
        policies = "policy" if self.per_pod == 1 else "policies"
        return f"{self.local} of {self.cluster} pods, {self.per_pod} {policies}"


QUICK: Final = (Size(30, 500, 10, 5),)
_SIZES: Final = (
    Size(30, 1_000, 10, 10),
    Size(100, 1_000, 1, 10),
    Size(100, 1_000, 2, 20),
    Size(100, 1_000, 10, 20),
    Size(100, 1_000, 50, 10),
    Size(250, 1_000, 10, 10),
    Size(100, 10_000, 10, 10),
)
_TARGETS: Final[Mapping[tuple[int, int], Mapping[str, float]]] = {
    (100, 2): {"policy": 100, "peer": 40},
    (100, 10): {"policy": 150, "peer": 40},
}
"""Milliseconds, by local pods and policies of each."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Ours in each size."""
    with cluster() as found:
        for size in grown(found, QUICK if quick else _SIZES):
            yield from measure_engine(PART, ours(), found, size)


def grown(found: Cluster, sizes: tuple[Size, ...]) -> Iterator[Size]:
    """The sizes; the cluster has as many pods as each when it is given. They have to be in order."""
    far = 0
    for size in sizes:
        wanted = size.cluster - size.local
        found.add_far_pods(far, max(far, wanted))
        far = max(far, wanted)
        yield size


def measure_engine(part: str, engine: Engine, found: Cluster, size: Size) -> Iterator[Measurement]:
    """One engine in one size; raises UnfinishedError."""
    found.write_policies(size.per_pod)
    paths = [found.objects.collection(kind, NAMESPACE) for kind in (POD, POLICY)]
    with ExitStack() as stack:
        pods = stack.enter_context(local_pods(size.local))
        stack.enter_context(found.node(pods))
        verdicts = stack.enter_context(packets_to(pods.addresses(), pods.sender.path))
        stack.enter_context(started(engine, found, verdicts))
        watch = stack.enter_context(bare_watch(paths))
        taken = run_rounds(found, verdicts, watch, size.rounds)
    targets = _TARGETS.get((size.local, size.per_pod), {})
    yield from figures(part, engine.name, str(size), taken, targets)


@contextmanager
def started(engine: Engine, found: Cluster, verdicts: Verdicts) -> Iterator[tuple[Running, Change]]:
    """An engine, started with no rules in place, and its time until packets to no pod pass."""
    with ExitStack() as stack:
        running: list[Running] = []

        def start() -> None:
            running.append(stack.enter_context(engine.run(found.socket)))

        change = verdicts.until("closed", start, seconds=_START_PATIENCE)
        yield running[0], change
        running[0].check()
