"""Changes of a policy that are changes of blocks alone, so that no rule has to be written for them."""

from attrs import evolve

from mnp_core.model import Allow, AllowRule, BlocksDelta, Direction, Peers
from mnp_core.policy.compile import CompiledPolicy, NamedAllow


def block_changes(before: CompiledPolicy, after: CompiledPolicy) -> tuple[BlocksDelta, ...] | None:
    """The lists of blocks that differ between two states of one policy; None if anything else does, too."""
    if _without_rules(before) != _without_rules(after):
        return None
    found = list[BlocksDelta]()
    for direction in Direction:
        one, other = _rules(before, direction), _rules(after, direction)
        if len(one) != len(other):
            return None
        for was, now in zip(one, other, strict=True):
            if was is not now and was != now:
                delta = _blocks_delta(was, now)
                if delta is None:
                    return None
                found.append(delta)
    return tuple(found)


def _without_rules(compiled: CompiledPolicy) -> object:
    policy = compiled.policy
    isolates = [policy.rules(direction) is not None for direction in Direction]
    return evolve(policy, ingress=None, egress=None), isolates, compiled.groups.keys()


def _rules(compiled: CompiledPolicy, direction: Direction) -> tuple[AllowRule | NamedAllow, ...]:
    rules = compiled.ingress if direction is Direction.INGRESS else compiled.egress
    return rules.rules if rules is not None else ()


def _blocks_delta(was: AllowRule | NamedAllow, now: AllowRule | NamedAllow) -> BlocksDelta | None:
    """The difference of two rules if it is one of blocks; neither list is empty then, as both have the identity."""
    if not isinstance(was, Allow | NamedAllow) or not isinstance(now, Allow | NamedAllow):
        return None
    old, new = was.peers, now.peers
    if not isinstance(old, Peers) or not isinstance(new, Peers) or not new.list_id:
        return None
    if evolve(was, peers=evolve(old, blocks=new.blocks)) != now:
        return None
    return BlocksDelta(id=new.list_id, before=old.blocks, after=new.blocks)
