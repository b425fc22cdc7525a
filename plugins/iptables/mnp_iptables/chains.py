"""What is in the chains of one interface: who passes a direction that is isolated, and what becomes of the others.

First what belongs to a connection that was allowed (S40), then what passes under every policy (S43, settings), then
what the policies allow, then the end (S11). Packets that connection tracking calls invalid are judged like new ones
(S48). Whoever passes leaves the chain by RETURN and meets the rules of others (S49).

With ``established-flows: recheck`` (S42) a connection is no pass by itself. Its packets in the direction in which it
was opened are judged like new ones, always. Its replies pass if the rules of the other direction allow, now, the
packet that opened it. ICMP errors, and connections that a helper of the kernel expects, pass with the flow that they
are related to as long as it is tracked. Custom rules cannot be turned round: where there are any, replies of their
family pass, and a flow is cut in the direction in which it was opened.
"""

from collections.abc import Iterator

from attrs import frozen

from mnp_core.model import (
    Block,
    CommonRules,
    DenyAction,
    Direction,
    EstablishedFlows,
    Family,
    InterfacePolicy,
    Isolated,
    Peers,
)
from mnp_iptables.custom import custom_lines
from mnp_iptables.matches import REPLYING, Fields, allow_matches, peer_matches
from mnp_iptables.names import ChainName, comment
from mnp_iptables.places import Place

_OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
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
class Setting:
    """Where and for which family rules are written, under which settings of the node."""

    common: CommonRules
    place: Place
    family: Family


def interface_chains(policy: InterfacePolicy, setting: Setting) -> Iterator[Chain]:
    """The chains of one interface; none if it is open."""
    for direction in Direction:
        if isinstance(policy.of(direction), Isolated):
            yield from _direction_chains(policy, direction, setting)


def configured_peers(common: CommonRules, direction: Direction) -> Peers:
    """The peers whose packets pass in a direction by the settings of the node."""
    prefixes = common.allow_src_prefixes if direction is Direction.INGRESS else common.allow_dst_prefixes
    return Peers(blocks=tuple(Block(cidr=prefix) for prefix in prefixes))


def _direction_chains(policy: InterfacePolicy, direction: Direction, setting: Setting) -> Iterator[Chain]:
    """One chain, entered by goto; more of them where custom rules or replies need a place to go on at."""
    name = {
        part: str(ChainName(direction=direction, interface=policy.interface, part=part)) for part in ("", "R", "N", "P")
    }
    head = tuple(_established(policy, direction, setting))
    replies = tuple(_replies(policy, direction, setting))
    custom = custom_lines(setting.common, direction, setting.family, setting.place, follows=name["P"])
    fields = setting.place.opening[direction]
    new = (*_always(setting), *_configured(direction, setting, fields), *custom)
    policies = (*_allowed(policy, direction, setting, fields), _rule("", "denied", target=_deny(setting)))
    if custom:
        yield Chain(name=name["P"], rules=policies)
        policies = (f"-g {name['P']}",)
    if replies:
        yield Chain(name=name["R"], rules=(*replies, f"-g {name['N']}"))
        yield Chain(name=name["N"], rules=(*new, *policies))
        new, policies = (f"{_REPLY} -g {name['R']}",), (f"-g {name['N']}",)
    yield Chain(name=name[""], rules=(*head, *new, *policies))


def _established(policy: InterfacePolicy, direction: Direction, setting: Setting) -> Iterator[str]:
    if setting.common.established_flows is EstablishedFlows.KEEP:
        yield _rule("-m conntrack --ctstate RELATED,ESTABLISHED", "established")
        return
    yield _rule("-m conntrack --ctstate RELATED", "related")
    yield _rule("-m conntrack --ctstate ESTABLISHED --ctstatus EXPECTED", "related")
    if not isinstance(policy.of(_OTHER[direction]), Isolated):
        yield _rule(_REPLY, "established")


def _replies(policy: InterfacePolicy, direction: Direction, setting: Setting) -> Iterator[str]:
    """Replies that take this direction, of connections that were opened in the other one, where they are judged."""
    opened = _OTHER[direction]
    isolated = isinstance(policy.of(opened), Isolated)
    if setting.common.established_flows is EstablishedFlows.KEEP or not isolated:
        return
    yield from _configured(opened, setting, REPLYING[opened])
    if custom_lines(setting.common, opened, setting.family, setting.place, follows=""):
        yield _rule("", "established")
    yield from _allowed(policy, opened, setting, REPLYING[opened])


def _always(setting: Setting) -> Iterator[str]:
    """What passes in both directions whatever the policies say."""
    common = setting.common
    if setting.family == 4:
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


def _configured(direction: Direction, setting: Setting, fields: Fields) -> Iterator[str]:
    for match in peer_matches(configured_peers(setting.common, direction), setting.family, fields):
        yield _rule(match, _PREFIX_SETTING[direction])


def _allowed(policy: InterfacePolicy, direction: Direction, setting: Setting, fields: Fields) -> Iterator[str]:
    rules = policy.of(direction)
    if not isinstance(rules, Isolated):
        return
    found = {(allow.origin, match) for allow in rules.allows for match in allow_matches(allow, setting.family, fields)}
    for origin, match in sorted(found):
        yield _rule(match, str(origin))


def _deny(setting: Setting) -> str:
    rejects = setting.place.rejects and setting.common.deny_action is DenyAction.REJECT
    return _REJECT[setting.family] if rejects else "DROP"


def _rule(match: str, label: str, *, target: str = "RETURN") -> str:
    return f'{match} -m comment --comment "{comment(label)}" -j {target}'.lstrip()
