"""Values of the intermediate representation in one line each."""

from ipaddress import ip_address, ip_network

from attrs import evolve

from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    AddressGroup,
    Allow,
    AllowEndpoints,
    Block,
    CommonRules,
    Direction,
    Endpoint,
    EndpointGroup,
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
from mnp_core.model.rules import OPEN

POD = ObjectName("default", "pod")
GROUP, OTHER_GROUP = "a" * 20, "b" * 20
DENY = Isolated()


def origin(rule=0, *, name="policy", direction=Direction.INGRESS, kind="MultiNetworkPolicy"):
    return Origin(policy=ObjectRef(kind, ObjectName("default", name)), direction=direction, rule=rule)


def port(text):
    """``TCP/80``, ``UDP/5000-6000`` or ``SCTP``."""
    name, _, numbers = text.partition("/")
    first, _, last = numbers.partition("-")
    if not numbers:
        return PortRange.every(Protocol[name])
    return PortRange(protocol=Protocol[name], first=int(first), last=int(last or first))


def allow(peers=ANY_PEER, ports=ANY_PORT, *, source=None):
    """Peers and ports are any, or texts: ``10.0.0.0/8``, the identity of a group, ``TCP/80``."""
    if peers is not ANY_PEER:
        blocks = tuple(Block(cidr=ip_network(peer, strict=False)) for peer in peers if "/" in peer)
        peers = Peers(blocks=blocks, groups=tuple(peer for peer in peers if "/" not in peer))
    if ports is not ANY_PORT:
        ports = Ports(ranges=tuple(map(port, ports)))
    return Allow(peers=peers, ports=ports, origin=source or origin())


def allow_endpoints(group):
    return AllowEndpoints(group=group, origin=origin(direction=Direction.EGRESS))


def isolated(*allows):
    return Isolated(allows=allows)


def addresses(identity, *members):
    return AddressGroup(id=identity, members=frozenset(map(ip_address, members)))


def endpoints(identity, *members):
    """Members as ``(address, "TCP", 80)``."""
    made = (Endpoint(address=ip_address(a), protocol=Protocol[name], port=number) for a, name, number in members)
    return EndpointGroup(id=identity, members=frozenset(made))


def interface(name="net1", *, ingress=OPEN, egress=OPEN):
    return InterfacePolicy(interface=name, ingress=ingress, egress=egress)


def sandbox(*interfaces, groups=(), **settings):
    common = evolve(CommonRules(), **settings)
    return SandboxPolicy(pod=POD, interfaces=interfaces, groups={group.id: group for group in groups}, common=common)


def only(*, ingress=OPEN, egress=OPEN, groups=(), **settings):
    """A sandbox with nothing but ``net1``."""
    return sandbox(interface(ingress=ingress, egress=egress), groups=groups, **settings)
