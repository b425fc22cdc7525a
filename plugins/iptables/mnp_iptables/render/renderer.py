"""Write a sandbox's policy in the language of iptables and ipset.

The text is the input of ``ipset restore``, ``iptables-restore --noflush`` and ``ip6tables-restore --noflush``, in
sections:

    # ipset               create NAME TYPE …           sets, empty
    # iptables            *TABLE … COMMIT              chains, rules, and the jump to them that must come first
    # ip6tables           likewise
    # ipset members       add NAME ELEMENT             members of the sets

`mnp_iptables.applier` brings it into force in steps, of which none opens or closes anything wrongly.
Where rules reject (`mnp_iptables.render.hook_points`) there are two tables of each family, of which one is used.
"""

from collections.abc import Iterator, Sequence

from mnp_core.model import (
    Allow,
    Audited,
    Delta,
    DenyAction,
    Direction,
    Family,
    Group,
    GroupDelta,
    Isolated,
    Peers,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.netfilter.unions import SandboxUnions, Union
from mnp_iptables.names import (
    DIGEST_LENGTH,
    DISPATCH,
    ChainName,
    digest_chain,
    interface_name,
    short_hash,
    written_interface,
)
from mnp_iptables.render.chains import RenderContext, configured_peers, established_rules, interface_chains, unions_of
from mnp_iptables.render.custom_rules import has_reject
from mnp_iptables.render.hook_points import FILTER, MANGLE, HookPoints
from mnp_iptables.render.policy_rules import LOOKUPS, Chain
from mnp_iptables.sets.set_types import (
    FAMILIES,
    MAXELEM,
    Blocks,
    Elements,
    SetType,
    combine,
    elements,
    set_types,
    union_elements,
    union_set,
)

DIALECT = "iptables"
SETS = "# ipset"
TOOLS: dict[Family, str] = {4: "# iptables", 6: "# ip6tables"}
MEMBERS = "# ipset members"

_ARMING = "-m conntrack --ctstate NEW"
"""While some rule looks at connections, the kernel tracks them and puts fragments together (S41, S46). No packet meets
this one."""

_INTERFACE = {Direction.INGRESS: "-i", Direction.EGRESS: "-o"}
_NO_DIGEST_YET = "?" * DIGEST_LENGTH


class IptablesRenderer:
    """Writes policy for iptables; see `PolicyRenderer`, `SandboxDeltaRenderer` in `mnp_core.api`."""

    def __init__(self) -> None:
        """Make a renderer, which remembers the unions of the last sandboxes, and nothing else."""
        self._unions = SandboxUnions(_unions_of, LOOKUPS)

    def render(self, policy: SandboxPolicy) -> Ruleset:
        """Write the complete ruleset of one sandbox.

        Raises:
            InputError: An interface name, a group or a custom rule that could break out of its place.
        """
        groups, unions = tuple(policy.groups.values()), self._unions.of(policy)
        blocks = {each.set_name: each for each in _blocks(policy) if each.set_name}
        types = {name: kind for group in groups for name, kind in set_types(group).items()}
        types |= {name: SetType(kind="hash:net", family=each.family) for name, each in blocks.items()}
        types |= {union_set(union): SetType(kind="hash:ip", family=union.family) for union in unions}
        members = {name: found for group in groups for name, found in elements(group).items()}
        members |= union_elements({union: union.members(policy.groups) for union in unions})
        members |= {name: frozenset(map(str, each.cidrs)) for name, each in blocks.items()}
        rules = "".join(_rules(policy, types))
        digest = short_hash(rules, DIGEST_LENGTH)
        text = rules.replace(_NO_DIGEST_YET, digest) + f"{MEMBERS}\n" + _lines("add", members)
        return Ruleset(dialect=DIALECT, text=text, sets=members, digest=digest)

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership."""
        return _delta(_changed(delta.added), _changed(delta.removed))

    def render_sandbox_delta(self, deltas: Sequence[GroupDelta], policy: SandboxPolicy) -> Delta | None:
        """Write the changes of unions."""
        change = self._unions.changes(deltas, policy)
        return _delta(union_elements(change.added), union_elements(change.removed)) if change is not None else None


def _unions_of(policy: SandboxPolicy) -> tuple[Union, ...]:
    every = {
        union_set(union): union
        for context in _contexts(policy)
        for interface in policy.interfaces
        for union in unions_of(interface, context)
    }
    return tuple(every[name] for name in sorted(every))


def _delta(added: Elements, removed: Elements) -> Delta:
    text = _lines("del", removed) + _lines("add", added)
    return Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _changed(group: Group) -> dict[str, frozenset[str]]:
    return {name: found for name, found in elements(group).items() if found}


def _lines(verb: str, changed: Elements) -> str:
    return "".join(f"{verb} {name} {element}\n" for name in sorted(changed) for element in sorted(changed[name]))


def _blocks(policy: SandboxPolicy) -> Iterator[Blocks]:
    """The blocks of every list of peers, and of the settings that are such lists."""
    rules = (interface.of(direction) for interface in policy.interfaces for direction in Direction)
    allows = (allow for rule in rules if isinstance(rule, Isolated | Audited) for allow in rule.allows)
    peers = [allow.peers for allow in allows if isinstance(allow, Allow) and isinstance(allow.peers, Peers)]
    peers += (configured_peers(policy.common, direction) for direction in Direction)
    for family in FAMILIES:
        yield from (combine(each.blocks, family) for each in peers)


def _rules(policy: SandboxPolicy, types: dict[str, SetType]) -> Iterator[str]:
    """Everything but membership."""
    yield f"{SETS}\n"
    yield from (f"create {name} {types[name]} maxelem {MAXELEM}\n" for name in sorted(types))
    for family in FAMILIES:
        yield f"{TOOLS[family]}\n"
        for context in _contexts(policy):
            if context.family == family:
                yield from _table(policy, context)


def _contexts(policy: SandboxPolicy) -> tuple[RenderContext, ...]:
    """Where rules are written, in this order."""
    rejects = policy.common.deny_action is DenyAction.REJECT or has_reject(policy.common)
    return tuple(
        RenderContext(common=policy.common, hook_points=hook_points, family=family)
        for family in FAMILIES
        for hook_points in ((FILTER, MANGLE) if rejects else (MANGLE,))
    )


def _table(policy: SandboxPolicy, context: RenderContext) -> Iterator[str]:
    chains = tuple(_chains(policy, context))
    yield f"*{context.hook_points.table}\n"
    yield from (f":{chain.name} - [0:0]\n" for chain in chains)
    for chain in chains:
        yield from (f"-A {chain.name} {rule}\n" for rule in chain.rules)
    yield from _jumps(context.hook_points)
    yield "COMMIT\n"


def _chains(policy: SandboxPolicy, context: RenderContext) -> Iterator[Chain]:
    yield Chain(name=digest_chain(_NO_DIGEST_YET), rules=(_ARMING,))
    for direction, name in DISPATCH.items():
        yield Chain(name=name, rules=tuple(_dispatch(policy, direction)))
    for interface in policy.interfaces:
        yield from interface_chains(interface, context)


def _dispatch(policy: SandboxPolicy, direction: Direction) -> Iterator[str]:
    yield from established_rules(policy.interfaces, direction, policy.common)
    for interface in policy.interfaces:
        name = interface_name(interface.interface)
        if isinstance(interface.of(direction), Isolated | Audited):
            chain = ChainName(direction=direction, interface=name)
            yield f'{_INTERFACE[direction]} "{written_interface(name)}" -g {chain}'


def _jumps(hook_points: HookPoints) -> Iterator[str]:
    """Each goes to the top, so the last one is the first that packets meet: ingress before egress (S47)."""
    for direction in reversed(DISPATCH):
        yield from (f"-I {hook} -j {DISPATCH[direction]}\n" for hook in hook_points.hooks[direction])
