"""Not one packet of a denied flow gets through while rules change, and an allowed flow loses none (S60).

Counted before and behind all hooks that these rules are in.
"""

import pytest
from attrs import evolve

from mnp_core.model import DenyAction
from mnp_core.testing.flood import ALLOWED, DENIED, changing_policies, counted, counting_chain, counting_table, flood
from mnp_core.testing.hosts import PEER, POD
from mnp_core.testing.policies import GROUP, OTHER_GROUP, addresses, allow, interface, isolated, sandbox
from plugins.iptables.tests.pods import renderer

pytestmark = pytest.mark.root
CHANGES = 60


def counters(direction):
    """Before and after all chains that judge a direction: of mangle (-150), and of filter (0)."""
    ends = ("prerouting", "input") if direction == "ingress" else ("output", "postrouting")
    return counting_table(
        counting_chain("before", ends[0], -300, "before"), counting_chain("after", ends[1], 10, "after")
    )


def change_rules(pod):
    """Replace everything, time and again; names of sets stay, their members change."""
    for policy, _ in zip(changing_policies(), range(CHANGES), strict=False):
        pod.enforce(policy)


def change_members(pod):
    """Members of a group that a rule uses come and go, while others stay."""
    states = [addresses(GROUP, PEER[4], *(f"10.2.{n}.{k}" for k in range(1, n))) for n in (1, 20, 3, 40)]
    rules = isolated(allow([GROUP], [f"UDP/{ALLOWED}"]))
    pod.enforce(sandbox(interface("net1", ingress=rules, egress=rules), groups=[states[0]]))
    for number in range(CHANGES * 10):
        pod.regroup(states[number % 4], states[(number + 1) % 4])


def change_nothing(pod):
    """The same ruleset, applied whole, as after drift."""
    ruleset = renderer.render(next(changing_policies()))
    for _ in range(CHANGES):
        pod.run(lambda: pod.applier.apply(ruleset))


def change_groups_with_rules(pod):
    """The allowed peer moves to another group together with the rules: old rules with new groups would be wrong."""
    friend, foe = PEER[4], "10.0.0.77"
    for number in range(CHANGES):
        first, second = (GROUP, OTHER_GROUP) if number % 2 else (OTHER_GROUP, GROUP)
        rules = isolated(allow([first], [f"UDP/{ALLOWED}"]), allow([second], [f"UDP/{DENIED}"]))
        groups = [addresses(first, friend), addresses(second, foe)]
        pod.enforce(sandbox(interface("net1", ingress=rules, egress=rules), groups=groups))


def change_tables(pod):
    """From the table for drops to the table for rejects, and back."""
    for number, policy in zip(range(CHANGES), changing_policies(), strict=False):
        action = DenyAction.REJECT if number % 2 else DenyAction.DROP
        pod.enforce(evolve(policy, common=evolve(policy.common, deny_action=action)))


@pytest.mark.parametrize(
    "change",
    [
        change_rules,
        *(pytest.param(change, marks=pytest.mark.full) for change in (change_members, change_nothing)),
        *(pytest.param(change, marks=pytest.mark.full) for change in (change_groups_with_rules, change_tables)),
    ],
)
@pytest.mark.parametrize("direction", ["ingress", pytest.param("egress", marks=pytest.mark.full)])
def test_no_packet_meets_anything_between_two_states(wire, change, direction):
    """S60."""
    pod = wire.pod
    pod.enforce(next(changing_policies()))
    sender, receiver = (wire.peer, pod) if direction == "ingress" else (pod, wire.peer)
    source, target = (PEER[4], POD[4]) if direction == "ingress" else (POD[4], PEER[4])
    for port in (DENIED, ALLOWED):
        receiver.udp(target, port)  # no answers, not even an ICMP error
    pod.nft(counters(direction))
    with flood(sender, source, target):
        change(pod)
    found = counted(pod)
    assert min(found["denied before"], found["allowed before"]) > 100 * CHANGES
    assert found["denied after"] == 0
    assert found["allowed after"] == found["allowed before"]
