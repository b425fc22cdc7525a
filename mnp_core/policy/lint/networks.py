"""Networks of one policy whose addresses overlap (S21)."""

from collections.abc import Iterator
from itertools import combinations

from mnp_core.model import Cidr, Direction, ObjectName, PodPeer, Policy
from mnp_core.policy.lint import rules
from mnp_core.policy.lint.place import POLICY_FOR, found
from mnp_core.policy.lint.rule import Finding
from mnp_core.policy.lint.snapshot import NetworkFacts, Snapshot


def check(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Find pairs of networks on which one address may be two pods, where peers are selected by labels."""
    networks = sorted(policy.scope.networks or ())
    if len(networks) < 2 or not _selects_peers(policy):
        return
    for one, other in combinations([name for name in networks if name in snapshot.facts], 2):
        overlap = _overlap(snapshot.facts[one], snapshot.facts[other])
        if overlap is not None:
            yield found(rules.OVERLAPPING_NETWORKS, policy, POLICY_FOR, _message(one, other, overlap))


def _message(one: ObjectName, other: ObjectName, overlap: Cidr) -> str:
    return (
        f"{one} and {other} both have addresses of {overlap}: a peer's address on one network is allowed on the other,"
        " whoever has it there"
    )


def _selects_peers(policy: Policy) -> bool:
    peers = (rule.peers for direction in Direction for rule in policy.rules(direction) or ())
    return any(isinstance(peer, PodPeer) for some in peers if isinstance(some, tuple) for peer in some)


def _overlap(one: NetworkFacts, other: NetworkFacts) -> Cidr | None:
    """A block that both networks give addresses of to different pods."""
    if (one.wire and one.wire == other.wire) or (one.pool and one.pool == other.pool):
        return None
    for subnet in one.subnets:
        for another in other.subnets:
            if subnet.version == another.version and subnet.overlaps(another):
                return max(subnet, another, key=lambda each: each.prefixlen)
    return None
