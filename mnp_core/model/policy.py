"""A network policy as written, without the parts that cannot be parsed (S1, S2, S6)."""

from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model.address import Block
from mnp_core.model.attachment import UNKNOWN_KIND, Attachment
from mnp_core.model.names import ObjectName, ObjectRef
from mnp_core.model.port import NamedPort, PortRange
from mnp_core.model.selector import Selector


class Direction(StrEnum):
    """The policy types, spelled as ``spec.policyTypes`` does."""

    INGRESS = "Ingress"
    EGRESS = "Egress"

    @property
    def opposite(self) -> "Direction":
        """The direction of replies."""
        return Direction.EGRESS if self is Direction.INGRESS else Direction.INGRESS


class Enforcement(StrEnum):
    """The annotation ``mnp.k8s.cni.cncf.io/enforcement`` of a policy (S70)."""

    ENFORCE = "enforce"
    AUDIT = "audit"  # denials are counted, and let pass


@frozen
class AnyPeer:
    """Every source or destination, of any family: ``from`` or ``to`` missing or empty (S12)."""


@frozen
class AnyPort:
    """Every protocol and port: ``ports`` missing or empty (S12)."""


ANY_PEER = AnyPeer()
ANY_PORT = AnyPort()


@frozen(kw_only=True)
class Scope:
    """Which attachments a policy is about: those that pass both conditions.

    Attributes:
        networks: The networks of policy-for; None means all (only kinds of plugins do that).
        kinds: Kinds of attachment; None means all.
    """

    networks: frozenset[ObjectName] | None
    kinds: frozenset[str] | None = None

    def covers(self, attachment: Attachment) -> bool:
        """Say whether the attachment is in scope."""
        return (self.networks is None or attachment.network in self.networks) and (
            self.kinds is None or attachment.kind in self.kinds
        )

    def may_cover(self, attachment: Attachment) -> bool:
        """Whether the attachment may be in scope: the question for a target.

        Of an unknown kind it could be every kind: deleting a definition must not open pods. A peer is
        asked with `covers`, for the same reason.
        """
        return (self.networks is None or attachment.network in self.networks) and (
            self.kinds is None or attachment.kind == UNKNOWN_KIND or attachment.kind in self.kinds
        )


@frozen(kw_only=True)
class PodPeer:
    """Pods by labels (S20): in one namespace, or in the namespaces that a selector finds.

    Attributes:
        namespace: The policy's own namespace, for a podSelector that stands alone.
        namespace_selector: Set if `namespace` is None, and only then.
        pod_selector: Among the pods of these namespaces; everything, if the namespaceSelector stands alone.
    """

    namespace: str | None
    namespace_selector: Selector | None
    pod_selector: Selector


PolicyPeer = PodPeer | Block
PolicyPort = PortRange | NamedPort


@frozen(kw_only=True)
class PolicyRule:
    """One element of ``spec.ingress`` or ``spec.egress``. An empty tuple matches nothing (S22, S32).

    Attributes:
        index: Position in the list as it was written.
        peers: Alternatives, or any.
        ports: Alternatives, or any.
    """

    index: int
    peers: tuple[PolicyPeer, ...] | AnyPeer
    ports: tuple[PolicyPort, ...] | AnyPort


@frozen(kw_only=True)
class Policy:
    """A MultiNetworkPolicy, or an object of a kind that a plugin registered.

    Attributes:
        ref: Kind, namespace and name.
        scope: The attachments that it is about.
        pod_selector: Among the pods of its own namespace (S10).
        ingress: The rules if it isolates ingress, else None; ``()`` isolates and allows nothing (S12).
        egress: Likewise.
        enforcement: Whether it is enforced, or only audited (S70).
    """

    ref: ObjectRef
    scope: Scope
    pod_selector: Selector
    ingress: tuple[PolicyRule, ...] | None
    egress: tuple[PolicyRule, ...] | None
    enforcement: Enforcement = Enforcement.ENFORCE

    @property
    def is_audited(self) -> bool:
        """Whether it is in audit mode."""
        return self.enforcement is Enforcement.AUDIT

    @property
    def namespace(self) -> str:
        """The namespace whose pods it selects."""
        return self.ref.name.namespace

    def rules(self, direction: Direction) -> tuple[PolicyRule, ...] | None:
        """The rules of one direction, None if the policy does not isolate it."""
        return self.ingress if direction is Direction.INGRESS else self.egress
