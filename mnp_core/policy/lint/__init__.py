"""Doubts about valid objects: everything is enforced as written, and hardly as it was meant.

Pure: `lint` is a function of a `Snapshot`. What is wrong with single objects, or cannot be enforced, are reports
(`mnp_core.policy.validate`); `finding_of` puts them into the same form.
"""

from mnp_core.model import Policy
from mnp_core.policy.lint import egress, excepts, networks, selection, shadow
from mnp_core.policy.lint.place import as_written
from mnp_core.policy.lint.rule import Finding, Level, Rule
from mnp_core.policy.lint.rules import RULES, find_rules, finding_of
from mnp_core.policy.lint.snapshot import NetworkFacts, Snapshot

__all__ = [
    "RULES",
    "Finding",
    "Level",
    "NetworkFacts",
    "Rule",
    "Snapshot",
    "find_rules",
    "finding_of",
    "lint",
    "lint_policy",
]

_CHECKS = (selection.check, shadow.check, excepts.check, networks.check)


def lint(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Everything doubtful about the policies of a snapshot, sorted."""
    found = {finding for policy in snapshot.policies for finding in lint_policy(policy, snapshot)}
    found.update(as_written(finding, snapshot.written) for finding in egress.check(snapshot))
    return tuple(sorted(found))


def lint_policy(policy: Policy, snapshot: Snapshot) -> tuple[Finding, ...]:
    """Everything doubtful about one policy of a snapshot, sorted; not what it cuts off, which is a matter of pods."""
    found = {finding for check in _CHECKS for finding in check(policy, snapshot)}
    return tuple(sorted(as_written(finding, snapshot.written) for finding in found))
