"""Puts objects into a namespace, as ``kubectl apply --namespace`` does."""

from collections.abc import Iterable

from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model.parsing.field import shown
from mnp_core.sources.manifests import Document

_CLUSTER_WIDE = frozenset({"Namespace"})  # of the kinds that are read
_NOT_OF_A_CLUSTER = "mnp.lab/"  # expectations: no API server has them, so they are in no namespace


def place(documents: Iterable[Document], namespace: str | None) -> tuple[Document, ...]:
    """Put objects that name no namespace into one; None leaves them as they are.

    Raises:
        InputError: An object names another namespace; the message names it.
    """
    return tuple(documents) if namespace is None else tuple(_placed(each, namespace) for each in documents)


def _placed(document: Document, namespace: str) -> Document:
    raw = document.raw
    metadata = raw.get("metadata", {})
    unplaced = raw["kind"] in _CLUSTER_WIDE or raw["apiVersion"].startswith(_NOT_OF_A_CLUSTER)
    if unplaced or not isinstance(metadata, dict):  # the latter has no name, and is reported where it is decoded
        return document
    own = metadata.get("namespace")
    if own in (None, ""):
        return evolve(document, raw={**raw, "metadata": {**metadata, "namespace": namespace}})
    if own != namespace:
        name = f"{raw['kind']} {shown(metadata.get('name'))}"
        raise InputError(
            f"{name} is in namespace {shown(own)}, not {namespace!r}: leave --namespace out, or name that one",
            where=document.where,
            field="metadata.namespace",
        )
    return document
