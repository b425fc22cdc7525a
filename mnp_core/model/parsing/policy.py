"""Policies: MultiNetworkPolicy, and further kinds with the spec of ``networking.k8s.io/v1 NetworkPolicy`` (S1)."""

from collections.abc import Mapping

from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import annotation, open_object, parse_ref
from mnp_core.model.parsing.rule import parse_rules
from mnp_core.model.parsing.scope import POLICY_FOR, parse_networks
from mnp_core.model.parsing.selector import parse_target_selector
from mnp_core.model.policy import Direction, Policy, PolicyRule, Scope
from mnp_core.model.report import Reason, Report

_DIRECTIONS = {direction.value: direction for direction in Direction}
_SPEC_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")
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

    def rules(direction: Direction) -> tuple[PolicyRule, ...] | None:
        listed = spec.child(direction.value.lower())
        return parse_rules(listed, direction, namespace) if direction in directions else None

    policy = Policy(
        ref=ref,
        scope=_scope(root, namespace, scope_kinds, networks_required=networks_required),
        pod_selector=parse_target_selector(spec.child("podSelector")),
        ingress=rules(Direction.INGRESS),
        egress=rules(Direction.EGRESS),
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


def _directions(spec: Field) -> frozenset[Direction]:
    """The directions that the policy isolates (NetworkPolicySpec.policyTypes)."""
    types = spec.child("policyTypes")
    elements = types.elements()
    if elements is None:
        problem = f"{types} is not a list: it is ignored, the types follow from the rules"
        types.report(Reason.INVALID_POLICY_TYPE, problem, _TYPES_REMEDY)
    if not elements:
        has_egress = spec.child("egress").value not in (None, [])
        return frozenset(Direction) if has_egress else frozenset({Direction.INGRESS})
    found = frozenset(direction for element in elements if (direction := _direction(element)) is not None)
    if not found:
        types.report(Reason.INVALID_POLICY_TYPE, "no type is valid: the policy isolates nothing", _TYPES_REMEDY)
    return found


def _direction(field: Field) -> Direction | None:
    direction = _DIRECTIONS.get(field.value) if isinstance(field.value, str) else None
    if direction is None:
        field.report(Reason.INVALID_POLICY_TYPE, f"{field} is not a policy type: it is ignored", _TYPES_REMEDY)
    return direction
