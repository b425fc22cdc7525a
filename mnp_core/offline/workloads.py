"""Workloads as pods: one for each Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob without pods.

A controller makes pods from a template in a cluster. Manifests in a repository have the template alone, and policies
select by its labels.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from attrs import field

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.model.parsing import parse_ref
from mnp_core.offline.networks_annotation import NETWORKS_ANNOTATION
from mnp_core.sources.manifests import Document

_DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
_ANNOTATIONS = (NETWORKS_ANNOTATION, _DEFAULT_NETWORK)
"""Those of a template that make attachments; others, such as network-status, are written for one pod."""

_TEMPLATE = ("spec", "template")
_WORKLOADS = {
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("", "ReplicationController"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""By API group and kind, the fields that lead to the pod template."""


@frozen(kw_only=True)
class Represented:
    """Manifests in which pods stand for workloads.

    Attributes:
        documents: The objects; workloads are replaced by their pods, or left out if their pods are there.
        workloads: By pod, the workload that it stands for.
        reports: Workloads that cannot be read.
        malformed: These workloads.
    """

    documents: tuple[Document, ...]
    workloads: Mapping[ObjectName, ObjectRef]
    reports: tuple[Report, ...] = ()
    malformed: Mapping[ObjectRef, Document] = field(factory=dict)


def represent(documents: Iterable[Document]) -> Represented:
    """Replace workloads without pods by one pod each.

    A workload has pods if one in its namespace carries all labels of its template. What another workload controls is
    left to that one.
    """
    documents = list(documents)
    templates = [each for document in documents if (each := _Template.of(document)) is not None]
    pods: dict[ObjectName, Mapping[str, str]] = {}
    by_namespace: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for document in documents:
        if _type(document.raw) == ("", "Pod") and (ref := _ref(document)) is not None:
            pods[ref.name] = _labels(document.raw)
            by_namespace[ref.name.namespace].append(pods[ref.name])
    alone = [each for each in templates if each.is_read and not each.has_pods(by_namespace[each.ref.name.namespace])]
    names = list(_names(alone, pods.keys()))
    made = {id(each.document): each.pod(name) for each, name in zip(alone, names, strict=True)}
    left_out = {id(each.document) for each in templates if each.is_read or each.wrong}
    return Represented(
        documents=tuple(
            made.get(id(document), document)
            for document in documents
            if id(document) in made or id(document) not in left_out
        ),
        workloads={name: each.ref for each, name in zip(alone, names, strict=True)},
        reports=tuple(each.report() for each in templates if each.wrong),
        malformed={each.ref: each.document for each in templates if each.wrong},
    )


@frozen(kw_only=True)
class _Template:
    """A workload that is controlled by no other one.

    Attributes:
        document: The workload.
        ref: Its name.
        template: The pod template; None if that is malformed.
        field: Where it is.
        wrong: Whether it is malformed, which matters in manifests that people write.
    """

    document: Document
    ref: ObjectRef
    template: Mapping[str, object] | None
    field: str
    wrong: bool

    @classmethod
    def of(cls, document: Document) -> "_Template | None":
        """The template of a workload; None for other objects."""
        path = _WORKLOADS.get(_type(document.raw))
        ref = _ref(document)
        if path is None or ref is None or _is_controlled(document.raw):
            return None
        template = _at(document.raw, path)
        known = template if isinstance(template, Mapping) else None
        wrong = known is None and not _metadata(document.raw).get("uid")
        return cls(document=document, ref=ref, template=known, field=".".join(path), wrong=wrong)

    @property
    def is_read(self) -> bool:
        """Whether it has a template."""
        return self.template is not None

    def has_pods(self, pods: Iterable[Mapping[str, str]]) -> bool:
        """Whether one of these pods of its namespace, by their labels, is its own."""
        labels = _labels(self.template or {}).items()
        return bool(labels) and any(labels <= own.items() for own in pods)

    def pod(self, name: ObjectName) -> Document:
        """The pod that stands for it."""
        template = self.template or {}
        annotations = _metadata(template).get("annotations")
        given = annotations if isinstance(annotations, Mapping) else {}
        metadata = {
            "name": name.name,
            "namespace": name.namespace,
            "labels": _metadata(template).get("labels"),
            "annotations": {key: given[key] for key in _ANNOTATIONS if key in given},
        }
        raw = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec")}
        place = self.document.place
        inside = place.inside(*self.field.split(".")) if place is not None else None
        return Document(where=self.document.where, raw=raw, place=inside)

    def report(self) -> Report:
        """The report of a template that is none."""
        return Report(
            about=self.ref,
            field=self.field,
            reason=Reason.MALFORMED,
            message="it is no pod template, the workload does not count",
            remedy="Write the template with metadata and spec of its pods",
            severity=Severity.PROBLEM,
        )


def _names(templates: Sequence[_Template], taken: Container[ObjectName]) -> Iterator[ObjectName]:
    """The workload's name; with its kind where several have that."""
    count = Counter(each.ref.name for each in templates)
    for each in templates:
        name = each.ref.name
        if count[name] > 1 or name in taken:
            name = ObjectName(name.namespace, f"{name.name}.{each.ref.kind.lower()}")
        yield name


def _type(raw: Mapping[str, object]) -> tuple[str, str]:
    api_version, kind = raw.get("apiVersion"), raw.get("kind")
    group = api_version.rpartition("/")[0] if isinstance(api_version, str) else "?"
    return group, kind if isinstance(kind, str) else ""


def _ref(document: Document) -> ObjectRef | None:
    try:
        return parse_ref(document.raw, _type(document.raw)[1], namespaced=True)
    except InputError:  # it is reported where it is decoded
        return None


def _metadata(raw: Mapping[str, object]) -> Mapping[str, object]:
    metadata = raw.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _labels(raw: Mapping[str, object]) -> Mapping[str, str]:
    labels = _metadata(raw).get("labels")
    found = labels.items() if isinstance(labels, Mapping) else ()
    return {key: value for key, value in found if isinstance(key, str) and isinstance(value, str)}


def _is_controlled(raw: Mapping[str, object]) -> bool:
    owners = _metadata(raw).get("ownerReferences")
    return isinstance(owners, list) and any(isinstance(each, Mapping) and each.get("controller") for each in owners)


def _at(raw: Mapping[str, object], path: Iterable[str]) -> object:
    value: object = raw
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
