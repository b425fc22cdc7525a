"""``metadata`` of all objects (meta/v1 ObjectMeta)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeGuard

from mnp_core.errors import InputError
from mnp_core.model.names import ObjectName, ObjectRef
from mnp_core.model.parsing.field import Field, Findings, shown
from mnp_core.model.parsing.names import is_namespace_name, is_object_name
from mnp_core.model.parsing.shared import shared_labels, shared_text
from mnp_core.model.report import Reason

DEFAULT_NAMESPACE = "default"
"""Where an object is that names no namespace, as kubectl has it."""


_TEXT = {str}


def parse_ref(raw: object, kind: str, *, namespaced: bool = True) -> ObjectRef:
    """Read how an object is called.

    Args:
        raw: The decoded object.
        kind: Its kind.
        namespaced: Whether objects of this kind are in namespaces.

    Raises:
        InputError: It has no usable name, or is in a namespace that cannot be.
    """
    metadata = raw.get("metadata") if isinstance(raw, Mapping) else None
    named = metadata if isinstance(metadata, Mapping) else {}
    name, namespace = named.get("name"), (named.get("namespace") or DEFAULT_NAMESPACE) if namespaced else ""
    is_text = type(name) is str and type(namespace) is str  # anything else may have no hash
    return (checked_ref if is_text else checked_ref.__wrapped__)(kind, namespace, name)


@lru_cache(64)  # an object's name is read more than once
def checked_ref(kind: str, namespace: object, name: object) -> ObjectRef:
    """The reference; an empty namespace is that of kinds without one.

    Raises:
        InputError: One of them is no name.
    """
    is_name = is_namespace_name if kind == "Namespace" else is_object_name
    checked = _name(name, is_name, kind, "metadata.name")
    space = _name(namespace, is_namespace_name, kind, "metadata.namespace") if namespace != "" else ""
    return ObjectRef(kind, ObjectName(shared_text(space), checked))


def _name(value: object, is_name: Callable[[object], bool], kind: str, path: str) -> str:
    if isinstance(value, str) and is_name(value):
        return value
    wrong = "is missing" if value is None else f"{shown(value)} is not a name"
    remedy = "give the object a name of lower case letters, digits, '-' and '.', such as web-1"
    raise InputError(f"{wrong}: {remedy}", where=kind, field=path)


def open_object(raw: object, ref: ObjectRef) -> Field:
    """The object as a field to read further from."""
    return Field(raw, "", Findings(ref))


def read_labels(root: Field) -> Mapping[str, str]:
    """Read ``metadata.labels``; labels that are not text are reported and left out."""
    field = root.child("metadata").child("labels")
    if type(field.value) is dict and _are_texts(field.value):
        return shared_labels(field.value)
    if not isinstance(field.value, Mapping):
        if not field.is_missing:
            field.report(Reason.MALFORMED, f"{field} is not a mapping: there are no labels", "Write keys and values")
        return {}
    labels = {
        shared_text(key): shared_text(value)
        for key, value in field.value.items()
        if isinstance(key, str) and isinstance(value, str)
    }
    if len(labels) != len(field.value):
        _report_labels(field, field.value)
    return shared_labels(labels)


def _are_texts(labels: dict[object, object]) -> TypeGuard[dict[str, str]]:
    """Whether these are ordinary texts, and nothing has to be reported."""
    return set(map(type, labels)) <= _TEXT and set(map(type, labels.values())) <= _TEXT


def _report_labels(field: Field, labels: Mapping[object, object]) -> None:
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            field.entry(key).report(
                Reason.MALFORMED,
                f"the label {shown(key)}: {shown(value)} does not count, both must be text",
                "Write numbers and words such as true or yes in quotes",
            )


def read_annotations(metadata: Field) -> Field:
    """``metadata.annotations``, to take entries from; reported if it is no mapping."""
    annotations = metadata.child("annotations")
    if not annotations.is_missing and not annotations.is_mapping:
        annotations.report(Reason.MALFORMED, f"{annotations} is not a mapping: it is left out", "Write keys and values")
    return annotations


def annotation(root: Field, key: str) -> Field:
    """One of ``metadata.annotations``."""
    return read_annotations(root.child("metadata")).entry(key)
