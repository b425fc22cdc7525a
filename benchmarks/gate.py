"""How long a gate holds the start of a pod: 5,000 pods and 100 policies in the cluster.

Real network namespaces and nf_tables; gatekeeper, agent, pool and node's loop in this process; no API server and no
runtime: the time is that of the agent alone. Needs root.

    python -m benchmarks.gate [starts]
"""

import statistics
import sys
import time

from attrs import evolve

from mnp_core.api import Admission
from mnp_core.node.memory import release_memory
from mnp_core.testing.builders import pod, pods, policy, present, rule, selector, status
from tests.node.gated import GatedNode

CLUSTER, POLICIES = 5_000, 100
NETWORKS = "k8s.v1.cni.cncf.io/networks"


def elsewhere(number):
    address = f"10.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return pod(
        f"peer-{number}",
        status("net", "net1", address),
        node=f"node-{number % 100}",
        labels={"app": f"app-{number % 50}"},
    )


def the_policy(number):
    chosen = selector(app=f"app-{number % 20}")
    return policy(f"p{number}", networks=["net"], selector=chosen, ingress=[rule([pods(app=f"app-{number % 50}")])])


def main(starts):
    with GatedNode(seconds=30.0) as node:
        node.begin(*map(elsewhere, range(CLUSTER)), *map(the_policy, range(POLICIES)))
        while not node.agent.started:
            time.sleep(0.1)
        release_memory()  # as the node's observer does when it is ready: no collection of the whole state in a change
        held = []
        for number in range(starts):
            started = evolve(pod(f"new-{number}", node="here", labels={"app": f"app-{number % 20}"}), uid=str(number))
            node.deliver(present(started))
            sandbox = node.sandbox("net1")
            time.sleep(0.05)  # the watch is usually faster than the runtime
            decision = node.admit(started, sandbox, annotations={NETWORKS: "net"}).result(30)
            if decision.admission is not Admission.IN_FORCE:
                raise SystemExit(decision.reason)
            held.append(node.decisions[-1][1] * 1000)
    ordered = sorted(held)
    p99 = ordered[int(len(ordered) * 0.99) - 1]
    print(f"{starts} starts, one at a time, {POLICIES} policies, {CLUSTER} pods in the cluster")
    print(f"held: median {statistics.median(held):.1f} ms, p99 {p99:.1f} ms, longest {ordered[-1]:.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
