"""Policies: MultiNetworkPolicy, and further kinds with the spec of ``networking.k8s.io/v1 NetworkPolicy`` (S1)."""

from collections.abc import Mapping

from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import annotation, open_object, parse_ref
from mnp_core.model.parsing.rule import parse_rules
from mnp_core.model.parsing.scope import POLICY_FOR, parse_networks
from mnp_core.model.parsing.selector import parse_target_selector
from mnp_core.model.policy import Direction, Enforcement, Policy, Scope
from mnp_core.model.report import Reason, Report

_DIRECTIONS = {direction.value: direction for direction in Direction}
_SPEC_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")
ENFORCEMENT = "mnp.k8s.cni.cncf.io/enforcement"
"""The annotation that says whether a policy is enforced (S70)."""

_ENFORCEMENTS = {enforcement.value: enforcement for enforcement in Enforcement}
_TYPES_REMEDY = f"List {' and '.join(_DIRECTIONS)}, or leave policyTypes out"


def parse_policy(
    raw: Mapping[str, object],
    *,
    kind: str = "MultiNetworkPolicy",
    scope_kinds: frozenset[str] | None = None,
    networks_required: bool = True,
) -> tuple[Policy, tuple[Report, ...]]:
    """Read a policy.

    Args:
        raw: The decoded object.
        kind: Its kind.
        scope_kinds: The kinds of attachment that the policy is about; None for all.
        networks_required: Whether the policy selects nothing without the annotation policy-for, or all networks.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, kind)
    root = open_object(raw, ref)
    spec = _spec(root)
    directions = _directions(spec)
    namespace = ref.name.namespace

    # Read in any case, so that problems in rules of a direction that is not isolated are reported, too.
    rules = {
        direction: parse_rules(spec.child(direction.value.lower()), direction, namespace) for direction in Direction
    }
    policy = Policy(
        ref=ref,
        scope=_scope(root, namespace, scope_kinds, networks_required=networks_required),
        pod_selector=parse_target_selector(spec.child("podSelector")),
        ingress=rules[Direction.INGRESS] if Direction.INGRESS in directions else None,
        egress=rules[Direction.EGRESS] if Direction.EGRESS in directions else None,
        enforcement=_enforcement(annotation(root, ENFORCEMENT)),
    )
    return policy, root.findings.reports()


def _spec(root: Field) -> Field:
    spec = root.child("spec")
    if not spec.is_mapping:
        problem = "there is no spec" if spec.is_missing else f"{spec} is not the spec of a policy"
        remedy = "Write podSelector, policyTypes, ingress and egress"
        spec.report(Reason.MALFORMED, f"{problem}: every pod of the namespace is isolated", remedy)
    if unknown := spec.unknown_keys(_SPEC_FIELDS):
        problem = f"a policy has no field {unknown}: it is ignored"
        spec.report(Reason.MALFORMED, problem, f"There are {', '.join(_SPEC_FIELDS)}")
    return spec


def _scope(root: Field, namespace: str, kinds: frozenset[str] | None, *, networks_required: bool) -> Scope:
    policy_for = annotation(root, POLICY_FOR)
    if policy_for.is_missing and not networks_required:
        return Scope(networks=None, kinds=kinds)
    return Scope(networks=parse_networks(policy_for, namespace), kinds=kinds)


def _enforcement(field: Field) -> Enforcement:
    """Audit mode if the annotation says exactly that: a mistake never opens (S70)."""
    if field.is_missing:
        return Enforcement.ENFORCE
    found = _ENFORCEMENTS.get(field.value) if isinstance(field.value, str) else None
    if found is None:
        problem = f"{field} is neither {' nor '.join(_ENFORCEMENTS)}: the policy is enforced"
        remedy = f"Write {Enforcement.AUDIT} to try the policy, or remove the annotation"
        field.report(Reason.INVALID_ENFORCEMENT, problem, remedy)
    return found or Enforcement.ENFORCE


def _directions(spec: Field) -> frozenset[Direction]:
    """The directions that the policy isolates (NetworkPolicySpec.policyTypes)."""
    types = spec.child("policyTypes")
    elements = types.elements()
    if elements is None:
        problem = f"{types} is not a list: it is ignored, the types follow from the rules"
        types.report(Reason.INVALID_POLICY_TYPE, problem, _TYPES_REMEDY)
    if not elements:
        return _implied(spec)
    found = frozenset(direction for element in elements if (direction := _direction(element)) is not None)
    if not found:
        problem = "no type is valid: the list counts as missing, the types follow from the rules"
        types.report(Reason.INVALID_POLICY_TYPE, problem, _TYPES_REMEDY)
    return found or _implied(spec)


def _implied(spec: Field) -> frozenset[Direction]:
    """The directions of a policy without policyTypes: ingress always, egress if there are egress rules."""
    ingress, egress = spec.child("ingress").value, spec.child("egress").value
    if egress in (None, []):
        return frozenset({Direction.INGRESS})
    if isinstance(egress, list) and ingress in (None, []):
        spec.child("policyTypes").hint(
            Reason.IMPLIED_TYPE,
            "a policy with egress rules and no valid policyTypes isolates ingress, too: no ingress is allowed",
            "Write policyTypes: [Egress] if only egress is meant, else policyTypes: [Ingress, Egress]",
        )
    return frozenset(Direction)


def _direction(field: Field) -> Direction | None:
    direction = _DIRECTIONS.get(field.value) if isinstance(field.value, str) else None
    if direction is None:
        field.report(Reason.INVALID_POLICY_TYPE, f"{field} is not a policy type: it is ignored", _TYPES_REMEDY)
    return direction
