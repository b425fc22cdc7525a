"""Not one packet of a denied flow gets through while rules change, and an allowed flow loses none (S60).

Datagrams that are never answered stay new to connection tracking, so each is judged by the rules that are in force at
its moment. They are sent as fast as a process can; every one that passes our chains is counted behind them, in a table
of the test's own.
"""

from itertools import islice

import pytest

from mnp_core.model import KnownRules
from mnp_core.netfilter.kept import keep
from mnp_core.testing.flood import ALLOWED, DENIED, changing_policies, counted, counting_chain, counting_table, flood
from mnp_nftables import NftablesApplier, NftablesRenderer
from plugins.nftables.tests.policies import GROUP, addresses, allow, interface, isolated, sandbox
from plugins.nftables.tests.wire import PEER, POD

pytestmark = pytest.mark.root
CHANGES = 300
COUNTERS = {
    direction: counting_table(
        counting_chain("before", hook, -300, "before"), counting_chain("after", hook, behind, "after")
    )
    for direction, hook, behind in (("ingress", "prerouting", -140), ("egress", "output", 10))
}


def change_rules(pod):
    """Replace everything, time and again."""
    for policy in islice(changing_policies(), CHANGES):
        pod.enforce(policy)


def change_members(pod):
    """Members of a group that a rule uses come and go, while others stay."""
    states = [addresses(GROUP, PEER[4], *(f"10.2.{n}.{k}" for k in range(1, n))) for n in (1, 20, 3, 40)]
    rules = isolated(allow([GROUP], [f"UDP/{ALLOWED}"]))
    pod.enforce(sandbox(interface("net1", ingress=rules, egress=rules), groups=[states[0]]))
    for number in range(CHANGES):
        pod.regroup(states[number % 4], states[(number + 1) % 4])


def change_differences(pod):
    """The rules in force are known, and only what differs is written."""
    applier, before = NftablesApplier(), NftablesRenderer().render(next(changing_policies()))
    keep((pod.sandbox.device, pod.sandbox.inode))
    generation = pod.run(applier.generation)
    for policy in islice(changing_policies(), 1, CHANGES):
        after = NftablesRenderer().render(policy)
        known = KnownRules(structure=before.structure, sets=before.sets)
        generation = applier.commit_difference(pod.sandbox, known, after, generation)
        assert generation is not None
        before = after


def change_nothing(pod):
    """The same ruleset, applied whole, as after drift."""
    ruleset = NftablesRenderer().render(next(changing_policies()))
    for _ in range(CHANGES // 3):
        pod.run(lambda: NftablesApplier().apply(ruleset))


@pytest.mark.parametrize("change", [change_rules, change_differences, change_members, change_nothing])
@pytest.mark.parametrize("direction", ["ingress", pytest.param("egress", marks=pytest.mark.full)])
def test_no_packet_meets_anything_between_two_states(wire, change, direction):
    """S60."""
    pod = wire.pod
    pod.enforce(next(changing_policies()))
    sender, receiver = (wire.peer, pod) if direction == "ingress" else (pod, wire.peer)
    source, target = (PEER[4], POD[4]) if direction == "ingress" else (POD[4], PEER[4])
    for port in (DENIED, ALLOWED):
        receiver.udp(target, port)  # no answers, not even an ICMP error
    pod.nft(COUNTERS[direction])
    with flood(sender, source, target):
        change(pod)
    found = counted(pod)
    assert min(found["denied before"], found["allowed before"]) > 10 * CHANGES
    assert found["denied after"] == 0
    assert found["allowed after"] == found["allowed before"]
