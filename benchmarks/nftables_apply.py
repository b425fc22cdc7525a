"""Cost of writing and reading one sandbox: `python benchmarks/nftables_apply.py` as root.

A group of 5,000 pods and 50 rules, in a private network namespace; medians in milliseconds.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from mnp_core.model import (
    AddressGroup,
    Allow,
    Direction,
    GroupDelta,
    InterfacePolicy,
    Isolated,
    ObjectName,
    ObjectRef,
    Origin,
    Peers,
    PortRange,
    Ports,
    Protocol,
    SandboxPolicy,
)
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer

MEMBERS, RULES, REPEATS = 5_000, 50, 15
GROUP = "a" * 20


def group(members: Iterable[IPv4Address]) -> AddressGroup:
    return AddressGroup(id=GROUP, members=frozenset(members))


def sandbox(members: Iterable[IPv4Address], rules: int = RULES) -> SandboxPolicy:
    allows = tuple(
        Allow(
            peers=Peers(groups=(GROUP,)),
            ports=Ports(ranges=(PortRange(protocol=Protocol.TCP, first=1000 + number, last=1000 + number),)),
            origin=Origin(
                policy=ObjectRef("MultiNetworkPolicy", ObjectName("default", f"policy-{number}")),
                direction=Direction.INGRESS,
                rule=0,
            ),
        )
        for number in range(rules)
    )
    interface = InterfacePolicy(interface="net1", ingress=Isolated(allows=allows))
    return SandboxPolicy(pod=ObjectName("default", "pod"), interfaces=(interface,), groups={GROUP: group(members)})


def timed(label: str, work: Callable[[int], object]) -> None:
    taken = []
    for number in range(REPEATS):
        start = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - start) * 1000)
    print(f"{label:<32}{statistics.median(taken):8.2f} ms   (worst {max(taken):.2f})")


def main() -> None:
    members = [IPv4Address("10.0.0.1") + number for number in range(MEMBERS)]
    newcomers = [IPv4Address("10.200.0.1") + number for number in range(REPEATS)]
    renderer, applier = NftablesRenderer(), NftablesApplier()
    ruleset = renderer.render(sandbox(members))
    deltas = [GroupDelta(before=group(members), after=group([*members, newcomer])) for newcomer in newcomers]
    added = [renderer.render_delta(delta) for delta in deltas]
    removed = [renderer.render_delta(GroupDelta(before=delta.after, after=delta.before)) for delta in deltas]

    print(f"{MEMBERS} members, {RULES} rules, median of {REPEATS}")
    timed("render", lambda _: renderer.render(sandbox(members)))
    timed("render one member more", lambda number: renderer.render_delta(deltas[number]))
    with private_namespace() as namespace:
        timed("replace everything", lambda _: run_inside(namespace, lambda: applier.apply(ruleset)))
        timed("read what is installed", lambda _: run_inside(namespace, applier.installed))
        timed("read the counters", lambda _: run_inside(namespace, applier.counters))
        timed("read the generation", lambda _: run_inside(namespace, applier.generation))
        timed("one member more", lambda number: run_inside(namespace, lambda: applier.update(added[number])))
        timed("one member less", lambda number: run_inside(namespace, lambda: applier.update(removed[number])))


if __name__ == "__main__":
    main()
