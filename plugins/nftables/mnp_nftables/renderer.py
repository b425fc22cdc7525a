"""Write a sandbox's policy as one nftables transaction.

The text replaces whatever of ours is in force, in one commit, without knowing what that is (S60). It does not delete
the table and make it anew, which looks simpler: the old and the new base chain would then be two hooks, and a packet
that meets the commit can pass the new one while it is still empty and the old one when it is empty already. (It
happens: 8 of 1.5 million packets of a denied flow, in 300 replacements, on 6.18.) A base chain that stays is left by a
packet with either all of the old rules or all of the new ones. It dispatches by comparing interface names in rules, for
the same reason: the elements of an anonymous verdict map go with the old generation, and a packet between both finds
none (2 of 1.7 million). What is left over of the old chains and sets is cleared away by the applier, afterwards.

Ingress is judged before routing, so that one chain covers what the pod takes and what it forwards (S47): after
defragmentation (-400, S46) and connection tracking (-200, S40), before any address translation (-100), on the interface
that the packet came in on, even one that a VRF enslaves. Egress is judged for what the pod sends and what it forwards,
where a packet can still be rejected (S48). A packet that is allowed ends our base chain and no other (S49).
"""

import hashlib
from collections.abc import Iterable, Iterator

from mnp_core.model import (
    Delta,
    Direction,
    Group,
    GroupDelta,
    InterfacePolicy,
    Isolated,
    Ruleset,
    SandboxPolicy,
)
from mnp_nftables.chains import Chain, interface_chains
from mnp_nftables.custom import custom_chain, custom_rules, rule_lines
from mnp_nftables.names import ChainName, interface_name
from mnp_nftables.sets import SetName, command, elements, set_names

DIALECT = "nftables"
TABLE = "mnp"
STATE_CHAIN = "state"
"""Not reached by any packet: while a rule looks at connections, the kernel tracks them (S41); comments are stamps."""
STATE_RULE = "ct state new"
DIGEST_STAMP = "digest "

BASE_CHAINS = {
    "ingress": ("prerouting", -150, Direction.INGRESS),
    "output": ("output", 0, Direction.EGRESS),
    "forward": ("forward", 0, Direction.EGRESS),
}
"""Always there, with or without rules: name to hook, priority and the direction that it judges."""

_INTERFACE = {Direction.INGRESS: "iifname", Direction.EGRESS: "oifname"}
_NO_DIGEST_YET = "?" * hashlib.sha256().digest_size * 2


class NftablesRenderer:
    """Writes policy for nftables; see `mnp_core.api.PolicyRenderer`."""

    def render(self, policy: SandboxPolicy) -> Ruleset:
        """Write everything that is to be in force in one sandbox.

        Raises:
            InputError: An interface name, a group or a custom rule that could break out of its place.
        """
        groups = [policy.groups[identity] for identity in sorted(policy.groups)]
        members = {name: found for group in groups for name, found in elements(group).items()}
        rules = "".join(_rules(policy, [name for group in groups for name in set_names(group)]))
        digest = hashlib.sha256(rules.encode()).hexdigest()
        text = rules.replace(_NO_DIGEST_YET, digest, 1) + command("add", members)
        return Ruleset(dialect=DIALECT, text=text, sets=members, digest=digest)

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership; refused where a member that comes is there, or one that goes is not."""
        added = _changed(delta.added)
        removed = _changed(delta.removed)
        text = command("create", added) + command("delete", removed)
        return Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _changed(group: Group) -> dict[str, frozenset[str]]:
    return {name: found for name, found in elements(group).items() if found}


def _rules(policy: SandboxPolicy, sets: list[SetName]) -> Iterator[str]:
    """The transaction without membership."""
    yield from _declarations(sets)
    yield f"flush table inet {TABLE}\n"
    yield from (f"flush set inet {TABLE} {name}\n" for name in sets)
    yield f"table inet {TABLE} {{\n"
    for chain in _chains(policy):
        yield from _block(f"chain {chain.name}", chain.lines)
    yield "}\n"
    yield from _custom(policy)


def _declarations(sets: list[SetName]) -> Iterator[str]:
    """What must be there before it can be emptied and filled; what is there already stays as it is."""
    yield f"table inet {TABLE} {{\n"
    for name in sets:
        yield from _block(f"set {name}", [f"type {name.type}"])
    for chain, (hook, priority, _) in BASE_CHAINS.items():
        yield from _block(f"chain {chain}", [f"type filter hook {hook} priority {priority}; policy accept;"])
    yield "}\n"


def _chains(policy: SandboxPolicy) -> Iterator[Chain]:
    yield Chain(name=STATE_CHAIN, lines=(f'{STATE_RULE} comment "{DIGEST_STAMP}{_NO_DIGEST_YET}"',))
    for name, (_, _, direction) in BASE_CHAINS.items():
        yield Chain(name=name, lines=tuple(_dispatch(policy, direction)))
    for direction in Direction:
        for custom in custom_rules(policy.common, direction):
            yield Chain(name=custom_chain(custom), lines=())
    for interface in _sorted_interfaces(policy):
        yield from interface_chains(interface, policy.common)


def _dispatch(policy: SandboxPolicy, direction: Direction) -> Iterator[str]:
    for interface in _sorted_interfaces(policy):
        if isinstance(interface.of(direction), Isolated):
            name = interface_name(interface.interface, pod=policy.pod)
            yield f'{_INTERFACE[direction]} "{name}" goto {ChainName(direction=direction, interface=name)}'


def _sorted_interfaces(policy: SandboxPolicy) -> list[InterfacePolicy]:
    return sorted(policy.interfaces, key=lambda interface: interface.interface)


def _custom(policy: SandboxPolicy) -> Iterator[str]:
    """As commands, not in a block: a line that is not a rule is refused, wherever its braces are."""
    for direction in Direction:
        for custom in custom_rules(policy.common, direction):
            chain = custom_chain(custom)
            yield from (f"add rule inet {TABLE} {chain} {line}\n" for line in rule_lines(custom))


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"\t{head} {{\n"
    yield from (f"\t\t{line}\n" for line in lines)
    yield "\t}\n"
