"""Namespaces (core/v1 Namespace)."""

from collections.abc import Mapping

from mnp_core.model.namespace import Namespace
from mnp_core.model.parsing.metadata import open_object, parse_ref, read_labels
from mnp_core.model.report import Report

NAME_LABEL = "kubernetes.io/metadata.name"
"""Carries the name; the API server sets it on every namespace and lets nobody change it (KEP-2161)."""


def parse_namespace(raw: Mapping[str, object]) -> tuple[Namespace, tuple[Report, ...]]:
    """Read a namespace.

    Raises:
        InputError: It has no usable name.
    """
    ref = parse_ref(raw, "Namespace", namespaced=False)
    root = open_object(raw, ref)
    labels = {**read_labels(root), NAME_LABEL: ref.name.name}
    return Namespace(name=ref.name.name, labels=labels), root.findings.reports()
