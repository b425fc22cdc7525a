"""Namespaces (core/v1 Namespace)."""

from collections.abc import Mapping

from mnp_core.model.namespace import Namespace
from mnp_core.model.parsing.metadata import open_object, parse_ref, read_labels
from mnp_core.model.report import Report

NAME_LABEL = "kubernetes.io/metadata.name"
"""Holds the name; set by the API server on every namespace, and immutable (KEP-2161)."""


def parse_namespace(raw: Mapping[str, object]) -> tuple[Namespace, tuple[Report, ...]]:
    """Read a namespace.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "Namespace", namespaced=False)
    root = open_object(raw, ref)
    labels = {**read_labels(root), NAME_LABEL: ref.name.name}
    return Namespace(name=ref.name.name, labels=labels), root.findings.reports()
