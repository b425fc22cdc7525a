"""Additions of the API server to objects on admission: namespaces.

Selectors rely on it: every namespace carries its own name as a label, and a pod never is in a namespace that is not
there.
"""

from collections.abc import Iterable, Mapping

from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.kinds import BUILT_IN_KINDS, POLICY
from mnp_core.offline.strict_field import StrictField
from mnp_core.sources.manifests import Document

_NAMED_STRICTLY = frozenset(kind.kind for kind in BUILT_IN_KINDS if kind is not POLICY)
"""Kinds whose names become paths and names of interfaces here; others are named as the API server pleases."""

NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace (KEP-2161)."""


def root(document: Document) -> StrictField:
    """The document as a field, to read further from."""
    return StrictField(value=document.raw, where=document.where)


def ref_of(document: Document) -> ObjectRef:
    """The subject of the document; objects without a namespace are in ``default``.

    Raises:
        InputError: It has no kind, or no name, or one that a pod or network cannot have.
    """
    top = root(document)
    kind, metadata = top.child("kind"), top.child("metadata")
    if not kind.text():
        raise kind.wrong("is missing: every manifest has a kind")
    strictly = kind.text() in _NAMED_STRICTLY
    name = _name(metadata.child("name"), strictly=strictly)
    namespace = metadata.child("namespace")
    if kind.text() == "Namespace":
        return ObjectRef("Namespace", ObjectName("", name))
    home = _name(namespace, strictly=strictly) if namespace.text() else "default"
    return ObjectRef(kind.text(), ObjectName(home, name))


def _name(field: StrictField, *, strictly: bool) -> str:
    return field.text() if field.text() and not strictly else field.name()


def index(documents: Iterable[Document]) -> dict[ObjectRef, Document]:
    """Documents by subject.

    Raises:
        InputError: Two are about the same object, so that it is not clear which one counts.
    """
    objects: dict[ObjectRef, Document] = {}
    for document in documents:
        ref = ref_of(document)
        if ref in objects and _group(objects[ref]) == _group(document):
            raise InputError(f"{ref} is declared by {objects[ref].where} too: remove one of them", where=document.where)
        objects.setdefault(ref, document)
    return objects


def _group(document: Document) -> str:
    return root(document).child("apiVersion").text().rpartition("/")[0]


def admit(objects: Mapping[ObjectRef, Document]) -> dict[ObjectRef, Document]:
    """The objects as the API server would show them, and the namespaces that they are in."""
    declared = {ref: _admitted(ref, document) for ref, document in objects.items()}
    used = sorted({ref.name.namespace for ref in declared if ref.name.namespace})
    missing = (ObjectRef("Namespace", ObjectName("", namespace)) for namespace in used)
    implied = {ref: _namespace(ref) for ref in missing if ref not in declared}
    return implied | declared


def with_metadata(document: Document, **changes: object) -> Document:
    """A copy whose metadata has other values in some fields."""
    metadata = {**root(document).child("metadata").mapping(), **changes}
    return evolve(document, raw={**document.raw, "metadata": metadata})


def _admitted(ref: ObjectRef, document: Document) -> Document:
    if ref.kind != "Namespace":
        return with_metadata(document, namespace=ref.name.namespace)
    labels = root(document).child("metadata").child("labels").value or {}
    if not isinstance(labels, Mapping):  # it is reported when the object is read
        return document
    return with_metadata(document, labels={**labels, NAME_LABEL: ref.name.name})


def _namespace(ref: ObjectRef) -> Document:
    raw = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.name.name}}
    return _admitted(ref, Document(where=f"{ref} (implied)", raw=raw))
