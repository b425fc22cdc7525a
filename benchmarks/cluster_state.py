"""Time to compute the rules: 1,000 policies on 1,000 pods from scratch, and one change.

Two clusters are measured. In both, 20 namespaces hold 50 pods each, every pod has an interface with an IPv4 and an IPv6
address, and every policy has ingress and egress rules with pod peers, an ipBlock with an except, and ports.
* spread: each policy selects the pods of one of ten apps (a pod is selected by 5 policies); peers are teams and apps,
  so that policies share address groups;
* crowded: every policy selects every pod of its namespace (a pod is selected by 50), and each has peers that no other
  policy has, so that there are 1,000 address groups.

All pods but one are on this node, far more than a node holds. The one that is elsewhere changes its labels again and
again, and so joins and leaves groups of this node. Neither parsing nor the kernel is measured here.

Targets: from scratch < 3 s; a membership change, found and rendered for the node, < 5 ms.
"""

import statistics
import time
from collections.abc import Iterator

from attrs import evolve

from mnp_core.api import PolicyRenderer
from mnp_core.backend import choose_renderer
from mnp_core.cluster import ClusterState
from mnp_core.model import (
    Change,
    CommonRules,
    Isolated,
    KubernetesObject,
    Namespace,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    SandboxPolicy,
)
from mnp_core.plugins import load_plugins
from mnp_core.testing.builders import (
    block,
    namespace,
    network,
    pod,
    pods_across,
    policy,
    requirement,
    rule,
    selector,
    status,
)

NAMESPACES, PODS, POLICIES, APPS, TEAMS = 20, 50, 50, 10, 4
HERE, ELSEWHERE = "here", "elsewhere"
ROUNDS = 500


def main() -> None:
    renderer = choose_renderer(load_plugins())
    for crowded in (False, True):
        name = "crowded" if crowded else "spread"
        objects = [*cluster(crowded=crowded)]
        state = from_scratch(name, objects, renderer)
        membership(state, renderer)
        single_change(state, "policy", make_policy(1, 1, crowded=crowded), make_policy(1, 1, crowded=not crowded))
        there = make_pod(1, 1)
        single_change(state, "pod", there, evolve(there, labels={**there.labels, "pod": "another"}))


def from_scratch(name: str, objects: list[KubernetesObject], renderer: PolicyRenderer) -> ClusterState:
    """Everything that an agent works out when it starts."""
    cluster = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node=HERE)
    started = time.perf_counter()
    effect = cluster.apply(map(change, objects))
    applied = time.perf_counter()
    policies = [cluster.sandbox_policy(pod) for pod in effect.sandboxes]
    compiled = time.perf_counter()
    texts = [renderer.render(policy).text for policy in policies if policy is not None]
    rendered = time.perf_counter()
    rules = sum(map(count_rules, policies))
    print(f"{name}: {len(policies)} sandboxes, {rules} rules on them, {sum(map(len, texts)) / 1e6:.1f} MB of text")
    print(f"  from scratch: {compiled - started:.2f} s, of these {compiled - applied:.2f} s to compile the sandboxes")
    print(f"  to render them besides: {rendered - compiled:.2f} s")
    return cluster


def count_rules(policy: SandboxPolicy | None) -> int:
    interfaces = policy.interfaces if policy is not None else ()
    directions = (direction for interface in interfaces for direction in (interface.ingress, interface.egress))
    return sum(len(direction.allows) for direction in directions if isinstance(direction, Isolated))


def membership(cluster: ClusterState, renderer: PolicyRenderer) -> None:
    """One pod on another node joins some groups and leaves others."""
    there = make_pod(0, 0)
    times, groups, users = [], 0, 0
    for number in range(1, ROUNDS + 1):
        moved = evolve(there, labels={**there.labels, "app": f"app-{number % APPS}"})
        started = time.perf_counter()
        effect = cluster.apply([change(moved)])
        deltas = [renderer.render_delta(delta) for delta, _ in effect.deltas]
        times.append(time.perf_counter() - started)
        if not deltas or effect.sandboxes:
            raise SystemExit("a change of membership alone was meant to be measured")
        groups += len(deltas)
        users += sum(len(pods) for _, pods in effect.deltas)
    median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"  membership change: median {median * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms (of {ROUNDS}),")
    print(f"    on average of {groups / ROUNDS:.0f} groups, which {users / groups:.0f} sandboxes use each")


def single_change(cluster: ClusterState, name: str, *versions: KubernetesObject) -> None:
    """One object changes between two versions; the policies of all affected sandboxes are compiled."""
    times, pods = [], 0
    for number in range(ROUNDS // 10):
        started = time.perf_counter()
        affected = cluster.apply([change(versions[number % 2 - 1])])
        for sandbox in affected.sandboxes:
            cluster.sandbox_policy(sandbox)
        times.append(time.perf_counter() - started)
        pods += len(affected.sandboxes)
    median = statistics.median(times) * 1e3
    print(f"  {name} change: median {median:.2f} ms, {pods / len(times):.0f} sandboxes affected")


def cluster(*, crowded: bool) -> Iterator[KubernetesObject]:
    yield network("net-a", "macvlan")
    for number in range(NAMESPACES):
        yield namespace(f"ns-{number}", team=f"team-{number % TEAMS}")
        yield from (make_pod(number, index) for index in range(PODS))
        yield from (make_policy(number, index, crowded=crowded) for index in range(POLICIES))


def make_pod(home: int, index: int) -> Pod:
    addresses = f"10.{home}.0.{index + 1}", f"fd00:{home:x}::{index + 1:x}"
    made = pod(
        f"ns-{home}/pod-{index}",
        status("net-a", "net1", *addresses),
        labels={"app": f"app-{index % APPS}", "pod": f"pod-{index}"},
    )
    return evolve(made, node=ELSEWHERE if (home, index) == (0, 0) else HERE)


def make_policy(home: int, index: int, *, crowded: bool) -> Policy:
    app = selector(app=f"app-{index % APPS}")
    friends = [f"app-{(index + 3) % APPS}", *([f"friend-of-{home}-{index}"] if crowded else [])]
    neighbours = pods_across(
        selector(team=f"team-{(home + index) % TEAMS}"), selector(requirement("app", "In", *friends))
    )
    outside = block(f"192.0.{index}.0/24", f"192.0.{index}.128/25")
    return policy(
        f"ns-{home}/policy-{index}",
        networks=["net-a"],
        selector=selector() if crowded else app,
        ingress=[rule([neighbours, outside], ["TCP/80", "TCP/8000-8080"]), rule([neighbours], ["UDP"])],
        egress=[rule([neighbours], ["TCP/5432", "UDP/53"])],
    )


def change(thing: KubernetesObject) -> Change:
    """A source's change for an existing object."""
    match thing:
        case Policy():
            return Change(ref=thing.ref, object=thing)
        case Namespace():
            return Change(ref=ObjectRef("Namespace", ObjectName("", thing.name)), object=thing)
        case Pod():
            return Change(ref=ObjectRef("Pod", thing.name), object=thing)
        case _:
            return Change(ref=ObjectRef("NetworkAttachmentDefinition", thing.name), object=thing)


if __name__ == "__main__":
    main()
