"""The aggregator with 5,000 nodes and 1,000 policies: CPU, memory, bytes and writes.

Policies and summaries come as the bytes that watches deliver; statuses go to an API that counts them and gives news of
each back, as a watch would. No network is between. Time is simulated, one step a second, CPU is measured.

* start: everything is listed, and every policy gets its first status;
* quiet: an hour in which every node renews its summary and nothing changes;
* one policy: it is changed, and every node confirms it within an interval of 20 seconds;
* all policies: likewise, all of them changed at once;
* failure: 50 nodes report a failure of 100 policies, and take it back.

A node's pods are selected by 100 of the policies (LOCAL); an argument gives another number.
"""

import json
import random
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

from mnp_core.aggregate.aggregator import Aggregator
from mnp_core.aggregate.writer import StatusWriter
from mnp_core.conditions.summary import PolicyFault, State, bounded, encode
from mnp_core.conditions.tokens import policy_token
from mnp_core.model import ObjectName
from mnp_core.model.change import MODULUS

NODES, POLICIES, LOCAL = 5000, 1000, 100
INTERVAL, RENEWAL, RATE = 20, 270, 5.0
FAULT = PolicyFault(interfaces=1, state=State.FAILED, reason="Refused", message="demo/web: no")


class CountingApi:
    """Takes statuses, and gives the policy back as it is now."""

    def __init__(self, world: "World") -> None:
        self.world, self.writes, self.bytes = world, 0, 0

    def get(self, _path: str, _params: object = None) -> bytes:
        return json.dumps({"resources": [{"name": "multi-networkpolicies/status"}]}).encode()

    def patch(self, path: str, body: Mapping[str, Any], _content_type: str = "") -> bytes:
        self.writes += 1
        self.bytes += len(json.dumps(body))
        policy = self.world.policies[path.split("/")[-2]]
        policy["status"] = body["status"]
        return self.world.deliver(policy)


class World:
    """The cluster's objects and the aggregator, on one clock."""

    def __init__(self, local: int) -> None:
        self.now, self.version, self.chance = 0.0, 0, random.Random(1)  # noqa: S311 - no secret
        self.local = local
        self.api = CountingApi(self)
        writer = StatusWriter(self.api, rate=RATE, clock=lambda: self.now)  # type: ignore[arg-type] # as much as is used
        self.aggregator = Aggregator(writer, clock=lambda: self.now, wall=lambda: self.now)
        self.policies = {f"policy-{number}": self.policy(number) for number in range(POLICIES)}
        self.selecting = [self.chance.sample(range(POLICIES), local) for _ in range(NODES)]
        self.summaries = self.summary_bytes = 0

    def policy(self, number: int) -> dict[str, Any]:
        metadata = {
            "namespace": "demo",
            "name": f"policy-{number}",
            "generation": 1,
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": "red"},
        }
        peer = {"podSelector": {"matchLabels": {"team": f"team-{number}"}}}
        rules = [{"from": [peer], "ports": [{"protocol": "TCP", "port": 80 + index}]} for index in range(5)]
        return {"metadata": metadata, "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": rules}}

    def deliver(self, policy: dict[str, Any]) -> bytes:
        self.version += 1
        policy["metadata"]["resourceVersion"] = str(self.version)
        raw = json.dumps(policy).encode()
        self.aggregator.put_policy(ObjectName("demo", policy["metadata"]["name"]), raw)
        return raw

    def change(self, names: list[str]) -> None:
        for name in names:
            self.policies[name]["metadata"]["generation"] += 1
            self.policies[name]["spec"]["policyTypes"] = ["Ingress"] * self.policies[name]["metadata"]["generation"]
            self.deliver(self.policies[name])

    def tokens(self) -> list[int]:
        found = self.policies.values()
        return [policy_token(ObjectName("demo", p["metadata"]["name"]), json.dumps(p).encode()) for p in found]

    def publish(self, node: int, tokens: list[int], failed: frozenset[int] = frozenset()) -> None:
        enforced = {tokens[n]: 2 for n in self.selecting[node] if n not in failed}
        faults = {tokens[n]: FAULT for n in self.selecting[node] if n in failed}
        summary = {**encode(bounded(sum(tokens) % MODULUS, enforced, faults)), "renewed": str(self.now)}
        raw = json.dumps({"metadata": {"name": f"node-{node}"}, "summary": summary}, separators=(",", ":")).encode()
        self.summaries, self.summary_bytes = self.summaries + 1, self.summary_bytes + len(raw)
        started = time.process_time()
        self.aggregator.put_summary(ObjectName("", f"node-{node}"), raw)
        self.cpu += time.process_time() - started

    cpu = 0.0

    def step(self) -> None:
        self.now += 1
        started = time.process_time()
        self.aggregator.step(complete=True, leading=True)
        self.cpu += time.process_time() - started

    def spread(self, nodes: list[int], seconds: int, **how: Any) -> None:
        """Each of these nodes publishes at a moment of its own."""
        tokens = self.tokens()
        self.chance.shuffle(nodes)
        for second in range(seconds):
            for node in nodes[second::seconds]:
                self.publish(node, tokens, **how)
            self.step()

    def measure(self, name: str, act: Any) -> None:
        before = self.now, self.cpu, self.api.writes, self.api.bytes, self.summaries, self.summary_bytes
        act()
        while self.aggregator.waiting and self.now < before[0] + 3600:
            self.step()
        after = self.now, self.cpu, self.api.writes, self.api.bytes, self.summaries, self.summary_bytes
        seconds, cpu, writes, size, summaries, summary_size = (b - a for a, b in zip(before, after, strict=True))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name}: {summaries} summaries of {summary_size / max(1, summaries):.0f} bytes; {writes} statuses of "
            f"{size / max(1, writes):.0f} bytes in {seconds:.0f} s; {cpu:.2f} s CPU; at most {memory:.0f} MiB"
        )


def main() -> None:
    world = World(int(sys.argv[1]) if len(sys.argv) > 1 else LOCAL)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{NODES} nodes, {POLICIES} policies, {world.local} of them on each node; {memory:.0f} MiB before")
    everyone = list(range(NODES))

    def start() -> None:
        started = time.process_time()
        for policy in world.policies.values():
            world.deliver(policy)
        world.cpu += time.process_time() - started
        tokens = world.tokens()
        for node in everyone:
            world.publish(node, tokens)
        world.step()

    def fail() -> None:
        world.spread(everyone[:50], INTERVAL, failed=frozenset(range(100)))
        world.spread(everyone[:50], INTERVAL)

    world.measure("start", start)
    world.measure("quiet hour", lambda: [world.spread(everyone, RENEWAL) for _ in range(3600 // RENEWAL)])
    world.measure("one policy", lambda: (world.change(["policy-0"]), world.step(), world.spread(everyone, INTERVAL)))
    world.measure("all policies", lambda: (world.change([*world.policies]), world.spread(everyone, INTERVAL)))
    world.measure("failure", fail)


if __name__ == "__main__":
    main()
