"""Problems of objects, for their authors; no problem is silent."""

from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model.names import ObjectRef


class Severity(StrEnum):
    """Whether an object has to be corrected."""

    PROBLEM = "problem"  # something is not enforced as it looks
    HINT = "hint"  # everything is enforced; worth knowing, and never counted as a problem


class Reason(StrEnum):
    """Why something is reported: stable words for Events, metrics and scripts."""

    MALFORMED = "Malformed"  # a field has the wrong type or an impossible value
    INVALID_POLICY_FOR = "InvalidPolicyFor"  # S2
    INVALID_POLICY_TYPE = "InvalidPolicyType"  # S1
    INVALID_ENFORCEMENT = "InvalidEnforcement"  # S70
    INVALID_SELECTOR = "InvalidSelector"  # S13
    INVALID_PEER = "InvalidPeer"  # S24
    INVALID_BLOCK = "InvalidBlock"  # S23
    INVALID_PORT = "InvalidPort"  # S32
    UNSERVED_PORT = "UnservedPort"  # a named port that no pod concerned serves: it matches nothing (S31)
    NO_ADDRESS = "NoAddress"  # attachments that a selector matches have no known address: it matches nothing (S21)
    INVALID_STATUS = "InvalidNetworkStatus"  # S3
    INVALID_GUEST_ADDRESS = "InvalidGuestAddress"  # in an object that the setting guest-addresses names (S75)
    UNKNOWN_NETWORK = "UnknownNetwork"  # a network that has no definition (S4)
    UNCLAIMED_TYPE = "UnclaimedType"  # a CNI type that no loaded plugin claims (S4, S64)
    UNENFORCEABLE = "Unenforceable"  # an interface that cannot be enforced (S64)
    ENFORCEMENT_FAILED = "EnforcementFailed"  # a pod's rules could not be brought up to date, for now (S64)
    NOT_AUDITED = "NotAudited"  # a policy in audit mode, in a pod whose backend has no audit mode (S74)
    OVER_BUDGET = "OverBudget"  # a policy is too big, alone or with others: it isolates and allows nothing
    MISMATCH = "Mismatch"  # network-status and the kernel disagree (S64)
    UNCLAIMED_INTERFACE = "UnclaimedInterface"  # an interface in a pod that no entry of network-status claims (S64)
    STARTED_OPEN = "StartedOpen"  # a gate let a pod start before its rules were in force
    START_REFUSED = "StartRefused"  # a gate refused a pod's start: its rules could not be brought into force in time
    DUPLICATE_ADDRESS = "DuplicateAddress"  # two living pods have one address on one network (S5)
    DEFAULT_NETWORK = "DefaultNetwork"  # a policy names a network that is a pod's default one: nothing there (S3)
    NETWORK_ADMIN = "NetworkAdmin"  # a selected pod may change the rules in its own namespace (S49)
    DUPLICATE = "Duplicate"  # the same object twice
    IGNORED = "Ignored"  # an object that has no meaning here
    SPELLING = "Spelling"  # a hint: accepted, though Kubernetes spells it otherwise (S2, S30)
    IMPLIED_TYPE = "ImpliedPolicyType"  # a hint: a direction is isolated that the policy does not mention (S1)


OPEN_REASONS = (
    Reason.UNENFORCEABLE,
    Reason.UNCLAIMED_TYPE,
    Reason.UNCLAIMED_INTERFACE,
    Reason.ENFORCEMENT_FAILED,
    Reason.STARTED_OPEN,
)
"""Reasons by which an interface may be open although a policy selects it (docs/reports.md)."""

URGENT_REASONS = frozenset({*OPEN_REASONS, Reason.INVALID_STATUS})
"""Reasons told before others: an interface may be open, or was left out as its entry was refused."""


@frozen(kw_only=True, order=True)
class Report:
    """One finding about one field of one object.

    Attributes:
        about: The object at fault.
        field: Path of the field, as in ``spec.ingress[0].from[1].ipBlock.cidr``; empty for the whole object.
        reason: The kind of problem.
        message: The problem and its effect on enforcement, one sentence.
        remedy: The fix, one sentence.
        severity: A problem, or a hint.
        exposed: Whether an interface that a policy selects may be open because of it: alerts count these.
    """

    about: ObjectRef
    field: str
    reason: Reason
    message: str
    remedy: str
    severity: Severity = Severity.PROBLEM
    exposed: bool = False

    def __str__(self) -> str:
        place = f"{self.about}: {self.field}" if self.field else str(self.about)
        return f"{place}: {self.message}. {self.remedy}."

    def as_json(self) -> dict[str, str]:
        """For JSON: an element of ``reports``, without whether it exposes an interface, which a node alone knows."""
        return {
            "kind": self.about.kind,
            "name": str(self.about.name),
            "field": self.field,
            "reason": self.reason.value,
            "message": self.message,
            "remedy": self.remedy,
            "severity": self.severity.value,
        }
