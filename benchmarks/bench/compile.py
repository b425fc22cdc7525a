"""Objects to rules, from scratch and for one change, over sizes of the cluster.

100 pods are local, spread over ten apps; those that the table counts are elsewhere. Each policy selects one app; the
peers of all are one group of so many pods elsewhere. Rules are rendered as on a node: membership as deltas,
replacements once for all pods with equal rules. Times are of the processor. Neither parsing nor the kernel counts.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from attrs import evolve, frozen

from benchmarks.bench.measurement import Measurement, exponent
from mnp_core.agent.ruleset_cache import LazyDelta, RulesetCache
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.model import CommonRules, KubernetesObject, Pod, Policy
from mnp_core.testing.builders import namespace, network, pod, pods, policy, present, rule, selector, status
from mnp_nftables import NftablesApplier, NftablesRenderer

T = TypeVar("T")

PART: Final = "compile"
_LOCAL, _APPS, _ROUNDS = 100, 10, 40
_PODS, _POLICIES, _PEERS = (100, 1_000, 10_000), (10, 100, 1_000), (10, 1_000, 10_000)
_HERE, _NAMESPACE = "here", "default"
_MOST_GROWTH: Final = 0.2
"""Of the cost of a change, over the size of a cluster a hundred times larger: a factor of 2.5."""


@frozen
class Size:
    """Pods of the cluster, policies, and peers of a policy."""

    pods: int
    policies: int
    peers: int

    def __str__(self) -> str:
        """As it stands in the table."""
        return f"{self.pods} pods, {self.policies} policies, {self.peers} peers"


def sizes(*, quick: bool) -> Iterator[Size]:
    """All combinations with enough pods; the quick ones have two sizes of each."""
    last = 2 if quick else 3
    for count in _PODS[:last]:
        for policies in _POLICIES[:last]:
            yield from (Size(count, policies, peers) for peers in _PEERS[:last] if peers <= count)


def measure(*, quick: bool) -> Iterator[Measurement]:
    """From scratch, one membership change, one policy; then how each grows with the cluster alone."""
    changes: dict[tuple[str, int, int], dict[int, float]] = defaultdict(dict)
    for size in sizes(quick=quick):
        node, taken = _from_scratch(size)
        yield Measurement(part=PART, name=f"from scratch, {size}", unit="ms", samples=(taken,))
        for name, samples in (("member", _membership(node, size)), ("policy", _policy(node, size))):
            found = Measurement(part=PART, name=f"one {name}, {size}", unit="ms", samples=samples)
            changes[name, size.policies, size.peers][size.pods] = found.median
            yield found
    for (name, policies, peers), by_pods in changes.items():
        if len(by_pods) > 1:
            growth = exponent([*by_pods], [*by_pods.values()])
            label = f"growth exponent over pods: one {name}, {policies} policies, {peers} peers"
            yield Measurement(part=PART, name=label, unit="1", samples=(growth,), target=_MOST_GROWTH)


def _from_scratch(size: Size) -> tuple["_Node", float]:
    objects: list[KubernetesObject] = [network("net", "macvlan"), namespace(_NAMESPACE)]
    objects += [_pod(number, size) for number in range(_LOCAL + size.pods)]
    objects += [_the_policy(number) for number in range(size.policies)]
    node = _Node()
    return node, _timed(lambda: node.apply(*objects))[1]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and milliseconds of processor: waiting for other programs' turns is nobody's cost here."""
    began = time.thread_time()
    result = work()
    return result, (time.thread_time() - began) * 1000


class _Node:
    """The cluster state of a node, and the rulesets that its pods share."""

    def __init__(self) -> None:
        self.state = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node=_HERE)
        self._backend = Backend(name="nftables", renderer=NftablesRenderer(), applier=NftablesApplier())
        self._rulesets = RulesetCache(self.state)

    def apply(self, *objects: KubernetesObject) -> tuple[int, int]:
        """Take objects in and render their effect: the numbers of affected pods and of deltas."""
        affected = self.state.apply(map(present, objects))
        for wanted in map(self.state.sandbox_policy, affected.sandboxes):
            if wanted is not None:
                self._rulesets.of(self._backend, wanted).get()
        deltas = [LazyDelta(delta).rendered(self._backend) for delta, _ in affected.deltas]
        return len(affected.sandboxes), len(deltas)


def _pod(number: int, size: Size, *, team: bool = True) -> Pod:
    """The first pods are local and have an app; those that follow are elsewhere, and so many of them in the group."""
    address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
    labels = {"app": f"app-{number % _APPS}"} if number < _LOCAL else {}
    if team and 0 <= number - _LOCAL < size.peers:
        labels["team"] = "peers"
    made = pod(f"pod-{number}", status("net", "net1", address), labels=labels)
    return evolve(made, node=_HERE if number < _LOCAL else "elsewhere")


def _the_policy(number: int, port: int = 0) -> Policy:
    chosen, peers = selector(app=f"app-{number % _APPS}"), pods(team="peers")
    ports = [f"TCP/{port or 1000 + number}"]
    return policy(f"policy-{number}", networks=["net"], selector=chosen, ingress=[rule([peers], ports)])


def _membership(node: _Node, size: Size) -> list[float]:
    """One pod leaves the group and comes back; rendered as a delta."""
    samples = []
    for turn in range(_ROUNDS):
        moved = _pod(_LOCAL + size.peers - 1, size, team=bool(turn % 2))
        (_, deltas), taken = _timed(partial(node.apply, moved))
        if not deltas:
            raise SystemExit(f"bench: no delta for a change of membership: {size}")
        samples.append(taken)
    return samples


def _policy(node: _Node, size: Size) -> list[float]:
    """One policy of a tenth of the local pods gets another port; their rules are compiled and rendered."""
    samples = []
    for turn in range(_ROUNDS // 4):
        changed = _the_policy(0, 9000 + turn)
        (pods, _), taken = _timed(partial(node.apply, changed))
        if pods != _LOCAL // _APPS:
            raise SystemExit(f"bench: {pods} pods affected by one policy: {size}")
        samples.append(taken)
    return samples
