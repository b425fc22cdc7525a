"""Rules, peers and ports without an effect of their own: without them every packet has the same verdict."""

from collections.abc import Iterable, Iterator

from mnp_core.model import AnyPeer, Block, Direction, PodPeer, Policy, PolicyRule
from mnp_core.policy.lint import rules
from mnp_core.policy.lint.coverage import peer_covers, port_covers, rule_covers
from mnp_core.policy.lint.place import PEERS, found, rule_field
from mnp_core.policy.lint.rule import Finding
from mnp_core.policy.lint.snapshot import Snapshot

MOST_COMPARED = 200
"""Elements of one list that are compared with each other."""


def check(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Find everything of a policy that another part of it contains."""
    for direction in Direction:
        known = policy.rules(direction) or ()
        yield from _repeated(policy, direction, known, snapshot)
        yield from _rules(policy, direction, known)
        for rule in known:
            yield from _peers(policy, direction, rule)
            yield from _ports(policy, direction, rule)


def _repeated(
    policy: Policy, direction: Direction, known: Iterable[PolicyRule], snapshot: Snapshot
) -> Iterator[Finding]:
    """Rules that are written twice: the parser takes them for one."""
    spec = snapshot.written.get(policy.ref, {}).get("spec")
    written = spec.get(direction.value.lower()) if isinstance(spec, dict) else None
    if policy.rules(direction) is None or not isinstance(written, list):
        return
    indexes = {rule.index for rule in known}
    for index in range(min(len(written), MOST_COMPARED)):
        if index not in indexes:
            field = f"spec.{direction.value.lower()}[{index}]"
            yield found(rules.SHADOWED_RULE, policy, field, "an earlier rule is the same: this one allows nothing more")


def _rules(policy: Policy, direction: Direction, known: tuple[PolicyRule, ...]) -> Iterator[Finding]:
    useful = [rule for rule in known if _allows(rule)]
    if len(useful) > MOST_COMPARED:
        return
    for rule in useful:
        wide = next((other for other in useful if _outdoes(other, rule)), None)
        if wide is not None:
            message = f"{direction.value.lower()}[{wide.index}] allows everything that this rule allows"
            yield found(rules.SHADOWED_RULE, policy, rule_field(direction, rule), message)


def _outdoes(other: PolicyRule, rule: PolicyRule) -> bool:
    """Whether another rule makes one superfluous; of equal ones the later is."""
    if other is rule or not rule_covers(other, rule):
        return False
    return other.index < rule.index or not rule_covers(rule, other)


def _allows(rule: PolicyRule) -> bool:
    if rule.ports == () or rule.peers == ():
        return False
    return isinstance(rule.peers, AnyPeer) or not all(map(_is_void, rule.peers))


def _is_void(peer: PodPeer | Block) -> bool:
    """Whether it was reported as matching nothing (S13)."""
    if isinstance(peer, Block):
        return False
    return peer.pod_selector.never or (peer.namespace_selector is not None and peer.namespace_selector.never)


def _peers(policy: Policy, direction: Direction, rule: PolicyRule) -> Iterator[Finding]:
    if not isinstance(rule.peers, tuple) or not 1 < len(rule.peers) <= MOST_COMPARED:
        return
    place = f"{rule_field(direction, rule)}.{PEERS[direction]}"
    for position, peer in enumerate(rule.peers):
        for other, wide in enumerate(rule.peers):
            if other == position or _is_void(peer) or not peer_covers(wide, peer):
                continue
            if other < position or not peer_covers(peer, wide):
                message = f"{PEERS[direction]}[{other}] contains this peer"
                yield found(rules.SHADOWED_PEER, policy, f"{place}[{position}]", message)
                break


def _ports(policy: Policy, direction: Direction, rule: PolicyRule) -> Iterator[Finding]:
    if not isinstance(rule.ports, tuple) or not 1 < len(rule.ports) <= MOST_COMPARED:
        return
    for position, port in enumerate(rule.ports):
        for other, wide in enumerate(rule.ports):
            if other == position or not port_covers(wide, port):
                continue
            if other < position or not port_covers(port, wide):
                field = f"{rule_field(direction, rule)}.ports[{position}]"
                yield found(rules.SHADOWED_PORT, policy, field, f"{wide} contains {port}")
                break
