"""Compilation: from policies to the rules of one pod's interfaces.

Compilation has two stages. `compile_policy` does once per policy everything that does not depend on the selected pod:
peers become blocks and address groups, ports become merged ranges. `compile_sandbox` is then little more than putting
finished tuples together, so that a thousand policies on a thousand pods are no matter.

Equal input in any order gives an equal result in every process; renderers rely on it (S11).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import (
    OPEN,
    AddressGroup,
    Allow,
    AllowEndpoints,
    AllowRule,
    AnyPeer,
    AnyPort,
    Attachment,
    Audited,
    Block,
    CommonRules,
    Direction,
    DirectionPolicy,
    EndpointGroup,
    Group,
    GroupSpec,
    InterfacePolicy,
    Isolated,
    NamedPort,
    Origin,
    Peers,
    Pod,
    PodPeer,
    Policy,
    PolicyRule,
    PortRange,
    Ports,
    SandboxPolicy,
    Scope,
)
from mnp_core.model.block_list import block_list_id
from mnp_core.policy.ports import served_ranges

# --- once per policy --------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class NamedAllow:
    """An ingress rule with named ports: their numbers depend on the selected pod (S31)."""

    peers: AnyPeer | Peers
    ranges: tuple[PortRange, ...]
    named: frozenset[NamedPort]
    origin: Origin

    def resolved_on(self, pod: Pod) -> Allow:
        """The rule as it is on one pod; names that it does not serve match nothing."""
        ports = Ports(ranges=(*self.ranges, *served_ranges(pod, self.named)))
        return Allow(peers=self.peers, ports=ports, origin=self.origin)


@frozen(kw_only=True)
class CompiledDirection:
    """The rules of one direction of one policy in canonical order.

    Attributes:
        rules: As far as they are known without a pod.
        settled: The rules if they are the same on every pod, which most are; else None.
    """

    rules: tuple[AllowRule | NamedAllow, ...]
    settled: tuple[AllowRule, ...] | None = field(init=False)

    @settled.default
    def _settled(self) -> tuple[AllowRule, ...] | None:
        known = tuple(rule for rule in self.rules if not isinstance(rule, NamedAllow))
        return known if len(known) == len(self.rules) else None

    def resolved_on(self, pod: Pod) -> tuple[AllowRule, ...]:
        """The rules as they are on one pod."""
        if self.settled is not None:
            return self.settled
        return tuple(rule.resolved_on(pod) if isinstance(rule, NamedAllow) else rule for rule in self.rules)


@frozen(kw_only=True)
class CompiledPolicy:
    """A policy with everything worked out that does not depend on the pod.

    Attributes:
        policy: As it was.
        ingress: None if it does not isolate ingress.
        egress: None if it does not isolate egress.
        groups: The groups that its rules refer to, by identity.
        order: Sorts policies as their names do, but faster; those in audit mode come last, so that one of them never
            takes the budget of an enforced one.
    """

    policy: Policy
    ingress: CompiledDirection | None
    egress: CompiledDirection | None
    groups: Mapping[str, GroupSpec]
    order: tuple[bool, str, str, str]


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Work out everything about a policy that does not depend on the pods that it selects."""
    groups: dict[str, GroupSpec] = {}
    return CompiledPolicy(
        policy=policy,
        ingress=_compile_direction(policy, Direction.INGRESS, groups),
        egress=_compile_direction(policy, Direction.EGRESS, groups),
        groups=groups,
        order=(policy.is_audited, policy.ref.kind, policy.ref.name.namespace, policy.ref.name.name),
    )


def _compile_direction(policy: Policy, direction: Direction, groups: dict[str, GroupSpec]) -> CompiledDirection | None:
    rules = policy.rules(direction)
    if rules is None:
        return None
    compile_rule = _compile_ingress if direction is Direction.INGRESS else _compile_egress
    compiled: list[AllowRule | NamedAllow] = []
    for rule in sorted(rules, key=lambda rule: rule.index):
        origin = Origin(policy=policy.ref, direction=direction, rule=rule.index)
        compiled.extend(compile_rule(rule, policy.scope, origin, groups))
    return CompiledDirection(rules=tuple(compiled))


def _compile_ingress(
    rule: PolicyRule, scope: Scope, origin: Origin, groups: dict[str, GroupSpec]
) -> Iterator[Allow | NamedAllow]:
    peers = _compile_peers(rule, scope, origin, groups)
    ports, named = _compile_ports(rule)
    if isinstance(ports, Ports) and named:
        yield NamedAllow(peers=peers, ranges=ports.ranges, named=named, origin=origin)
    else:
        yield Allow(peers=peers, ports=ports, origin=origin)


def _compile_egress(
    rule: PolicyRule, scope: Scope, origin: Origin, groups: dict[str, GroupSpec]
) -> Iterator[AllowRule]:
    """Names are looked up on the peers, so each name with each peer is a group of endpoints of its own (S31).

    Of every rule something stays, even if it matches nothing: it can be seen and counted (S22).
    """
    ports, named = _compile_ports(rule)
    specs = [GroupSpec(scope=scope, peer=peer, port=port) for peer in _alternatives(rule) for port in named]
    if ports != Ports() or not specs:
        yield Allow(peers=_compile_peers(rule, scope, origin, groups), ports=ports, origin=origin)
    for identity in sorted(_enter(specs, groups)):
        yield AllowEndpoints(group=identity, origin=origin)


def _alternatives(rule: PolicyRule) -> tuple[PodPeer | Block | AnyPeer, ...]:
    return (rule.peers,) if isinstance(rule.peers, AnyPeer) else rule.peers


def _compile_peers(rule: PolicyRule, scope: Scope, origin: Origin, groups: dict[str, GroupSpec]) -> AnyPeer | Peers:
    if isinstance(rule.peers, AnyPeer):
        return rule.peers
    blocks = {peer for peer in rule.peers if isinstance(peer, Block)}
    specs = (GroupSpec(scope=scope, peer=peer) for peer in rule.peers if isinstance(peer, PodPeer))
    return Peers(blocks=blocks, groups=_enter(specs, groups), list_id=block_list_id(origin) if blocks else "")


def _enter(specs: Iterable[GroupSpec], groups: dict[str, GroupSpec]) -> tuple[str, ...]:
    """Add specs to the groups of a policy; return their identities."""
    entered = {spec.identity(): spec for spec in specs}
    groups.update(entered)
    return tuple(entered)


def _compile_ports(rule: PolicyRule) -> tuple[AnyPort | Ports, frozenset[NamedPort]]:
    """Numbers and names apart; a name adds nothing where every port of its protocol matches (S30)."""
    if isinstance(rule.ports, AnyPort):
        return rule.ports, frozenset()
    ports = Ports(ranges=(port for port in rule.ports if isinstance(port, PortRange)))
    named = (port for port in rule.ports if isinstance(port, NamedPort))
    return ports, frozenset(port for port in named if PortRange.every(port.protocol) not in ports.ranges)


# --- once per pod -----------------------------------------------------------------------------------------------


def selects(policy: Policy, pod: Pod) -> bool:
    """Say whether a policy selects a pod (S5, S10); which of its interfaces is a matter of the policy's scope."""
    return policy.namespace == pod.name.namespace and pod.is_target and policy.pod_selector.matches(pod.labels)


def compile_sandbox(
    pod: Pod,
    attachments: Iterable[Attachment],
    policies: Iterable[CompiledPolicy],
    groups: Mapping[str, Group],
    common: CommonRules,
) -> SandboxPolicy:
    """The rules of one pod's network namespace.

    Args:
        pod: The pod.
        attachments: Those that are enforced (`Claims.enforced`), in any order. Attachments that share an interface
            share its rules: the union over the policies for any of them.
        policies: Any policies, no two of one name, in any order; those that do not select the pod are passed over.
        groups: The groups that are known; one that is not here has no members.
        common: The node's settings.
    """
    selecting = sorted((c for c in policies if selects(c.policy, pod)), key=lambda compiled: compiled.order)
    by_interface: dict[str, list[Attachment]] = defaultdict(list)
    for attachment in attachments:
        by_interface[attachment.interface].append(attachment)
    covering = {
        interface: [c for c in selecting if any(map(c.policy.scope.may_cover, by_interface[interface]))]
        for interface in by_interface
    }
    return SandboxPolicy(
        pod=pod.name,
        interfaces=tuple(
            InterfacePolicy(
                interface=interface,
                networks=tuple(sorted({attachment.network for attachment in by_interface[interface]})),
                ingress=_union(pod, [(c.policy, c.ingress) for c in covered if c.ingress is not None]),
                egress=_union(pod, [(c.policy, c.egress) for c in covered if c.egress is not None]),
                path=by_interface[interface][0].path,  # discovery goes by the name of the interface
                carrier=by_interface[interface][0].carrier,
            )
            for interface, covered in covering.items()
        ),
        groups=_groups_of(chain.from_iterable(covering.values()), groups),
        common=common,
    )


def _union(pod: Pod, isolating: list[tuple[Policy, CompiledDirection]]) -> DirectionPolicy:
    """Open unless a policy isolates the direction; then the union of the allowed traffic (S11).

    Beside enforced policies those in audit mode could only allow more, so they deny nothing: they are named (S71).
    """
    if not isolating:
        return OPEN
    audits = tuple([policy.ref for policy, _ in isolating if policy.is_audited])
    if len(audits) == len(isolating):
        return Audited(allows=_allows(pod, [rules for _, rules in isolating]), policies=audits)
    enforced = [(policy.ref, rules) for policy, rules in isolating if not policy.is_audited]
    return Isolated(
        allows=_allows(pod, [rules for _, rules in enforced]),
        policies=tuple([ref for ref, _ in enforced]),
        audits=audits,
    )


def _allows(pod: Pod, rules: Iterable[CompiledDirection]) -> tuple[AllowRule, ...]:
    return tuple(chain.from_iterable([each.resolved_on(pod) for each in rules]))


def _groups_of(policies: Iterable[CompiledPolicy], known: Mapping[str, Group]) -> dict[str, Group]:
    """The groups that the policies refer to."""
    specs: dict[str, GroupSpec] = {}
    for compiled in policies:
        specs.update(compiled.groups)
    return {identity: known.get(identity) or _empty(identity, specs[identity]) for identity in specs}


def _empty(identity: str, spec: GroupSpec) -> Group:
    return AddressGroup(id=identity) if spec.port is None else EndpointGroup(id=identity)
