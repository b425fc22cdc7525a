"""The table of rules: of reports about objects, and of doubts about valid ones.

An id is never given to another rule. `docs/lint.md` shows the table.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from mnp_core.model import Reason, Report, Severity
from mnp_core.policy.lint.rule import Finding, Level, Rule


def _warning(number: int, name: str, meaning: str, remedy: str) -> Rule:
    return Rule(id=f"MNP{number}", name=name, level=Level.WARNING, meaning=meaning, remedy=remedy)


def _hint(number: int, name: str, meaning: str, remedy: str) -> Rule:
    return Rule(id=f"MNP{number}", name=name, level=Level.HINT, meaning=meaning, remedy=remedy)


SELECTS_NOTHING = _warning(
    101,
    "SelectsNothing",
    "A policy selects no interface: no pod matches, or none that does is on its networks",
    "Fix podSelector, policy-for or the labels of the pods",
)
PEER_MATCHES_NOBODY = _warning(
    102,
    "PeerMatchesNobody",
    "The selectors of a peer match no pod, or none with an interface on the networks of policy-for (S21, S22)",
    "Fix the selectors, or attach the pods to a network of the policy",
)
NETWORK_ON_NO_POD = _warning(
    103,
    "NetworkOnNoPod",
    "A network of policy-for is attached to no pod",
    "Name the network that the pods are attached to, or leave it out",
)
SHADOWED_RULE = _warning(
    111,
    "ShadowedRule",
    "Another rule of the policy allows everything that a rule allows",
    "Remove the rule, or narrow the wider one",
)
SHADOWED_PEER = _warning(
    112,
    "ShadowedPeer",
    "Another peer of the rule contains a peer",
    "Remove the peer, or narrow the wider one",
)
SHADOWED_PORT = _hint(
    113,
    "ShadowedPort",
    "Another entry of ports contains an entry (S30)",
    "Remove the entry, or narrow the wider one",
)
EXCEPT_WITHOUT_EFFECT = _warning(
    114,
    "ExceptWithoutEffect",
    "Other peers, rules or policies allow every address of an except (S23)",
    "Write the except into the wider blocks as well, or remove it",
)
OVERLAPPING_NETWORKS = _warning(
    121,
    "OverlappingNetworks",
    "Two networks of a policy have overlapping addresses, and a peer stands for its addresses on both (S21)",
    "Write one policy for each network, or give the networks different subnets",
)
DNS_CUT_OFF = _warning(
    131,
    "DnsCutOff",
    "Egress rules deny a name server that lies behind the interface",
    "Allow egress to the name server on UDP and TCP port 53",
)
GATEWAY_CUT_OFF = _hint(
    132,
    "GatewayCutOff",
    "Egress rules allow no address behind the gateway of a network's route",
    "Allow egress to the destinations behind the gateway, or remove the route",
)
IGNORE_WITHOUT_REASON = _warning(
    191,
    "IgnoreWithoutReason",
    "A comment `mnp: ignore` gives no reason",
    "Write the reason behind the bracket: # mnp: ignore[Rule] reason",
)
USELESS_IGNORE = _warning(
    192,
    "UselessIgnore",
    "A comment `mnp: ignore` has no effect: it names no rule, or one without a finding there",
    "Remove the comment, or correct the rule",
)

DOUBTS = (
    SELECTS_NOTHING,
    PEER_MATCHES_NOBODY,
    NETWORK_ON_NO_POD,
    SHADOWED_RULE,
    SHADOWED_PEER,
    SHADOWED_PORT,
    EXCEPT_WITHOUT_EFFECT,
    OVERLAPPING_NETWORKS,
    DNS_CUT_OFF,
    GATEWAY_CUT_OFF,
    IGNORE_WITHOUT_REASON,
    USELESS_IGNORE,
)


def _reported(number: int, reason: Reason, meaning: str, remedy: str, level: Level = Level.ERROR) -> Rule:
    return Rule(id=f"MNP{number:03}", name=reason.value, level=level, meaning=meaning, remedy=remedy)


_BY_REASON = {
    rule.name: rule
    for rule in (
        _reported(1, Reason.MALFORMED, "A field has a wrong type or value", "Fix the field"),
        _reported(2, Reason.INVALID_POLICY_FOR, "policy-for is empty or malformed (S2)", "List networks with commas"),
        _reported(3, Reason.INVALID_POLICY_TYPE, "A policy type is unknown (S1)", "Write Ingress or Egress"),
        _reported(4, Reason.INVALID_SELECTOR, "A requirement cannot be evaluated (S13)", "Fix operator and values"),
        _reported(5, Reason.INVALID_PEER, "A peer is empty, or mixes ipBlock with selectors (S24)", "Write one kind"),
        _reported(6, Reason.INVALID_BLOCK, "A CIDR is invalid, or an except lies outside its cidr (S23)", "Fix it"),
        _reported(7, Reason.INVALID_PORT, "A port or endPort is out of range (S32)", "Write 1 to 65535"),
        _reported(8, Reason.UNSERVED_PORT, "No pod concerned serves a named port (S31)", "Use a container's name"),
        _reported(9, Reason.NO_ADDRESS, "The pods of a peer have no known address (S21)", "Write an ipBlock"),
        _reported(10, Reason.INVALID_STATUS, "network-status is implausible (S3)", "Leave it to the meta-plugin"),
        _reported(11, Reason.UNKNOWN_NETWORK, "A network has no definition (S4)", "Create it, or fix the name"),
        _reported(12, Reason.UNCLAIMED_TYPE, "A network's CNI type is not enforced (S4)", "Install its plugin"),
        _reported(13, Reason.UNENFORCEABLE, "An isolated interface cannot be enforced (S64)", "Use another kind"),
        _reported(14, Reason.OVER_BUDGET, "A policy is too big, alone or with others", "Write fewer rules"),
        _reported(15, Reason.DUPLICATE_ADDRESS, "Two pods have one address on one network (S5)", "Find the owner"),
        _reported(16, Reason.DEFAULT_NETWORK, "A policy names a pod's default network (S3)", "Attach it as another"),
        _reported(17, Reason.DUPLICATE, "The same object twice", "Remove one"),
        _reported(18, Reason.IGNORED, "The object has no meaning here", "Remove it, or read why"),
        _reported(19, Reason.NETWORK_ADMIN, "A selected pod has NET_ADMIN (S49)", "Drop the capability", Level.HINT),
        _reported(20, Reason.SPELLING, "A value is spelled otherwise in Kubernetes", "Spell it so", Level.HINT),
        _reported(21, Reason.IMPLIED_TYPE, "Egress rules alone isolate ingress (S1)", "Write policyTypes", Level.HINT),
        _reported(
            23, Reason.INVALID_ENFORCEMENT, "The annotation enforcement is unknown (S70)", "Write audit or enforce"
        ),
        _reported(22, Reason.MISMATCH, "Descriptions of an attachment disagree (S64)", "Find the change of the pod"),
        _reported(24, Reason.INVALID_GUEST_ADDRESS, "An address of a guest is implausible (S75)", "Find its writer"),
    )
}

ON_NODES = frozenset(
    {
        Reason.ENFORCEMENT_FAILED,
        Reason.NOT_AUDITED,
        Reason.UNCLAIMED_INTERFACE,
        Reason.STARTED_OPEN,
        Reason.START_REFUSED,
    }
)
"""Reasons that only a node can have."""

RULES: Mapping[str, Rule] = MappingProxyType({rule.id: rule for rule in (*_BY_REASON.values(), *DOUBTS)})
"""All rules by id."""


def finding_of(report: Report) -> Finding:
    """A report as a finding."""
    rule = _BY_REASON.get(report.reason.value, _BY_REASON[Reason.MALFORMED.value])
    return Finding(
        about=report.about,
        field=report.field,
        rule=rule,
        message=report.message,
        remedy=report.remedy,
        level=Level.ERROR if report.severity is Severity.PROBLEM else Level.HINT,
    )


def find_rules(word: str, rules: Iterable[Rule] = tuple(RULES.values())) -> frozenset[Rule]:
    """The rules that a word names: an id, the beginning of ids (``MNP1``), or a name in any case or with hyphens."""
    plain = word.strip().replace("-", "").replace("_", "").casefold()
    if not plain:
        return frozenset()
    is_prefix = plain.startswith("mnp")
    return frozenset(
        rule for rule in rules if plain == rule.name.casefold() or (is_prefix and rule.id.casefold().startswith(plain))
    )
