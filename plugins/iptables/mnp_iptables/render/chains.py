"""The content of the chains of one interface: the traffic that passes an isolated direction, and the end of the rest.

First packets of allowed connections (S40), then traffic that passes under every policy (S43, settings), then the
policies' own rules, then the end (S11). Packets that connection tracking calls invalid are judged like new ones (S48).
A packet that passes leaves the chain by RETURN and meets foreign rules (S49).

With ``established-flows: recheck`` (S42) a connection is no pass by itself. Its packets in the direction in which it
was opened are judged like new ones, always. Its replies pass if the rules of the other direction allow, now, the
packet that opened it. ICMP errors, and connections that a helper of the kernel expects, pass with the flow that they
are related to as long as it is tracked. Custom rules cannot be turned round: where there are any, replies of their
family pass, and a flow is cut in the direction in which it was opened.

In audit mode (S72) a chain has the rules that it would have under isolation by the same policies, and lets everything
pass at its end, counted. Custom rules are left out, as they may drop.
"""

from collections.abc import Iterator

from attrs import frozen

from mnp_core.model import (
    Audited,
    Block,
    CommonRules,
    DenyAction,
    Direction,
    EstablishedFlows,
    Family,
    InterfacePolicy,
    Isolated,
    LoggedVerdict,
    LogMark,
    Peers,
)
from mnp_core.netfilter.comments import encode
from mnp_iptables.names import COMMENT_LIMIT, ChainName
from mnp_iptables.render.custom_rules import custom_lines
from mnp_iptables.render.hook_points import HookPoints
from mnp_iptables.render.matches import REPLYING, Fields, allow_matches, peer_matches

_PREFIX_SETTING = {Direction.INGRESS: "allow-src-prefix", Direction.EGRESS: "allow-dst-prefix"}
_REJECT = {4: "REJECT --reject-with icmp-admin-prohibited", 6: "REJECT --reject-with icmp6-adm-prohibited"}
_REPLY = "-m conntrack --ctstate ESTABLISHED --ctdir REPLY"
_NEIGHBOUR_DISCOVERY = range(133, 138)  # RFC 4861
_MULTICAST_LISTENERS = (130, 131, 132, 143)  # RFC 2710, 3810
_IGMP = 2


@frozen(kw_only=True)
class Chain:
    """A chain: its name and its rules, without ``-A NAME``."""

    name: str
    rules: tuple[str, ...]


@frozen(kw_only=True)
class RenderContext:
    """Where and for which family rules are written, under which settings of the node."""

    common: CommonRules
    hook_points: HookPoints
    family: Family


def interface_chains(policy: InterfacePolicy, context: RenderContext) -> Iterator[Chain]:
    """The chains of one interface; none if it is open."""
    for direction in Direction:
        if isinstance(policy.of(direction), Isolated | Audited):
            yield from _direction_chains(policy, direction, context)


def configured_peers(common: CommonRules, direction: Direction) -> Peers:
    """The peers that the node's settings allow in a direction."""
    prefixes = common.allow_src_prefixes if direction is Direction.INGRESS else common.allow_dst_prefixes
    return Peers(blocks=tuple(Block(cidr=prefix) for prefix in prefixes))


def _direction_chains(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[Chain]:
    """One chain, entered by goto; more of them where custom rules or replies need a place to go on at."""
    name = {
        part: str(ChainName(direction=direction, interface=policy.interface, part=part)) for part in ("", "R", "N", "P")
    }
    head = tuple(_established(policy, direction, context))
    replies = tuple(_replies(policy, direction, context))
    audits = isinstance(policy.of(direction), Audited)
    custom = () if audits else _custom(direction, context, follows=name["P"])
    fields = context.hook_points.opening[direction]
    new = (*_always(context), *_configured(direction, context, fields), *custom)
    policies = (*_allowed(policy, direction, context, fields), *_end(policy, direction, context))
    if custom:
        yield Chain(name=name["P"], rules=policies)
        policies = (f"-g {name['P']}",)
    if replies:
        yield Chain(name=name["R"], rules=(*replies, f"-g {name['N']}"))
        yield Chain(name=name["N"], rules=(*new, *policies))
        new, policies = (f"{_REPLY} -g {name['R']}",), (f"-g {name['N']}",)
    yield Chain(name=name[""], rules=(*head, *new, *policies))


def _established(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[str]:
    if context.common.established_flows is EstablishedFlows.KEEP:
        yield _rule("-m conntrack --ctstate RELATED,ESTABLISHED", "established")
        return
    yield _rule("-m conntrack --ctstate RELATED", "related")
    yield _rule("-m conntrack --ctstate ESTABLISHED --ctstatus EXPECTED", "related")
    if not _judges_replies(policy, direction):
        yield _rule(_REPLY, "established")


def _replies(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[str]:
    """Replies that take this direction, of connections that were opened in the other one, where they are judged."""
    opened = direction.opposite
    if context.common.established_flows is EstablishedFlows.KEEP or not _judges_replies(policy, direction):
        return
    yield from _configured(opened, context, REPLYING[opened])
    if _custom(opened, context, follows=""):
        yield _rule("", "established")
    yield from _allowed(policy, opened, context, REPLYING[opened])


def _judges_replies(policy: InterfacePolicy, direction: Direction) -> bool:
    """Whether the rules of the other direction judge replies that take this one: audit mode judges them there alone."""
    opened = policy.of(direction.opposite)
    return isinstance(opened, Isolated) or (isinstance(opened, Audited) and isinstance(policy.of(direction), Audited))


def _custom(direction: Direction, context: RenderContext, *, follows: str) -> tuple[str, ...]:
    return custom_lines(context.common, direction, context.family, context.hook_points, follows=follows)


def _always(context: RenderContext) -> Iterator[str]:
    """Packets that pass in both directions under every policy."""
    common = context.common
    if context.family == 4:
        if common.accept_icmp:
            yield _rule("-p icmp", "accept-icmp")
        if common.accept_multicast_management:
            yield _rule(f"-p {_IGMP}", "accept-multicast-management")
        return
    for kind in _NEIGHBOUR_DISCOVERY:
        yield _rule(f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -m hl --hl-eq 255", "neighbour-discovery")
    if common.accept_icmpv6:
        yield _rule("-p ipv6-icmp", "accept-icmpv6")
    if common.accept_multicast_management:
        for kind in _MULTICAST_LISTENERS:
            yield _rule(f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind}", "accept-multicast-management")


def _configured(direction: Direction, context: RenderContext, fields: Fields) -> Iterator[str]:
    for match in peer_matches(configured_peers(context.common, direction), context.family, fields):
        yield _rule(match, _PREFIX_SETTING[direction])


def _allowed(policy: InterfacePolicy, direction: Direction, context: RenderContext, fields: Fields) -> Iterator[str]:
    rules = policy.of(direction)
    if not isinstance(rules, Isolated | Audited):
        return
    found = {(allow.origin, match) for allow in rules.allows for match in allow_matches(allow, context.family, fields)}
    for origin, match in sorted(found):
        yield _rule(match, str(origin))


def _end(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[str]:
    """The end of packets that nothing allows."""
    audits = isinstance(policy.of(direction), Audited)
    verdict = LoggedVerdict.WOULD_DENY if audits else LoggedVerdict.DENIED
    yield from _logged(context.common, LogMark(verdict=verdict, direction=direction, interface=policy.interface))
    yield _rule("", verdict.value, target="RETURN" if audits else _deny(context))


def _logged(common: CommonRules, mark: LogMark) -> Iterator[str]:
    if (log := common.denied_log) is not None:
        limit = f"-m limit --limit {log.rate}/second --limit-burst {log.burst}"
        yield f'{limit} -j NFLOG --nflog-group {log.group} --nflog-prefix "{mark}" --nflog-size {log.size}'


def _deny(context: RenderContext) -> str:
    rejects = context.hook_points.rejects and context.common.deny_action is DenyAction.REJECT
    return _REJECT[context.family] if rejects else "DROP"


def _rule(match: str, label: str, *, target: str = "RETURN") -> str:
    return f'{match} -m comment --comment "{encode(label, COMMENT_LIMIT)}" -j {target}'.lstrip()
