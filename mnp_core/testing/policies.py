"""Rules of a sandbox, in one line each: values of the intermediate representation, for tests of backends.

    only(ingress=isolated(allow([GROUP, "10.0.0.0/8"], ["TCP/80"])), groups=[addresses(GROUP, "10.0.0.2")])

is a pod whose interface ``net1`` takes TCP to port 80 from a group and a block, and nothing else. Policies as users
write them, with labels and names, are in `mnp_core.testing.builders`.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from attrs import evolve

from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    OPEN,
    AddressGroup,
    Allow,
    AllowEndpoints,
    AllowRule,
    AnyPeer,
    AnyPort,
    Audited,
    Block,
    CommonRules,
    CustomRules,
    DeniedLog,
    DenyAction,
    Direction,
    DirectionPolicy,
    Endpoint,
    EndpointGroup,
    EstablishedFlows,
    Feature,
    Group,
    InterfacePolicy,
    Isolated,
    ObjectName,
    ObjectRef,
    Origin,
    Peers,
    PortRange,
    Ports,
    Protocol,
    SandboxPolicy,
)
from mnp_core.testing.builders import policy_port

POD = ObjectName("default", "pod")
GROUP, OTHER_GROUP = "a" * 20, "b" * 20
"""Identities of groups, as `mnp_core.model.GroupSpec.identity` gives them."""
DENY = Isolated()
"""A direction in which nothing passes."""


def origin(
    rule: int = 0, *, name: str = "policy", direction: Direction = Direction.INGRESS, kind: str = "MultiNetworkPolicy"
) -> Origin:
    """Which rule of which policy something comes from."""
    return Origin(policy=ObjectRef(kind, ObjectName("default", name)), direction=direction, rule=rule)


def allow(
    peers: Iterable[str | Block] | AnyPeer = ANY_PEER,
    ports: Iterable[str] | AnyPort = ANY_PORT,
    *,
    source: Origin | None = None,
) -> Allow:
    """One rule.

    Args:
        peers: Any, or blocks (``10.0.0.0/8``, or with excepts as `builders.block` makes them) and identities of groups.
        ports: Any, or ``TCP``, ``TCP/80``, ``UDP/5000-6000``.
        source: Where it comes from.
    """
    return Allow(
        peers=peers if isinstance(peers, AnyPeer) else _peers(list(peers)),
        ports=ports if isinstance(ports, AnyPort) else Ports(ranges=tuple(map(port_range, ports))),
        origin=source or origin(),
    )


def _peers(peers: list[str | Block]) -> Peers:
    blocks = (
        peer if isinstance(peer, Block) else Block(cidr=ip_network(peer, strict=False))
        for peer in peers
        if isinstance(peer, Block) or "/" in peer
    )
    groups = (peer for peer in peers if isinstance(peer, str) and "/" not in peer)
    return Peers(blocks=tuple(blocks), groups=tuple(groups))


def port_range(text: str) -> PortRange:
    """``TCP``, ``TCP/80`` or ``UDP/5000-6000``."""
    entry = policy_port(text)
    if not isinstance(entry, PortRange):
        raise ValueError(f"{text!r} names a port: in a sandbox all ports are numbers")  # noqa: TRY004 # it is the text that is wrong
    return entry


def allow_endpoints(group: str, *, source: Origin | None = None) -> AllowEndpoints:
    """A rule for named ports of peers (S31, egress only)."""
    return AllowEndpoints(group=group, origin=source or origin(direction=Direction.EGRESS))


def isolated(*allows: AllowRule) -> Isolated:
    """A direction in which nothing but this passes."""
    return Isolated(allows=allows)


def audited(*allows: AllowRule) -> Audited:
    """A direction in which everything passes, and everything but this is counted."""
    return Audited(allows=allows)


def in_audit_mode(policy: SandboxPolicy) -> SandboxPolicy:
    """The same policy, with every isolated direction only audited."""
    interfaces = (
        evolve(each, ingress=_in_audit_mode(each.ingress), egress=_in_audit_mode(each.egress))
        for each in policy.interfaces
    )
    return evolve(policy, interfaces=tuple(interfaces))


def _in_audit_mode(rules: DirectionPolicy) -> DirectionPolicy:
    return Audited(allows=rules.allows, policies=rules.policies) if isinstance(rules, Isolated) else rules


def addresses(identity: str, *members: str) -> AddressGroup:
    """A group of addresses."""
    return AddressGroup(id=identity, members=frozenset(map(ip_address, members)))


def endpoints(identity: str, *members: tuple[str, str, int]) -> EndpointGroup:
    """A group of endpoints: members as ``("10.0.0.2", "TCP", 80)``."""
    made = (Endpoint(address=ip_address(a), protocol=Protocol[name], port=number) for a, name, number in members)
    return EndpointGroup(id=identity, members=frozenset(made))


def interface(
    name: str = "net1", *, ingress: DirectionPolicy = OPEN, egress: DirectionPolicy = OPEN
) -> InterfacePolicy:
    """Both directions of one interface."""
    return InterfacePolicy(interface=name, ingress=ingress, egress=egress)


def sandbox(*interfaces: InterfacePolicy, groups: Iterable[Group] = (), **settings: Any) -> SandboxPolicy:
    """A pod with these interfaces; settings are those of `mnp_core.model.CommonRules`."""
    common = evolve(CommonRules(), **settings)
    return SandboxPolicy(pod=POD, interfaces=interfaces, groups={group.id: group for group in groups}, common=common)


def only(
    *, ingress: DirectionPolicy = OPEN, egress: DirectionPolicy = OPEN, groups: Iterable[Group] = (), **settings: Any
) -> SandboxPolicy:
    """A pod with nothing but ``net1``."""
    return sandbox(interface(ingress=ingress, egress=egress), groups=groups, **settings)


def using(feature: Feature) -> SandboxPolicy:
    """A pod that nothing enters or leaves, with one setting beside the defaults; custom rules without any lines.

    In audit mode everything enters and leaves.
    """
    if feature is Feature.AUDIT:
        return only(ingress=Audited(), egress=Audited())
    settings: dict[Feature, dict[str, Any]] = {
        Feature.REJECT: {"deny_action": DenyAction.REJECT},
        Feature.RECHECK: {"established_flows": EstablishedFlows.RECHECK},
        Feature.CUSTOM_RULES: {"custom": (CustomRules(direction=Direction.INGRESS, family=4, lines=()),)},
        Feature.ACCEPT_ICMP: {"accept_icmp": True},
        Feature.ACCEPT_ICMPV6: {"accept_icmpv6": True},
        Feature.ACCEPT_MULTICAST_MANAGEMENT: {"accept_multicast_management": True},
        Feature.ALLOW_SRC_PREFIXES: {"allow_src_prefixes": (ip_network("10.0.0.0/24"),)},
        Feature.ALLOW_DST_PREFIXES: {"allow_dst_prefixes": (ip_network("10.9.0.0/16"),)},
        Feature.LOG_DENIED: {"denied_log": DeniedLog()},
    }
    return only(ingress=DENY, egress=DENY, **settings[feature])
