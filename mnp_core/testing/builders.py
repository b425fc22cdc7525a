"""Objects of the model in one line each, for tests.

Names are written ``namespace/name``, or ``name`` in the namespace ``default``; addresses, CIDRs and ports as a manifest
or a person would write them:

    web = pod("web", status("net-a", "net1", "10.0.0.1"), labels={"app": "web"}, ports=[serves("TCP/80", "http")])
    deny = policy("deny", networks=["net-a"], selector=selector(app="web"), ingress=[])
    some = policy("some", networks=["net-a"], ingress=[rule([pods(app="web"), block("10.0.0.0/8")], ["TCP/http"])])

Malformed input raises `ValueError`: these builders are for tests, parsers are in `mnp_core.model.parsing`.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from attrs import evolve

from mnp_core.model import (
    ANY_PEER,
    ANY_PORT,
    EVERYTHING,
    AddressRecord,
    Attachment,
    Block,
    Change,
    ContainerPort,
    KubernetesObject,
    NamedPort,
    Namespace,
    Network,
    NetworkStatus,
    ObjectName,
    ObjectRef,
    Operator,
    Packet,
    Pod,
    PodPeer,
    Policy,
    PolicyPeer,
    PolicyPort,
    PolicyRule,
    PortRange,
    Protocol,
    Requirement,
    Scope,
    Selector,
    parse_address,
)
from mnp_core.model.address import cidr_order

# --- names and selectors ----------------------------------------------------------------------------------------


def named(text: str) -> ObjectName:
    """``namespace/name``, or ``name`` in the namespace ``default``."""
    namespace, _, name = text.rpartition("/")
    return ObjectName(namespace or "default", name)


def requirement(key: str, operator: str, *values: str) -> Requirement:
    """A requirement with an operator as Kubernetes writes it."""
    return Requirement(key=key, operator=Operator(operator), values=frozenset(values))


def selector(*requirements: Requirement, **labels: str) -> Selector:
    """A selector of all these labels and requirements; of everything, if there are none."""
    wanted = (requirement(key, Operator.IN, value) for key, value in labels.items())
    return Selector(requirements=(*requirements, *wanted))


# --- objects ----------------------------------------------------------------------------------------------------


def namespace(name: str, **labels: str) -> Namespace:
    """A namespace with labels."""
    return Namespace(name=name, labels=labels)


def network(name: str, *cni_types: str) -> Network:
    """A network attachment definition; without types, one that holds no configuration."""
    return Network(name=named(name), cni_types=cni_types)


def status(network: str, interface: str, *addresses: str) -> NetworkStatus:
    """One entry of network-status."""
    return NetworkStatus(network=named(network), interface=interface, addresses=tuple(map(parse_address, addresses)))


def serves(port: str, name: str = "") -> ContainerPort:
    """A port that a container declares, for example ``serves("TCP/80", "http")``."""
    entry = policy_port(port)
    if not isinstance(entry, PortRange) or entry.first != entry.last:
        raise ValueError(f"{port!r} is not a protocol and one port, as in TCP/80")
    return ContainerPort(name=name, protocol=entry.protocol, port=entry.first)


def pod(
    name: str,
    *statuses: NetworkStatus,
    labels: Mapping[str, str] | None = None,
    ports: Iterable[ContainerPort] = (),
    phase: str = "Running",
    host_network: bool = False,
    node: str = "",
) -> Pod:
    """A pod; its default interface is eth0."""
    return Pod(
        name=named(name),
        labels=dict(labels or {}),
        node=node,
        phase=phase,
        host_network=host_network,
        ports=tuple(ports),
        statuses=statuses,
        default_interfaces=frozenset({"eth0"}),
    )


def attachment(pod: str, network: str, interface: str, *addresses: str, kind: str = "macvlan") -> Attachment:
    """An attachment without a pod around it."""
    return Attachment(
        pod=named(pod),
        network=named(network),
        interface=interface,
        addresses=tuple(map(parse_address, addresses)),
        kind=kind,
    )


# --- policies ---------------------------------------------------------------------------------------------------


def pods(*requirements: Requirement, namespace: str | None = "default", **labels: str) -> PodPeer:
    """A podSelector that stands alone, in a policy of this namespace."""
    return PodPeer(namespace=namespace, namespace_selector=None, pod_selector=selector(*requirements, **labels))


def pods_across(namespaces: Selector, among: Selector = EVERYTHING) -> PodPeer:
    """A namespaceSelector, with a podSelector or alone."""
    return PodPeer(namespace=None, namespace_selector=namespaces, pod_selector=among)


def block(cidr: str, *excepts: str) -> Block:
    """An ipBlock."""
    return Block(cidr=ip_network(cidr), excepts=tuple(sorted(map(ip_network, excepts), key=cidr_order)))


def policy_port(text: str) -> PolicyPort:
    """``TCP``, ``TCP/80``, ``TCP/80-90`` or ``TCP/http``."""
    protocol_name, slash, port = text.partition("/")
    protocol = Protocol[protocol_name]
    if not slash:
        return PortRange.every(protocol)
    first, dash, last = port.partition("-")
    if first.isdigit() and (last.isdigit() or not dash):
        return PortRange(protocol=protocol, first=int(first), last=int(last or first))
    return NamedPort(protocol=protocol, name=port)


def rule(peers: Iterable[PolicyPeer] | None = None, ports: Iterable[str] | None = None) -> PolicyRule:
    """A rule of a policy. None means any; an empty list matches nothing."""
    return PolicyRule(
        index=0,
        peers=ANY_PEER if peers is None else tuple(peers),
        ports=ANY_PORT if ports is None else tuple(map(policy_port, ports)),
    )


def policy(
    name: str,
    *,
    networks: Iterable[str] | None,
    selector: Selector = EVERYTHING,
    ingress: Iterable[PolicyRule] | None = None,
    egress: Iterable[PolicyRule] | None = None,
    kinds: Iterable[str] | None = None,
) -> Policy:
    """A policy. A direction that is None is not isolated; rules get their index from their place in the list."""
    return Policy(
        ref=ObjectRef("MultiNetworkPolicy", named(name)),
        scope=Scope(
            networks=None if networks is None else frozenset(map(named, networks)),
            kinds=None if kinds is None else frozenset(kinds),
        ),
        pod_selector=selector,
        ingress=_indexed(ingress),
        egress=_indexed(egress),
    )


def _indexed(rules: Iterable[PolicyRule] | None) -> tuple[PolicyRule, ...] | None:
    return None if rules is None else tuple(evolve(rule, index=index) for index, rule in enumerate(rules))


# --- changes ----------------------------------------------------------------------------------------------------


def reference(value: KubernetesObject) -> ObjectRef:
    """Kind and name of an object, as sources call it."""
    match value:
        case Policy() | AddressRecord():
            return value.ref
        case Namespace():
            return ObjectRef("Namespace", ObjectName("", value.name))
        case Network():
            return ObjectRef("NetworkAttachmentDefinition", value.name)
        case Pod():
            return ObjectRef("Pod", value.name)


def present(value: KubernetesObject) -> Change:
    """The object is there, like this."""
    return Change(ref=reference(value), object=value)


def absent(value: KubernetesObject) -> Change:
    """The object is gone."""
    return Change(ref=reference(value), object=None)


# --- packets ----------------------------------------------------------------------------------------------------


def packet(source: str, destination: str, port: str = "TCP/80") -> Packet:
    """The first packet of a flow to a port, as in ``TCP/80``; ``ICMP`` and ``ICMPV6`` are echo requests."""
    entry = policy_port(port)
    echo = {Protocol.ICMP: 8, Protocol.ICMPV6: 128}
    return Packet(
        source=parse_address(source),
        destination=parse_address(destination),
        protocol=entry.protocol,
        port=entry.first if isinstance(entry, PortRange) and not entry.is_every else None,
        icmp_type=echo.get(entry.protocol),
    )
