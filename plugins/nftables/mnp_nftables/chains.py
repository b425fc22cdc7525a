"""The content of the chains of one interface: the traffic that passes an isolated direction, and the end of the rest.

Packets of allowed connections pass before (S40). First comes traffic that passes under every policy (S43, settings),
then the policies' own rules, then the end (S11). Packets that connection tracking calls invalid are judged like new
ones (S48).

With ``established-flows: recheck`` (S42) a connection is no pass by itself. Its packets in the direction in which it
was opened are judged like new ones, always. Its replies pass if the rules of the other direction allow, now, the packet
that opened it. ICMP errors, and connections that a helper of the kernel expects, pass with the flow that they are
related to as long as it is tracked. Custom rules cannot be turned round: where there are any, replies of their family
pass, and a flow is cut in the direction in which it was opened.

In audit mode (S72) a chain has the rules that it would have under isolation by the same policies, and lets everything
pass at its end, counted. Custom rules are left out, as they may drop.
"""

from collections.abc import Iterator
from functools import lru_cache, partial

from mnp_core.model import (
    AllowRule,
    Audited,
    Block,
    CommonRules,
    DenyAction,
    Direction,
    EstablishedFlows,
    InterfacePolicy,
    Isolated,
    LoggedVerdict,
    LogMark,
    Peers,
    Protocol,
)
from mnp_core.netfilter.comments import encode
from mnp_core.netfilter.unions import Union
from mnp_nftables import terms
from mnp_nftables.custom import custom_chain, custom_rules
from mnp_nftables.matches import OPENING, REPLYING, Fields, peer_matches
from mnp_nftables.names import COMMENT_LIMIT, ChainName
from mnp_nftables.policy_rules import PolicyRules, in_a_row, in_chains
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.terms import ACCEPT, COUNTER, NOTHING, Term

_PREFIX_SETTING = {Direction.INGRESS: "allow-src-prefix", Direction.EGRESS: "allow-dst-prefix"}
_DENY = {DenyAction.DROP: terms.DROP, DenyAction.REJECT: terms.REJECT}
_REPLY = terms.state("established") + terms.REPLY


def established_rules(setting: EstablishedFlows) -> Iterator[Rule]:
    """The beginning of a base chain: what passes in every chain of its interfaces, and where there is none.

    Packets of established flows are nearly all packets. To ask for the interface first would take longer than all else
    of ours together, so these are counted for all interfaces of the pod together.
    """
    if setting is EstablishedFlows.KEEP:
        yield _rule(terms.state("established", "related"), "established")


def interface_chains(policy: InterfacePolicy, common: CommonRules) -> Iterator[Chain]:
    """The chains of one interface; none if it is open."""
    for direction in Direction:
        if isinstance(policy.of(direction), Isolated | Audited):
            yield from _direction_chains(policy, direction, common)


def unions_of(policy: InterfacePolicy) -> Iterator[Union]:
    """The unions of groups that the chains of one interface look up."""
    return (union for direction in Direction for union in _allowed(policy, direction).unions)


def _direction_chains(policy: InterfacePolicy, direction: Direction, common: CommonRules) -> Iterator[Chain]:
    replies = Chain(
        name=str(ChainName(direction=direction, interface=policy.interface, replies=True)),
        rules=tuple(_replies(policy, direction.opposite, common)),
    )
    audits = isinstance(policy.of(direction), Audited)
    allowed = _allowed(policy, direction)
    rules = (
        *_established(policy, direction, common, replies),
        *_always(icmp=common.accept_icmp, icmpv6=common.accept_icmpv6, multicast=common.accept_multicast_management),
        *_configured(common, direction, OPENING[direction]),
        *(() if audits else _custom(common, direction)),
        *allowed.rules,
        *_end(policy, direction, common),
    )
    yield Chain(name=str(ChainName(direction=direction, interface=policy.interface)), rules=rules)
    yield from allowed.chains
    if replies.rules:
        yield replies


def _established(policy: InterfacePolicy, direction: Direction, common: CommonRules, replies: Chain) -> Iterator[Rule]:
    if common.established_flows is EstablishedFlows.KEEP:
        return
    yield _rule(terms.state("related"), "related")
    yield _rule(terms.state("established") + terms.EXPECTED, "related")
    if not _judges_replies(policy, direction):
        yield _rule(_REPLY, "established")
    elif replies.rules:
        yield Rule.of(_REPLY + terms.jump(replies.name))


def _replies(policy: InterfacePolicy, opened: Direction, common: CommonRules) -> Iterator[Rule]:
    """Rules for replies of connections that were opened in an isolated direction; replies take the other one."""
    if common.established_flows is EstablishedFlows.KEEP or not _judges_replies(policy, opened.opposite):
        return
    yield from _configured(common, opened, REPLYING[opened])
    for custom in custom_rules(common, opened):
        yield _rule(terms.family(custom.family), "established")
    yield from in_a_row(_allows(policy, opened), REPLYING[opened])


def _judges_replies(policy: InterfacePolicy, direction: Direction) -> bool:
    """Whether the rules of the other direction judge replies that take this one: audit mode judges them there alone."""
    opened = policy.of(direction.opposite)
    return isinstance(opened, Isolated) or (isinstance(opened, Audited) and isinstance(policy.of(direction), Audited))


@lru_cache
def _always(*, icmp: bool, icmpv6: bool, multicast: bool) -> tuple[Rule, ...]:
    """Packets that pass in both directions under every policy; numbers: RFC 4861, 2710, 3810, IANA protocol 2."""
    found = [_rule(terms.NEIGHBOUR_DISCOVERY, "neighbour-discovery")]
    if icmp:
        found.append(_rule(terms.family(4) + terms.protocol(Protocol.ICMP), "accept-icmp"))
    if icmpv6:
        found.append(_rule(terms.family(6) + terms.protocol(Protocol.ICMPV6), "accept-icmpv6"))
    if multicast:
        found.append(_rule(terms.family(4) + terms.IGMP, "accept-multicast-management"))
        found.append(_rule(terms.family(6) + terms.LISTENER_DISCOVERY, "accept-multicast-management"))
    return tuple(found)


def _configured(common: CommonRules, direction: Direction, fields: Fields) -> Iterator[Rule]:
    ingress = direction is Direction.INGRESS
    prefixes = common.allow_src_prefixes if ingress else common.allow_dst_prefixes
    if not prefixes:
        return
    peers = Peers(blocks=tuple(Block(cidr=prefix) for prefix in prefixes))
    for match in peer_matches(peers, fields):
        yield _rule(match, _PREFIX_SETTING[direction])


def _custom(common: CommonRules, direction: Direction) -> Iterator[Rule]:
    for custom in custom_rules(common, direction):
        yield Rule.of(terms.family(custom.family) + terms.jump(custom_chain(custom)))


def _allowed(policy: InterfacePolicy, direction: Direction) -> PolicyRules:
    return in_chains(_allows(policy, direction), OPENING[direction], partial(_part, direction, policy.interface))


@lru_cache(maxsize=1 << 10)
def _part(direction: Direction, interface: str, number: int) -> str:
    return str(ChainName(direction=direction, interface=interface, part=number))


def _allows(policy: InterfacePolicy, direction: Direction) -> tuple[AllowRule, ...]:
    rules = policy.of(direction)
    return rules.allows if isinstance(rules, Isolated | Audited) else ()


def _end(policy: InterfacePolicy, direction: Direction, common: CommonRules) -> Iterator[Rule]:
    """The end of packets that nothing allows."""
    audits = isinstance(policy.of(direction), Audited)
    verdict = LoggedVerdict.WOULD_DENY if audits else LoggedVerdict.DENIED
    if common.denied_log is not None:
        mark = LogMark(verdict=verdict, direction=direction, interface=policy.interface)
        yield Rule.of(terms.limit(common.denied_log) + terms.log(common.denied_log, mark))
    yield _last(verdict, None if audits else common.deny_action)


@lru_cache
def _last(label: LoggedVerdict, action: DenyAction | None) -> Rule:
    return _rule(NOTHING, label.value, verdict=ACCEPT if action is None else _DENY[action])


@lru_cache
def _rule(match: Term, label: str, *, verdict: Term = ACCEPT) -> Rule:
    return Rule.of(match + COUNTER + verdict, encode(label, COMMENT_LIMIT)).prepare()
