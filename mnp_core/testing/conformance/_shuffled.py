"""The same policy in another order."""

import random

from attrs import evolve

from mnp_core.model import Allow, Audited, DirectionPolicy, Isolated, Peers, Ports, SandboxPolicy


def shuffled(policy: SandboxPolicy, chance: random.Random) -> SandboxPolicy:
    """The policy with all that has no order in another one."""

    def direction(rules: DirectionPolicy) -> DirectionPolicy:
        if not isinstance(rules, Isolated | Audited):
            return rules
        allows = [_shuffled_allow(rule, chance) if isinstance(rule, Allow) else rule for rule in rules.allows]
        return evolve(rules, allows=tuple(chance.sample(allows, len(allows))))

    found = [evolve(each, ingress=direction(each.ingress), egress=direction(each.egress)) for each in policy.interfaces]
    groups = list(policy.groups.items())
    return evolve(
        policy,
        interfaces=tuple(chance.sample(found, len(found))),
        groups=dict(chance.sample(groups, len(groups))),
    )


def _shuffled_allow(rule: Allow, chance: random.Random) -> Allow:
    peers, ports = rule.peers, rule.ports
    if isinstance(peers, Peers):
        blocks, groups = (tuple(chance.sample(values, len(values))) for values in (peers.blocks, peers.groups))
        peers = evolve(peers, blocks=blocks, groups=groups)  # type: ignore[arg-type] # of both types in one line
    if isinstance(ports, Ports):
        ports = evolve(ports, ranges=tuple(chance.sample(ports.ranges, len(ports.ranges))))
    return evolve(rule, peers=peers, ports=ports)
