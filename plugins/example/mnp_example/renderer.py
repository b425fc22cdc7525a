"""Write policy in the language of nft: one table, with a rule for each way in which a packet can be allowed.

The text replaces the contents of the table in one transaction, without deleting the table: its base chains stay, so
that no packet meets a moment without rules (S60).
"""

import hashlib
import re
from collections.abc import Iterator

from mnp_core import model
from mnp_core.errors import InputError
from mnp_core.model import Direction

DIALECT = "example"
# too many rules for an example
REFUSES = frozenset({model.Feature.RECHECK, model.Feature.CUSTOM_RULES, model.Feature.LOG_DENIED})
TABLE = "inet mnp_example"
STAMP = "stamp"
CHAINS = {"ingress": ("prerouting", -150), "output": ("output", 0), "forward": ("forward", 0)}
_BY_DIRECTION = {
    Direction.INGRESS: ("iifname", "saddr", ["ingress"]),
    Direction.EGRESS: ("oifname", "daddr", ["output", "forward"]),
}
_DENY = {model.DenyAction.DROP: "drop", model.DenyAction.REJECT: "reject with icmpx type admin-prohibited"}
_FAMILIES: dict[model.Family, str] = {4: "ip", 6: "ip6"}
_INTERFACE = re.compile(r"(?!lo$)[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
Sets = dict[str, frozenset[str]]


class ExampleRenderer:
    """An `mnp_core.api.PolicyRenderer`."""

    def render(self, policy: model.SandboxPolicy) -> model.Ruleset:
        """Render the policy of one sandbox; raises InputError for a name that nft cannot write."""
        if refused := policy.common.features & REFUSES:
            raise InputError(f"the example backend has no {', '.join(sorted(refused))}")
        sets = {name: found for group in policy.groups.values() for name, found in _sets(group).items()}
        rules = "".join([*_declarations(sets), *sorted(_allowances(policy)), *_denials(policy)])
        digest = hashlib.sha256(rules.encode()).hexdigest()
        stamp = f'add rule {TABLE} {STAMP} ct state new comment "digest {digest}"\n'  # tracks connections, always (S41)
        return model.Ruleset(dialect=DIALECT, text=rules + stamp + _change("add", sets), sets=sets, digest=digest)

    def render_delta(self, delta: model.GroupDelta) -> model.Delta:
        """Write a change of one group's membership."""
        before, after = _sets(delta.before), _sets(delta.after)
        added = {name: after[name] - before[name] for name in after}
        removed = {name: before[name] - after[name] for name in after}
        text = _change("create", added) + _change("delete", removed)
        return model.Delta(dialect=DIALECT, text=text, added=added, removed=removed)


def _sets(group: model.Group) -> Sets:
    """A group is a set for each family: of addresses, or of address, protocol and port together."""
    if isinstance(group, model.AddressGroup):
        return {f"g{v}_{group.id}": frozenset(str(each) for each in group.members if each.version == v) for v in (4, 6)}
    texts = [(e.address.version, f"{e.address} . {int(e.protocol)} . {e.port}") for e in group.members]
    return {f"e{v}_{group.id}": frozenset(text for version, text in texts if version == v) for v in (4, 6)}


def _change(verb: str, sets: Sets) -> str:
    filled = sorted((name, ", ".join(sorted(elements))) for name, elements in sets.items() if elements)
    return "".join(f"{verb} element {TABLE} {name} {{ {elements} }}\n" for name, elements in filled)


def _declarations(sets: Sets) -> Iterator[str]:
    """Create missing objects, and flush all; invisible outside of the transaction."""
    yield f"add table {TABLE}\nadd chain {TABLE} {STAMP}\n"
    for name, (hook, priority) in CHAINS.items():
        yield f"add chain {TABLE} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}\n"
    for name in sorted(sets):
        kind = f"ipv{name[1]}_addr" + (" . inet_proto . inet_service" if name[0] == "e" else "")
        yield f"add set {TABLE} {name} {{ type {kind}; }}\nflush set {TABLE} {name}\n"
    yield f"flush table {TABLE}\n"


def _judged(policy: model.SandboxPolicy) -> Iterator[tuple[str, Direction, model.Isolated | model.Audited]]:
    for interface in policy.interfaces:
        if not _INTERFACE.fullmatch(interface.interface):
            raise InputError(f"the example backend takes no interface by the name of {interface.interface!r}")
        for direction in Direction:
            if isinstance(rules := interface.of(direction), model.Isolated | model.Audited):
                yield interface.interface, direction, rules


def _allowances(policy: model.SandboxPolicy) -> Iterator[str]:
    """Everything that passes; in any order, because all of it says accept."""
    for interface, direction, rules in _judged(policy):
        for match, label in _always(policy.common, direction):
            yield from _rule(interface, direction, match, "accept", label)
        for allow in rules.allows:
            for match in _matches(allow, direction):
                yield from _rule(interface, direction, match, "accept", str(allow.origin))


def _denials(policy: model.SandboxPolicy) -> Iterator[str]:
    """The end of everything else; in audit mode it passes, and is counted (S72)."""
    for interface, direction, rules in _judged(policy):
        audits = isinstance(rules, model.Audited)
        end = ("accept", "would-deny") if audits else (_DENY[policy.common.deny_action], "denied")
        yield from _rule(interface, direction, "", *end)


def _rule(interface: str, direction: Direction, match: str, verdict: str, label: str) -> Iterator[str]:
    """The comment names the counted policy; at most 128 bytes, with question marks for quotes."""
    field, _, chains = _BY_DIRECTION[direction]
    comment = f"{interface} {direction} " + re.sub(r'[^ -~]|["\\*]', "?", label)
    for chain in chains:
        yield f'add rule {TABLE} {chain} {field} "{interface}" {match} counter {verdict} comment "{comment[:128]}"\n'


def _always(common: model.CommonRules, direction: Direction) -> Iterator[tuple[str, str]]:
    yield "ct state established,related", "established"
    yield "ip6 hoplimit 255 icmpv6 type 133-137", "neighbour-discovery"
    if common.accept_icmp:
        yield "meta nfproto ipv4 meta l4proto icmp", "accept-icmp"
    if common.accept_icmpv6:
        yield "meta nfproto ipv6 meta l4proto icmpv6", "accept-icmpv6"
    if common.accept_multicast_management:
        yield "meta nfproto ipv4 meta l4proto 2", "accept-multicast-management"
        yield "meta nfproto ipv6 icmpv6 type { 130, 131, 132, 143 }", "accept-multicast-management"
    prefixes = common.allow_src_prefixes if direction is Direction.INGRESS else common.allow_dst_prefixes
    for match in _peers(model.Peers(blocks=tuple(model.Block(cidr=cidr) for cidr in prefixes)), direction):
        yield match, "allowed prefix"


def _matches(allow: model.AllowRule, direction: Direction) -> list[str]:
    if isinstance(allow, model.AllowEndpoints):
        return [f"{ip} daddr . meta l4proto . th dport @e{v}_{allow.group}" for v, ip in _FAMILIES.items()]
    ports = [""] if isinstance(allow.ports, model.AnyPort) else [*map(_port, allow.ports.ranges)]
    return [f"{peer} {port}" for peer in _peers(allow.peers, direction) for port in ports]


def _peers(peers: model.AnyPeer | model.Peers, direction: Direction) -> Iterator[str]:
    """Matches that together are the peers; none if there are none, so that there is no rule (S22)."""
    if isinstance(peers, model.AnyPeer):
        yield ""
        return
    for version, ip in _FAMILIES.items():
        field = f"{ip} {_BY_DIRECTION[direction][1]}"
        if ranges := model.address_ranges(peers.blocks, version):
            yield f"{field} {{ {', '.join(map(str, ranges))} }}"
        yield from (f"{field} @g{version}_{group}" for group in peers.groups)


def _port(ports: model.PortRange) -> str:
    name = ports.protocol.name.lower()
    return f"meta l4proto {name}" if ports.is_every else f"{name} dport {ports.first}-{ports.last}"
