"""The verdict on a packet, from the same value that renderers translate for the kernel.

It is the definition that backends are tested against, so it is written to be read, not to be fast. It knows no
connections: the packet is the first of its flow, and an allowed one lets the replies pass, too (S40).
"""

from collections.abc import Iterable, Iterator, Mapping

from mnp_core.model import (
    AddressGroup,
    Allow,
    AllowRule,
    AnyPeer,
    AnyPort,
    Audited,
    Cidr,
    CommonRules,
    Direction,
    Endpoint,
    EndpointGroup,
    Group,
    Open,
    Origin,
    Packet,
    Peers,
    Ports,
    Protocol,
    SandboxPolicy,
    Verdict,
)
from mnp_core.model.address import Address

_IGMP = 2  # IANA protocol number
_MLD_TYPES = frozenset({130, 131, 132, 143})  # RFC 2710 and, for 143, RFC 3810
_DISCOVERY_TYPES = frozenset(range(133, 138))  # RFC 4861: solicitations, advertisements, redirect
_DISCOVERY_HOP_LIMIT = 255  # RFC 4861: proof that no router has forwarded it


def evaluate(sandbox: SandboxPolicy, interface: str, direction: Direction, packet: Packet) -> Verdict:
    """Say whether a sandbox lets the first packet of a flow pass on one interface.

    Custom rules (`CommonRules.custom`) are text in a backend's own language and are not looked at: with them, more
    may pass than this verdict, or less. An interface without an entry in the sandbox policy is open; `lo`, on which
    a pod reaches its own addresses, always is one (S44).

    Args:
        sandbox: The rules of the pod.
        interface: Name in the sandbox: the one that the packet comes in on, or leaves by (S47).
        direction: As the pod sees it.
        packet: As it is on the wire of that interface.
    """
    rules = next((policy.of(direction) for policy in sandbox.interfaces if policy.interface == interface), None)
    if rules is None or isinstance(rules, Open):
        return Verdict(allowed=True)
    setting = _setting(sandbox.common, direction, packet) or ""
    origin = None if setting else _origin(sandbox, rules.allows, direction, packet)
    passes = bool(setting) or origin is not None
    if isinstance(rules, Audited):
        return Verdict(allowed=True, origin=origin, setting=setting, audits=rules.policies, would_deny=not passes)
    return Verdict(allowed=passes, origin=origin, setting=setting, policies=rules.policies, audits=rules.audits)


def _origin(sandbox: SandboxPolicy, allows: Iterable[AllowRule], direction: Direction, packet: Packet) -> Origin | None:
    """The first rule that allows it, or None."""
    peer = packet.source if direction is Direction.INGRESS else packet.destination
    return next((allow.origin for allow in allows if _matches(allow, sandbox.groups, peer, packet)), None)


def _setting(common: CommonRules, direction: Direction, packet: Packet) -> str | None:
    """The first built-in exception from isolation that lets it pass, or None."""
    return next((name for name, applies in _settings(common, direction, packet) if applies), None)


def _settings(common: CommonRules, direction: Direction, packet: Packet) -> Iterator[tuple[str, bool]]:
    icmp = packet.source.version == 4 and packet.protocol == Protocol.ICMP
    icmpv6 = packet.source.version == 6 and packet.protocol == Protocol.ICMPV6
    igmp = packet.source.version == 4 and packet.protocol == _IGMP
    mld = icmpv6 and packet.icmp_type in _MLD_TYPES
    discovery = icmpv6 and packet.icmp_type in _DISCOVERY_TYPES and packet.hop_limit == _DISCOVERY_HOP_LIMIT
    yield "neighbour-discovery", discovery
    yield "accept-icmp", common.accept_icmp and icmp
    yield "accept-icmpv6", common.accept_icmpv6 and icmpv6
    yield "accept-multicast-management", common.accept_multicast_management and (igmp or mld)
    if direction is Direction.INGRESS:
        yield "allow-src-prefix", _within(packet.source, common.allow_src_prefixes)
    else:
        yield "allow-dst-prefix", _within(packet.destination, common.allow_dst_prefixes)


def _within(address: Address, cidrs: tuple[Cidr, ...]) -> bool:
    return any(address in cidr for cidr in cidrs)


def _matches(allow: AllowRule, groups: Mapping[str, Group], peer: Address, packet: Packet) -> bool:
    if isinstance(allow, Allow):
        return _is_peer(allow.peers, groups, peer) and _is_port(allow.ports, packet)
    group = groups[allow.group]
    return isinstance(group, EndpointGroup) and any(_reaches(packet, endpoint) for endpoint in group.members)


def _is_peer(peers: AnyPeer | Peers, groups: Mapping[str, Group], address: Address) -> bool:
    if isinstance(peers, AnyPeer):
        return True
    return any(block.contains(address) for block in peers.blocks) or any(
        isinstance(group := groups[identity], AddressGroup) and address in group.members for identity in peers.groups
    )


def _is_port(ports: AnyPort | Ports, packet: Packet) -> bool:
    """Without ports a rule covers all IP protocols; with them, those that have ports (S45)."""
    return isinstance(ports, AnyPort) or any(entry.contains(packet.protocol, packet.port) for entry in ports.ranges)


def _reaches(packet: Packet, endpoint: Endpoint) -> bool:
    return (packet.destination, packet.protocol, packet.port) == (endpoint.address, endpoint.protocol, endpoint.port)
