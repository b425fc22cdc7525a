"""The status of a policy from its own problems and its count: a pure function.

Conditions as in Kubernetes' API conventions (sig-architecture, "Typical status properties").
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mnp_core.classes import frozen
from mnp_core.conditions.tally import PolicyCount
from mnp_core.model import Report, Severity

Status = dict[str, Any]
"""The field ``status`` as JSON."""

_SHOWN_PROBLEMS: Final = 16
_ACCEPTED, _ENFORCED = "Accepted", "Enforced"


@frozen(kw_only=True)
class PolicyFacts:
    """Facts about a policy that its object alone gives.

    Attributes:
        generation: ``metadata.generation``.
        reports: Its problems and hints.
        audited: Whether it denies nothing (S70).
    """

    generation: int
    reports: tuple[Report, ...]
    audited: bool = False


def policy_status(facts: PolicyFacts, count: PolicyCount, *, before: object, now: str) -> Status:
    """The status to be written.

    Args:
        facts: The policy.
        count: Its state on all nodes.
        before: The status as it is now, for the times of its conditions.
        now: RFC 3339, in UTC.
    """
    problems = [report for report in facts.reports if report.severity is Severity.PROBLEM]
    conditions = [
        _accepted(problems),
        _enforced(count, audited=facts.audited),
    ]
    return {
        "observedGeneration": facts.generation,
        "nodes": f"{count.enforced}/{concerned(count)}",
        "interfaces": count.interfaces,
        "conditions": [_timed(each, facts.generation, before, now) for each in conditions],
        "problems": [_problem(report) for report in problems[:_SHOWN_PROBLEMS]],
        "failures": [
            {"node": node, "reason": fault.reason, "message": fault.message} for node, fault in count.failures
        ],
    }


def same(one: object, other: object) -> bool:
    """Whether two statuses say the same, whatever their times."""
    return _timeless(one) == _timeless(other)


def verdict(status: object) -> object:
    """The part of a status that is written at once: the generation and its conditions, without counts."""
    if not isinstance(status, Mapping):
        return None
    conditions = [(each.get("type"), each.get("status"), each.get("reason")) for each in _conditions(status)]
    return status.get("observedGeneration"), conditions, status.get("problems")


def concerned(count: PolicyCount) -> int:
    """Nodes that have to enforce the policy, or may have to."""
    return count.enforced + count.pending + count.failed + count.silent + count.unseen


def _accepted(problems: Sequence[Report]) -> Status:
    if not problems:
        return {"type": _ACCEPTED, "status": "True", "reason": "Valid", "message": "it is enforced as it is written"}
    first, more = problems[0], len(problems) - 1
    place = f"{first.field}: {first.message}" if first.field else first.message
    rest = f"; {more} more" if more else ""
    return {"type": _ACCEPTED, "status": "False", "reason": first.reason.value, "message": f"{place}{rest}"}


def _enforced(count: PolicyCount, *, audited: bool) -> Status:
    status, reason = _verdict(count)
    if audited and status == "True":
        status, reason = "False", "Audited"
    message = f"{'audited' if audited else 'enforced'} {count.enforced} of {concerned(count)} nodes"
    details = [
        f"{number} {words}"
        for number, words in (
            (count.failed, "failed"),
            (count.pending, "pending"),
            (count.unseen, "not confirmed yet"),
            (count.silent, "silent"),
        )
        if number
    ]
    if reason == "NothingSelected":
        details = ["it selects no interface"]
    elif reason == "NoSummaries":
        message, details = "no node publishes a summary", ["set publish-status on the nodes"]
    told = ": ".join(filter(None, (message, ", ".join(details))))
    return {"type": _ENFORCED, "status": status, "reason": reason, "message": told}


def _verdict(count: PolicyCount) -> tuple[str, str]:
    if not count.nodes:
        return "Unknown", "NoSummaries"
    if count.failed:
        return "False", "Failed"
    if count.pending or count.unseen:
        return "False", "Pending"
    if count.silent:
        return "Unknown", "NodesSilent"
    return "True", ("Enforced" if count.enforced else "NothingSelected")


def _timed(condition: Status, generation: int, before: object, now: str) -> Status:
    """A condition with its time: that of the one before, if that has the same value."""
    since = now
    for each in _conditions(before):
        if each.get("type") == condition["type"] and each.get("status") == condition["status"]:
            since = each.get("lastTransitionTime") or now
    return {**condition, "observedGeneration": generation, "lastTransitionTime": since}


def _conditions(status: object) -> Iterable[Mapping[str, Any]]:
    found = status.get("conditions") if isinstance(status, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _problem(report: Report) -> Status:
    return {
        "field": report.field,
        "reason": report.reason.value,
        "message": report.message,
        "remedy": report.remedy,
    }


def _timeless(status: object) -> object:
    if not isinstance(status, Mapping):
        return None
    conditions = [
        {key: value for key, value in each.items() if key != "lastTransitionTime"} for each in _conditions(status)
    ]
    return {**status, "conditions": conditions}
