"""Excepts that keep nothing out: all their addresses are allowed by others (S23)."""

from collections.abc import Iterator

from mnp_core.model import AnyPeer, Block, Cidr, Direction, Policy, PolicyRule
from mnp_core.model.address import covers
from mnp_core.policy.lint import rules
from mnp_core.policy.lint.coverage import EVERYTHING, blocks_cover, implies, ports_cover
from mnp_core.policy.lint.place import PEERS, found, rule_field
from mnp_core.policy.lint.rule import Finding
from mnp_core.policy.lint.snapshot import Snapshot

MOST_EXCEPTS = 200
"""Excepts of one block that are looked at."""


def check(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Find excepts without effect in a policy, by itself and beside others that select the same interfaces."""
    for direction in Direction:
        for rule in policy.rules(direction) or ():
            for position, peer in enumerate(rule.peers if isinstance(rule.peers, tuple) else ()):
                if isinstance(peer, Block) and peer.excepts and rule.ports != ():
                    field = f"{rule_field(direction, rule)}.{PEERS[direction]}[{position}].ipBlock.except"
                    for message in _causes(policy, direction, rule, position, snapshot):
                        yield found(rules.EXCEPT_WITHOUT_EFFECT, policy, field, message)


def _causes(policy: Policy, direction: Direction, rule: PolicyRule, position: int, snapshot: Snapshot) -> Iterator[str]:
    peers = rule.peers if isinstance(rule.peers, tuple) else ()
    block = peers[position]
    if not isinstance(block, Block):
        return
    beside = [peer for number, peer in enumerate(peers) if number != position and isinstance(peer, Block)]
    allowed = [*beside, *_allowed(policy, direction, rule, snapshot)]
    for inner in block.excepts[:MOST_EXCEPTS]:
        others = [each for each in block.excepts if each != inner]
        if wider := next((each for each in others if covers(each, inner)), None):
            yield f"{inner} lies in {wider}, another except of the block"
        elif blocks_cover(allowed, [_part(inner, others)]):
            yield f"other peers, rules or policies for these interfaces allow all of {inner}"


def _part(inner: Cidr, others: list[Cidr]) -> Block:
    """The addresses that this except alone keeps out."""
    return Block(cidr=inner, excepts=tuple(each for each in others if covers(inner, each)))


def _allowed(policy: Policy, direction: Direction, rule: PolicyRule, snapshot: Snapshot) -> Iterator[Block]:
    """The blocks that other rules allow on the ports of this one, wherever it counts."""
    for other in snapshot.by_namespace.get(policy.namespace, (policy,)):
        if other.ref == policy.ref or _selects_more(other, policy):
            for each in other.rules(direction) or ():
                if (other.ref == policy.ref and each.index == rule.index) or not ports_cover(each.ports, rule.ports):
                    continue
                yield from _blocks(each)


def _blocks(rule: PolicyRule) -> Iterator[Block]:
    if isinstance(rule.peers, AnyPeer):
        yield from EVERYTHING
        return
    yield from (peer for peer in rule.peers if isinstance(peer, Block))


def _selects_more(other: Policy, policy: Policy) -> bool:
    """Whether another policy of the namespace selects every interface that this one does, and counts beside it."""
    if other.is_audited and not policy.is_audited:  # it allows nothing (S71)
        return False
    theirs, ours = other.scope, policy.scope
    if theirs.networks is not None and (ours.networks is None or not ours.networks <= theirs.networks):
        return False
    if theirs.kinds is not None and (ours.kinds is None or not ours.kinds <= theirs.kinds):
        return False
    return implies(policy.pod_selector, other.pod_selector)
