"""Label selectors (meta/v1 LabelSelector). One that cannot be evaluated never allows more than it might mean (S13)."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NoReturn

from mnp_core.model.parsing.field import Field, Refusal, accepted, shown
from mnp_core.model.report import Reason
from mnp_core.model.selector import NOTHING, Operator, Requirement, Selector

_FIELDS = ("matchLabels", "matchExpressions")
_OPERATORS = {operator.value: operator for operator in Operator}
_WITH_VALUES = frozenset({Operator.IN, Operator.NOT_IN})


def parse_target_selector(field: Field) -> Selector:
    """Read a policy's podSelector: a requirement that cannot be evaluated matches. Missing selects everything."""
    effect = "it counts as matching, so the policy may select more pods than it should"
    found = (accepted(parse, part, effect) for parse, part in _parts(field))
    return Selector(requirements=tuple(requirement for requirement in found if requirement is not None))


def parse_peer_selector(field: Field) -> Selector:
    """Read a peer's selector: one that cannot be evaluated matches nothing. Missing selects everything."""
    effect = "it counts as not matching, so the peer matches nothing"
    found = [accepted(parse, part, effect) for parse, part in _parts(field)]
    requirements = tuple(requirement for requirement in found if requirement is not None)
    return Selector(requirements=requirements) if len(requirements) == len(found) else NOTHING


def _parts(field: Field) -> Iterator[tuple[Callable[[Field], Requirement], Field]]:
    """The narrowing fields of a selector, each with its parser."""
    if field.is_missing:
        return
    labels, expressions = map(field.child, _FIELDS)
    if not field.is_mapping or field.unknown_keys(_FIELDS):
        yield _no_selector, field
    if isinstance(labels.value, Mapping):
        yield from ((partial(_label, key), labels.entry(key)) for key in labels.value)
    elif not labels.is_missing:
        yield _no_labels, labels
    elements = expressions.elements()
    if elements is None:
        yield _no_expressions, expressions
    yield from ((_requirement, element) for element in elements or ())


def _label(key: object, field: Field) -> Requirement:
    if not isinstance(key, str) or not isinstance(field.value, str):
        problem = f"{shown(key)}: {field} is not a label, both must be text"
        raise _refusal(field, problem, "Write numbers and words such as true or yes in quotes")
    return Requirement(key=key, operator=Operator.IN, values=frozenset((field.value,)))


def _requirement(field: Field) -> Requirement:
    key, operator = field.child("key"), _operator(field)
    if unknown := field.unknown_keys({"key", "operator", "values"}):
        raise _refusal(field, f"a requirement has no field {unknown}", "Write key, operator and values")
    if not isinstance(key.value, str) or not key.value:
        raise _refusal(key, f"{key} is not the key of a label", "Write the key of a label")
    return Requirement(key=key.value, operator=operator, values=_values(field.child("values"), operator))


def _operator(field: Field) -> Operator:
    written = field.child("operator")
    operator = _OPERATORS.get(written.value) if isinstance(written.value, str) else None
    if operator is None:
        raise _refusal(written, f"{written} is not an operator", f"Write one of {', '.join(_OPERATORS)}")
    return operator


def _values(field: Field, operator: Operator) -> frozenset[str]:
    elements = field.elements()
    texts = [element.value for element in elements or () if isinstance(element.value, str)]
    if elements is None or len(texts) != len(elements):
        raise _refusal(field, "values must be a list of text", "Write a list, numbers in quotes")
    if operator in _WITH_VALUES and not texts:
        raise _refusal(field, f"{operator.value} needs values", "List the values, or use Exists or DoesNotExist")
    if operator not in _WITH_VALUES and texts:
        raise _refusal(field, f"{operator.value} takes no values", "Leave the values out, or use In or NotIn")
    return frozenset(texts)


def _no_selector(field: Field) -> NoReturn:
    unknown = field.unknown_keys(_FIELDS)
    problem = f"a label selector has no field {unknown}" if unknown else f"{field} is not a label selector"
    raise _refusal(field, problem, "Write matchLabels, matchExpressions or both")


def _no_labels(field: Field) -> NoReturn:
    raise _refusal(field, f"{field} is not a mapping of labels", "Write label keys and values")


def _no_expressions(field: Field) -> NoReturn:
    raise _refusal(field, f"{field} is not a list", "Write a list of requirements with key, operator and values")


def _refusal(field: Field, problem: str, remedy: str) -> Refusal:
    return field.refusal(Reason.INVALID_SELECTOR, problem, remedy)
