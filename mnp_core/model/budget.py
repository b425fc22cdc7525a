"""How much a policy, the policies of a namespace, and the rules of one pod may take.

A policy costs memory and time on every node. These limits keep that cost with its tenant; beyond them a policy
isolates the pods that it selects, allows nothing, and is reported.
"""

from attrs import asdict, evolve

from mnp_core.classes import frozen
from mnp_core.model.address import Block
from mnp_core.model.names import ObjectRef
from mnp_core.model.policy import Direction, PodPeer, Policy, PolicyRule
from mnp_core.model.report import Reason, Report

UNLIMITED = 2**63
_ORDINARY_REQUIREMENTS = 8


@frozen(kw_only=True)
class Size:
    """An amount of each resource: used, or allowed.

    Attributes:
        rules: Elements of ``ingress`` and ``egress``, equal ones once.
        selectors: Different peers by labels; each requirement of one beyond its eighth counts as a selector more.
        blocks: CIDRs, excepts included.
        ports: Elements of ``ports``.
        members: Addresses in the groups behind the selectors, all groups together.
        bytes: Of the object as the API server sends it.
    """

    rules: int = 0
    selectors: int = 0
    blocks: int = 0
    ports: int = 0
    members: int = 0
    bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(
            rules=self.rules + other.rules,
            selectors=self.selectors + other.selectors,
            blocks=self.blocks + other.blocks,
            ports=self.ports + other.ports,
            members=self.members + other.members,
            bytes=self.bytes + other.bytes,
        )

    def __sub__(self, other: "Size") -> "Size":
        return Size(
            rules=self.rules - other.rules,
            selectors=self.selectors - other.selectors,
            blocks=self.blocks - other.blocks,
            ports=self.ports - other.ports,
            members=self.members - other.members,
            bytes=self.bytes - other.bytes,
        )

    def on(self, number: int) -> "Size":
        """The size on so many interfaces, without selectors: a shared group counts once a pod."""
        if number == 1 and not self.selectors:
            return self
        return Size(
            rules=self.rules * number,
            blocks=self.blocks * number,
            ports=self.ports * number,
            members=self.members,
            bytes=self.bytes,
        )

    def fits(self, most: "Size") -> bool:
        """Whether it is within a limit."""
        return (
            self.rules <= most.rules
            and self.selectors <= most.selectors
            and self.blocks <= most.blocks
            and self.ports <= most.ports
            and self.members <= most.members
            and self.bytes <= most.bytes
        )

    def excess(self, most: "Size") -> str:
        """The exceeded limits, for a message: ``400000 rules (at most 1000)``; empty if none."""
        limits = asdict(most)
        return ", ".join(f"{n} {what} (at most {limits[what]})" for what, n in asdict(self).items() if n > limits[what])


@frozen(kw_only=True)
class Budgets:
    """The settings ``budget-per-policy``, ``budget-per-namespace`` and ``budget-per-pod``.

    Attributes:
        policy: Of each policy.
        namespace: Of all policies of a namespace together; members only of those that select pods of this node.
        pod: Of all policies of one pod together, on each of its interfaces.
    """

    policy: Size = Size(rules=1000, selectors=500, blocks=5000, ports=5000, members=50_000, bytes=512 * 1024)
    namespace: Size = Size(rules=10_000, selectors=2000, blocks=250_000, ports=50_000, members=100_000, bytes=UNLIMITED)
    pod: Size = Size(rules=10_000, selectors=1000, blocks=100_000, ports=50_000, members=UNLIMITED, bytes=UNLIMITED)


def size_of(policy: Policy) -> Size:
    """Resources of a policy by itself, without members (they depend on the cluster) and bytes (on its text)."""
    rules = [rule for direction in Direction for rule in policy.rules(direction) or ()]
    peers = [peer for rule in rules if isinstance(rule.peers, tuple) for peer in rule.peers]
    return Size(
        rules=len(rules),
        selectors=sum(map(_weight, {peer for peer in peers if isinstance(peer, PodPeer)})),
        blocks=sum(1 + len(peer.excepts) for peer in peers if isinstance(peer, Block)),
        ports=sum(len(rule.ports) for rule in rules if isinstance(rule.ports, tuple)),
    )


def _weight(peer: PodPeer) -> int:
    """One for a selector as people write them; each requirement beyond that takes time for every pod of the cluster."""
    namespaces = peer.namespace_selector.requirements if peer.namespace_selector is not None else ()
    return 1 + max(0, len(peer.pod_selector.requirements) + len(namespaces) - _ORDINARY_REQUIREMENTS)


def closed(policy: Policy) -> Policy:
    """The policy without its rules: same isolation, nothing allowed."""
    return evolve(policy, ingress=_none_of(policy.ingress), egress=_none_of(policy.egress))


def _none_of(rules: tuple[PolicyRule, ...] | None) -> tuple[PolicyRule, ...] | None:
    return None if rules is None else ()


def over_budget(ref: ObjectRef, wrong: str, setting: str) -> Report:
    """The report of a policy that is over budget."""
    return Report(
        about=ref,
        field="spec",
        reason=Reason.OVER_BUDGET,
        message=f"{wrong}: it isolates the pods that it selects and allows nothing",
        remedy=f"Write fewer, or ask the operator of the node to raise the setting {setting}",
    )
