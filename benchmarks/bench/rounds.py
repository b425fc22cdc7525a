"""Rounds of changes of an engine's cluster, each until packets to all pods have the new verdict."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import define, field

from benchmarks.bench import manifests
from benchmarks.bench.bare_watch import BareWatch
from benchmarks.bench.cluster import POD, POLICY, Cluster
from benchmarks.bench.local_pods import SENDER
from benchmarks.bench.manifests import NAMESPACE
from benchmarks.bench.measurement import Measurement
from benchmarks.bench.verdicts import Change, State, Verdicts

_PAUSE: Final = 0.3  # seconds between two changes

Steps = Mapping[str, tuple[State, Callable[[], object]]]


def steps(cluster: Cluster) -> Steps:
    """A policy and a peer pod come and go; the sender is let in by either."""
    objects, address = cluster.objects, str(SENDER)
    return {
        "policy created": ("open", lambda: objects.create(manifests.everywhere(address), NAMESPACE)),
        "policy deleted": ("closed", lambda: objects.delete(POLICY, "everywhere", NAMESPACE, wait=False)),
        "peer pod added": ("open", lambda: objects.create(manifests.sender(address), NAMESPACE)),
        "peer pod removed": ("closed", lambda: objects.delete(POD, "sender", NAMESPACE, grace=0, wait=False)),
    }


@define
class Rounds:
    """What was measured of one step, in milliseconds from before the request to the API server.

    Attributes:
        pods: Until the first packet with the new verdict, each pod of each round.
        last: Likewise, the last pod of each round.
        floor: Until the event in a bare watch.
    """

    pods: list[float] = field(factory=list)
    last: list[float] = field(factory=list)
    floor: list[float] = field(factory=list)

    def add(self, change: Change, floor: float) -> None:
        """Add a round."""
        self.pods += change.pods
        self.last.append(max(change.pods))
        self.floor.append(floor)


def run_rounds(cluster: Cluster, verdicts: Verdicts, watch: BareWatch, count: int) -> Mapping[str, Rounds]:
    """Run so many rounds; raises UnfinishedError."""
    wanted = steps(cluster)
    found = {name: Rounds() for name in wanted}
    for _ in range(count):
        for name, (state, change) in wanted.items():
            time.sleep(_PAUSE)
            taken = verdicts.until(state, change)
            found[name].add(taken, (watch.first_after(taken.began) - taken.began) * 1000)
    return found


def figures(
    part: str, engine: str, where: str, found: Mapping[str, Rounds], targets: Mapping[str, float]
) -> Iterator[Measurement]:
    """The lines of the table; `targets` are of the last pod's 99th percentile, by the first word of a step."""
    for name, taken in found.items():
        label = f"{engine}, {name}, {where}"
        target = targets.get(name.split()[0])
        ratios = [last / floor for last, floor in zip(taken.last, taken.floor, strict=True)]
        yield Measurement(part=part, name=f"{label}, a pod", unit="ms", samples=taken.pods)
        yield Measurement(part=part, name=f"{label}, all", unit="ms", samples=taken.last, target=target, judged="p99")
        yield Measurement(part=part, name=f"{label}, bare watch", unit="ms", samples=taken.floor)
        yield Measurement(part=part, name=f"{label}, all by bare watch", unit="x", samples=ratios)
