"""Namespaces (core/v1 Namespace)."""

from collections.abc import Mapping

from mnp_core.model.namespace import Namespace
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.metadata import annotation, open_object, parse_ref, read_labels
from mnp_core.model.report import Reason, Report

NAME_LABEL = "kubernetes.io/metadata.name"
"""Holds the name; set by the API server on every namespace, and immutable (KEP-2161)."""

LOG_DENIED = "mnp.k8s.cni.cncf.io/log-denied"
"""Annotation of a namespace: ``true`` or ``false``."""


def parse_namespace(raw: Mapping[str, object]) -> tuple[Namespace, tuple[Report, ...]]:
    """Read a namespace.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "Namespace", namespaced=False)
    root = open_object(raw, ref)
    labels = {**read_labels(root), NAME_LABEL: ref.name.name}
    logs_denied = _truth(annotation(root, LOG_DENIED))
    return Namespace(name=ref.name.name, labels=labels, logs_denied=logs_denied), root.findings.reports()


def _truth(field: Field) -> bool:
    if field.value not in (None, "true", "false"):  # a tuple: the value may be of any type
        field.report(
            Reason.MALFORMED,
            f"{field} is neither true nor false: denied packets of these pods are not logged",
            'Write "true" or "false", in quotes',
        )
        return False
    return field.value == "true"
