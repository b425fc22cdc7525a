"""The intermediate representation: the rules of each interface of one pod.

It knows nothing of labels, namespaces or objects other than the names in `Origin`, so a renderer sees all that it
needs and nothing more, and `evaluate` derives the verdict on a packet from it.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from operator import attrgetter

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model.address import Block, Cidr, Family, block_order
from mnp_core.model.attachment import LinkPath
from mnp_core.model.canonical import by_identity, in_order
from mnp_core.model.denied_log import DeniedLog
from mnp_core.model.group import Group
from mnp_core.model.names import ObjectName, ObjectRef
from mnp_core.model.policy import AnyPeer, AnyPort, Direction
from mnp_core.model.port import PortRange, merged_ranges


@frozen(kw_only=True, order=True)
class Origin:
    """Which rule of which policy something comes from; carried to counters, logs and `explain`."""

    policy: ObjectRef
    direction: Direction
    rule: int

    def __str__(self) -> str:
        return f"{self.policy} {self.direction.value.lower()}[{self.rule}]"


def _blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    return in_order(blocks, block_order)


def _identities(identities: Iterable[str]) -> tuple[str, ...]:
    return in_order(identities, str)


@frozen(kw_only=True)
class Peers:
    """Packets from (or to) any of these; none at all matches nothing (S22).

    Attributes:
        blocks: CIDRs with their excepts, sorted; see `mnp_core.model.address.address_ranges`.
        groups: Identities of address groups, sorted, found in `SandboxPolicy.groups`.
        list_id: Identity of the list of blocks, see `mnp_core.model.block_list`: within one sandbox, equal ones have
            equal blocks. Empty: the blocks have none, and a change of them is one of the rule.
    """

    blocks: tuple[Block, ...] = field(default=(), converter=_blocks)
    groups: tuple[str, ...] = field(default=(), converter=_identities)
    list_id: str = ""


@frozen(kw_only=True, cache_hash=True)
class Ports:
    """Packets to any of these destination ports; none at all matches nothing.

    Attributes:
        ranges: Sorted ranges that neither overlap nor touch, whatever the argument was.
    """

    ranges: tuple[PortRange, ...] = field(default=(), converter=merged_ranges)


@frozen(kw_only=True)
class Allow:
    """A packet that matches both is allowed, and so are the packets of the connection it opens (S40)."""

    peers: AnyPeer | Peers
    ports: AnyPort | Ports
    origin: Origin


@frozen(kw_only=True)
class AllowEndpoints:
    """Allowed are the members of an endpoint group: address, protocol and port together (S31, egress only)."""

    group: str
    origin: Origin


AllowRule = Allow | AllowEndpoints


@frozen
class Open:
    """No policy isolates this direction: everything passes."""


@frozen(kw_only=True)
class Isolated:
    """Only traffic that some rule allows passes (S11); `Isolated(allows=())` drops all.

    Attributes:
        allows: The union over all policies, in canonical order: order never matters for the verdict.
        policies: Who isolates this direction, sorted; for `explain`, not for rendering.
        audits: Policies in audit mode that select it, too, sorted: they have no effect here (S71). For `explain`.
    """

    allows: tuple[AllowRule, ...] = ()
    policies: tuple[ObjectRef, ...] = ()
    audits: tuple[ObjectRef, ...] = ()


@frozen(kw_only=True)
class Audited:
    """Only policies in audit mode isolate this direction: everything passes as if it were `Open` (S71).

    Packets that `Isolated` with these rules would deny are counted under the label ``would-deny``, and pass (S72).
    A renderer that refuses `Feature.AUDIT` treats it as `Open`.

    Attributes:
        allows: As in `Isolated`, of the policies in audit mode.
        policies: Who would isolate this direction, sorted.
    """

    allows: tuple[AllowRule, ...] = ()
    policies: tuple[ObjectRef, ...] = ()


DirectionPolicy = Open | Isolated | Audited
OPEN = Open()


@frozen(kw_only=True)
class InterfacePolicy:
    """Both directions of one interface.

    Attributes:
        interface: Its name, as network-status has it.
        networks: The attachments with this name, for `explain`.
        ingress: What it receives.
        egress: What it sends.
        path: How its packets travel. A renderer that carries `LinkPath.IP` alone writes rules by `interface`, always.
        carrier: Name of the link by which packets enter and leave the pod; empty: `interface`.
    """

    interface: str
    networks: tuple[ObjectName, ...] = ()
    ingress: DirectionPolicy = OPEN
    egress: DirectionPolicy = OPEN
    path: LinkPath = LinkPath.IP
    carrier: str = ""

    def of(self, direction: Direction) -> DirectionPolicy:
        """The policy of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress


class DenyAction(StrEnum):
    """The setting ``deny-action`` (S48)."""

    DROP = "drop"
    REJECT = "reject"


class EstablishedFlows(StrEnum):
    """The setting ``established-flows`` (S42)."""

    KEEP = "keep"
    RECHECK = "recheck"


class EarlyDrop(StrEnum):
    """The setting ``early-drop``: whether a backend that can drops denied packets before its own rules, by XDP.

    No packet is judged otherwise: backends without such a stage ignore it.
    """

    OFF = "off"
    NATIVE = "native"  # in the driver, where the device has a place for it
    GENERIC = "generic"  # on every device, at some cost for packets that pass


@frozen(kw_only=True)
class CustomRules:
    """Lines in the backend's own language, put before our rules in every isolated direction (section 7).

    They come from files of the node's operator, not from users of the cluster.

    Attributes:
        direction: Which packets they are asked for.
        family: Likewise.
        lines: All lines of the file, blank ones and comments too, so that an error can name the line.
        source: The file and the setting that names it, for messages.
    """

    direction: Direction
    family: Family
    lines: tuple[str, ...]
    source: str = ""

    @property
    def place(self) -> str:
        """Where the lines stand, for messages."""
        return self.source or f"custom rules for IPv{self.family} {self.direction.value.lower()}"


class Feature(StrEnum):
    """Abilities that a renderer may refuse; the value is the setting, or annotation, as users write it."""

    REJECT = "deny-action: reject"
    RECHECK = "established-flows: recheck"
    CUSTOM_RULES = "custom-v*-rule-file"
    ACCEPT_ICMP = "accept-icmp"
    ACCEPT_ICMPV6 = "accept-icmpv6"
    ACCEPT_MULTICAST_MANAGEMENT = "accept-multicast-management"
    ALLOW_SRC_PREFIXES = "allow-src-prefix"
    ALLOW_DST_PREFIXES = "allow-dst-prefix"
    LOG_DENIED = "log-denied"
    AUDIT = "mnp.k8s.cni.cncf.io/enforcement: audit"  # of a policy, not of the node: refused, it is reported (S74)


@frozen(kw_only=True)
class CommonRules:
    """Settings of the node that hold for every isolated direction (semantics section 7).

    Attributes:
        accept_icmp: All ICMP passes.
        accept_icmpv6: All ICMPv6 passes; neighbour and router discovery pass anyway (S43).
        accept_multicast_management: IGMP and MLD pass (S43).
        allow_src_prefixes: Packets from these sources pass, in ingress.
        allow_dst_prefixes: Packets to these destinations pass, in egress.
        custom: Lines in the backend's own language.
        deny_action: Treatment of denied packets.
        established_flows: Treatment of flows that a new policy no longer allows.
        denied_log: How denied packets are logged; None: they are not, and no rule is about it.
        early_drop: Where denied packets are dropped; the verdicts are the same.
        connection_table_size: Connections in use, in the table of a pod, where a backend tracks them itself.
    """

    accept_icmp: bool = False
    accept_icmpv6: bool = False
    accept_multicast_management: bool = False
    allow_src_prefixes: tuple[Cidr, ...] = ()
    allow_dst_prefixes: tuple[Cidr, ...] = ()
    custom: tuple[CustomRules, ...] = ()
    deny_action: DenyAction = DenyAction.DROP
    established_flows: EstablishedFlows = EstablishedFlows.KEEP
    denied_log: DeniedLog | None = None
    early_drop: EarlyDrop = EarlyDrop.OFF
    connection_table_size: int = 16384

    @property
    def features(self) -> frozenset[Feature]:
        """The features that these settings use."""
        used = {
            Feature.REJECT: self.deny_action is DenyAction.REJECT,
            Feature.RECHECK: self.established_flows is EstablishedFlows.RECHECK,
            Feature.CUSTOM_RULES: bool(self.custom),
            Feature.ACCEPT_ICMP: self.accept_icmp,
            Feature.ACCEPT_ICMPV6: self.accept_icmpv6,
            Feature.ACCEPT_MULTICAST_MANAGEMENT: self.accept_multicast_management,
            Feature.ALLOW_SRC_PREFIXES: bool(self.allow_src_prefixes),
            Feature.ALLOW_DST_PREFIXES: bool(self.allow_dst_prefixes),
            Feature.LOG_DENIED: self.denied_log is not None,
        }
        return frozenset(feature for feature, is_used in used.items() if is_used)


def _interfaces(interfaces: Iterable[InterfacePolicy]) -> tuple[InterfacePolicy, ...]:
    return in_order(interfaces, attrgetter("interface"))


def _groups(groups: Mapping[str, Group]) -> Mapping[str, Group]:
    return by_identity(groups)


@frozen(kw_only=True)
class SandboxPolicy:
    """Everything that is to be in force in one pod's network namespace.

    Attributes:
        pod: The pod.
        interfaces: One per enforced interface name, sorted by name; open ones are listed too, so that connection
            tracking is on before the first policy comes (S41).
        groups: The groups that the rules refer to, by identity, in the order of identities; and those of policies in
            audit mode, whether or not they have an effect.
        common: The node's settings.
    """

    pod: ObjectName
    interfaces: tuple[InterfacePolicy, ...] = field(converter=_interfaces)
    groups: Mapping[str, Group] = field(factory=dict, converter=_groups)
    common: CommonRules = CommonRules()

    @property
    def block_lists(self) -> dict[str, tuple[Block, ...]]:
        """The lists of blocks that have an identity, by it, in no particular order."""
        directions = (interface.of(direction) for interface in self.interfaces for direction in Direction)
        allows = (allow for each in directions if isinstance(each, Isolated | Audited) for allow in each.allows)
        peers = (allow.peers for allow in allows if isinstance(allow, Allow))
        return {each.list_id: each.blocks for each in peers if isinstance(each, Peers) and each.list_id}

    @property
    def audits(self) -> tuple[ObjectRef, ...]:
        """The policies in audit mode that have an effect: they alone isolate a direction; sorted."""
        directions = (interface.of(direction) for interface in self.interfaces for direction in Direction)
        return tuple(sorted({ref for each in directions if isinstance(each, Audited) for ref in each.policies}))
