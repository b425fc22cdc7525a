"""Manifests as ``kubectl apply`` takes them: put into a namespace, and over the objects that are there already."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model.parsing import DEFAULT_NAMESPACE
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


def default(documents: Iterable[Document], namespace: str | None) -> tuple[Document, ...]:
    """Put objects that name no namespace into that of a context; others stay where they are."""
    found = tuple(documents)
    return found if namespace is None else tuple(_with_default(each, namespace) for each in found)


def applied(manifests: Iterable[Document], beneath: Iterable[Document]) -> tuple[Document, ...]:
    """Objects that are there already, and manifests in the place of those with the same type and name."""
    manifests = tuple(manifests)
    replaced = {_identity(each.raw) for each in manifests}
    return (*(each for each in beneath if _identity(each.raw) not in replaced), *manifests)


def _identity(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """API group, kind, namespace and name; values that are none of an object's have texts of their own."""
    metadata = raw.get("metadata")
    known: Mapping[str, object] = metadata if isinstance(metadata, dict) else {}
    home = "" if raw["kind"] in _CLUSTER_WIDE else str(known.get("namespace") or DEFAULT_NAMESPACE)
    return raw["apiVersion"].rpartition("/")[0], raw["kind"], home, str(known.get("name"))


def _with_default(document: Document, namespace: str) -> Document:
    metadata = document.raw.get("metadata", {})
    named = isinstance(metadata, dict) and metadata.get("namespace") not in (None, "")
    return document if named else _placed(document, namespace)


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
