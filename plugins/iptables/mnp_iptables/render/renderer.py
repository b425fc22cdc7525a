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

from collections.abc import Iterable, Iterator

from mnp_core.model import (
    Allow,
    Audited,
    Delta,
    DenyAction,
    Direction,
    Family,
    Group,
    GroupDelta,
    InterfacePolicy,
    Isolated,
    Peers,
    Ruleset,
    SandboxPolicy,
)
from mnp_iptables.names import (
    DIGEST_LENGTH,
    DISPATCH,
    ChainName,
    digest_chain,
    interface_name,
    short_hash,
    written_interface,
)
from mnp_iptables.render.chains import Chain, RenderContext, configured_peers, interface_chains
from mnp_iptables.render.custom_rules import has_reject
from mnp_iptables.render.hook_points import FILTER, MANGLE, HookPoints
from mnp_iptables.sets.set_types import FAMILIES, MAXELEM, Blocks, Elements, SetType, combine, elements, set_types

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
    """Writes policy for iptables; see `mnp_core.api.PolicyRenderer`."""

    def render(self, policy: SandboxPolicy) -> Ruleset:
        """Write the complete ruleset of one sandbox.

        Raises:
            InputError: An interface name, a group or a custom rule that could break out of its place.
        """
        groups = tuple(policy.groups.values())
        blocks = {each.set_name: each for each in _blocks(policy) if each.set_name}
        types = {name: kind for group in groups for name, kind in set_types(group).items()}
        types |= {name: SetType(kind="hash:net", family=each.family) for name, each in blocks.items()}
        members = {name: found for group in groups for name, found in elements(group).items()}
        members |= {name: frozenset(map(str, each.cidrs)) for name, each in blocks.items()}
        rules = "".join(_rules(policy, types))
        digest = short_hash(rules, DIGEST_LENGTH)
        text = rules.replace(_NO_DIGEST_YET, digest) + f"{MEMBERS}\n" + _lines("add", members)
        return Ruleset(dialect=DIALECT, text=text, sets=members, digest=digest)

    def render_delta(self, delta: GroupDelta) -> Delta:
        """Write a change of membership."""
        added = _changed(delta.added)
        removed = _changed(delta.removed)
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
    rejects = policy.common.deny_action is DenyAction.REJECT or has_reject(policy.common)
    for family in FAMILIES:
        yield f"{TOOLS[family]}\n"
        for hook_points in (FILTER, MANGLE) if rejects else (MANGLE,):
            yield from _table(policy, RenderContext(common=policy.common, hook_points=hook_points, family=family))


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
        yield Chain(name=name, rules=tuple(_dispatch(policy.interfaces, direction)))
    for interface in policy.interfaces:
        yield from interface_chains(interface, context)


def _dispatch(interfaces: Iterable[InterfacePolicy], direction: Direction) -> Iterator[str]:
    for interface in interfaces:
        name = interface_name(interface.interface)
        if isinstance(interface.of(direction), Isolated | Audited):
            chain = ChainName(direction=direction, interface=name)
            yield f'{_INTERFACE[direction]} "{written_interface(name)}" -g {chain}'


def _jumps(hook_points: HookPoints) -> Iterator[str]:
    """Each goes to the top, so the last one is the first that packets meet: ingress before egress (S47)."""
    for direction in reversed(DISPATCH):
        yield from (f"-I {hook} -j {DISPATCH[direction]}\n" for hook in hook_points.hooks[direction])
