"""Fields and words of findings."""

import re
from collections.abc import Callable, Iterable, Mapping

from attrs import evolve

from mnp_core.model import Direction, ObjectRef, Policy, PolicyRule
from mnp_core.model.parsing.field import Field, Findings, accepted
from mnp_core.model.parsing.peer import parse_peer
from mnp_core.model.parsing.port import parse_policy_port
from mnp_core.policy.lint.rule import Finding, Rule

POLICY_FOR = "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]"
PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}

_SHOWN = 3
_ELEMENT = re.compile(r"spec\.(ingress|egress)\[(\d+)\]\.(from|to|ports)\[(\d+)\](.*)")


def found(rule: Rule, policy: Policy, field: str, message: str) -> Finding:
    """A finding about a policy, with the usual remedy."""
    return Finding(about=policy.ref, field=field, rule=rule, message=message, remedy=rule.remedy, level=rule.level)


def rule_field(direction: Direction, rule: PolicyRule) -> str:
    """The path of a rule."""
    return f"spec.{direction.value.lower()}[{rule.index}]"


def listed(names: Iterable[object]) -> str:
    """Some names, of many the first ones."""
    texts = sorted(map(str, names))
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def as_written(finding: Finding, written: Mapping[ObjectRef, Mapping[str, object]]) -> Finding:
    """The finding with the position of an element in the object: malformed ones before it are no part of the policy."""
    match = _ELEMENT.fullmatch(finding.field)
    if match is None or finding.about not in written:
        return finding
    direction, rule, key, position, rest = match.groups()
    top = Field(written[finding.about], "", Findings(finding.about))
    rules = top.child("spec").child(direction).elements() or []
    if int(rule) >= len(rules):
        return finding
    parse: Callable[[Field], object] = parse_policy_port if key == "ports" else _peer
    elements = rules[int(rule)].child(key).elements() or []
    valid = [number for number, element in enumerate(elements) if accepted(parse, element, "") is not None]
    if int(position) >= len(valid):
        return finding
    return evolve(finding, field=f"spec.{direction}[{rule}].{key}[{valid[int(position)]}]{rest}")


def _peer(field: Field) -> object:
    return parse_peer(field, "")
