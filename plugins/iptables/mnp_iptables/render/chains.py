"""The content of the chains of one interface: the traffic that passes an isolated direction, and the end of the rest.

Packets of allowed connections pass before (S40). First comes traffic that passes under every policy (S43, settings),
then the policies' own rules, then the end (S11). Packets that connection tracking calls invalid are judged like new
ones (S48).
A packet that passes leaves the chain by RETURN and meets foreign rules (S49).

With ``established-flows: recheck`` (S42) a connection is no pass by itself. Its packets in the direction in which it
was opened are judged like new ones, always. Its replies pass if the rules of the other direction allow, now, the
packet that opened it. ICMP errors, and connections that a helper of the kernel expects, pass with the flow that they
are related to as long as it is tracked. Custom rules cannot be turned round: where there are any, replies of their
family pass, and a flow is cut in the direction in which it was opened.

In audit mode (S72) a chain has the rules that it would have under isolation by the same policies, and lets everything
pass at its end, counted. Custom rules are left out, as they may drop.
"""

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from mnp_core.model import (
    AllowRule,
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
from mnp_core.netfilter.unions import Union
from mnp_iptables.names import ESTABLISHED, ChainName
from mnp_iptables.render.custom_rules import custom_lines
from mnp_iptables.render.hook_points import HookPoints
from mnp_iptables.render.matches import REPLYING, Fields, peer_matches
from mnp_iptables.render.policy_rules import Chain, PolicyRules, counted, in_a_row, in_chains

_PREFIX_SETTING = {Direction.INGRESS: "allow-src-prefix", Direction.EGRESS: "allow-dst-prefix"}
_REJECT = {4: "REJECT --reject-with icmp-admin-prohibited", 6: "REJECT --reject-with icmp6-adm-prohibited"}
_REPLY = "-m conntrack --ctstate ESTABLISHED --ctdir REPLY"
_NEIGHBOUR_DISCOVERY = range(133, 138)  # RFC 4861
_MULTICAST_LISTENERS = (130, 131, 132, 143)  # RFC 2710, 3810
_IGMP = 2


@frozen(kw_only=True)
class RenderContext:
    """Where and for which family rules are written, under which settings of the node."""

    common: CommonRules
    hook_points: HookPoints
    family: Family


def established_rules(policies: Iterable[InterfacePolicy], direction: Direction, common: CommonRules) -> Iterator[str]:
    """The beginning of the chain that chooses the one of an interface: what passes in each of these.

    Packets of established flows are nearly all packets, so they pass before anything asks for the interface, and are
    counted for all interfaces of the pod together, as `ESTABLISHED`.
    """
    isolated = any(isinstance(policy.of(direction), Isolated | Audited) for policy in policies)
    if isolated and common.established_flows is EstablishedFlows.KEEP:
        yield "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


def interface_chains(policy: InterfacePolicy, context: RenderContext) -> Iterator[Chain]:
    """The chains of one interface; none if it is open."""
    for direction in Direction:
        if isinstance(policy.of(direction), Isolated | Audited):
            yield from _direction_chains(policy, direction, context)


def unions_of(policy: InterfacePolicy, context: RenderContext) -> Iterator[Union]:
    """The unions of groups that the chains of one interface look up."""
    return (union for direction in Direction for union in _allowed(policy, direction, context).unions)


def configured_peers(common: CommonRules, direction: Direction) -> Peers:
    """The peers that the node's settings allow in a direction."""
    prefixes = common.allow_src_prefixes if direction is Direction.INGRESS else common.allow_dst_prefixes
    return Peers(blocks=tuple(Block(cidr=prefix) for prefix in prefixes))


def _direction_chains(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[Chain]:
    """One chain, entered by goto; more of them where custom rules or replies need a place to go on at."""
    name_of = _names(policy, direction)
    name = {part: name_of(part) for part in ("", "R", "N", "P", "D")}
    head = tuple(_established(policy, direction, context))
    replies = tuple(_replies(policy, direction, context))
    audits = isinstance(policy.of(direction), Audited)
    custom = () if audits else _custom(direction, context, follows=name["P"])
    fields = context.hook_points.opening[direction]
    new = (*_always(context), *_configured(direction, context, fields), *custom)
    allowed, end = _allowed(policy, direction, context), tuple(_end(policy, direction, context))
    if allowed.chains:
        yield Chain(name=name["D"], rules=end)
        yield from allowed.chains
        end = ()
    policies = (*allowed.rules, *end)
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
        return
    yield counted("-m conntrack --ctstate RELATED", "related")
    yield counted("-m conntrack --ctstate ESTABLISHED --ctstatus EXPECTED", "related")
    if not _judges_replies(policy, direction):
        yield counted(_REPLY, ESTABLISHED)


def _replies(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[str]:
    """Replies that take this direction, of connections that were opened in the other one, where they are judged."""
    opened = direction.opposite
    if context.common.established_flows is EstablishedFlows.KEEP or not _judges_replies(policy, direction):
        return
    yield from _configured(opened, context, REPLYING[opened])
    if _custom(opened, context, follows=""):
        yield counted("", "established")
    yield from in_a_row(_allows(policy, opened), context.family, REPLYING[opened])


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
            yield counted("-p icmp", "accept-icmp")
        if common.accept_multicast_management:
            yield counted(f"-p {_IGMP}", "accept-multicast-management")
        return
    for kind in _NEIGHBOUR_DISCOVERY:
        yield counted(f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -m hl --hl-eq 255", "neighbour-discovery")
    if common.accept_icmpv6:
        yield counted("-p ipv6-icmp", "accept-icmpv6")
    if common.accept_multicast_management:
        for kind in _MULTICAST_LISTENERS:
            yield counted(f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind}", "accept-multicast-management")


def _configured(direction: Direction, context: RenderContext, fields: Fields) -> Iterator[str]:
    for match in peer_matches(configured_peers(context.common, direction), context.family, fields):
        yield counted(match, _PREFIX_SETTING[direction])


def _allowed(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> PolicyRules:
    fields = context.hook_points.opening[direction]
    return in_chains(_allows(policy, direction), context.family, fields, _names(policy, direction))


def _allows(policy: InterfacePolicy, direction: Direction) -> tuple[AllowRule, ...]:
    rules = policy.of(direction)
    return rules.allows if isinstance(rules, Isolated | Audited) else ()


def _names(policy: InterfacePolicy, direction: Direction) -> Callable[[str], str]:
    return lambda part: str(ChainName(direction=direction, interface=policy.interface, part=part))


def _end(policy: InterfacePolicy, direction: Direction, context: RenderContext) -> Iterator[str]:
    """The end of packets that nothing allows."""
    audits = isinstance(policy.of(direction), Audited)
    verdict = LoggedVerdict.WOULD_DENY if audits else LoggedVerdict.DENIED
    yield from _logged(context.common, LogMark(verdict=verdict, direction=direction, interface=policy.interface))
    yield counted("", verdict.value, target="RETURN" if audits else _deny(context))


def _logged(common: CommonRules, mark: LogMark) -> Iterator[str]:
    if (log := common.denied_log) is not None:
        limit = f"-m limit --limit {log.rate}/second --limit-burst {log.burst}"
        yield f'{limit} -j NFLOG --nflog-group {log.group} --nflog-prefix "{mark}" --nflog-size {log.size}'


def _deny(context: RenderContext) -> str:
    rejects = context.hook_points.rejects and context.common.deny_action is DenyAction.REJECT
    return _REJECT[context.family] if rejects else "DROP"
