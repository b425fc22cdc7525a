"""Records of addresses, and the pods that they are about (setting ``guest-addresses``)."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from mnp_core.cluster.multimap import Multimap
from mnp_core.model import AddressRecord, ObjectName, ObjectRef, Pod

Tie = tuple[str, str, str]
"""Kind and namespace of a record, and its UID or name, by which pods are tied to it."""


class AddressRecords:
    """Records by the ties that pods have. Without kinds of record nothing is kept of any pod."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            labels: By kind of record, the most believed first: the label of pods that holds a record's UID; empty
                for kinds that requests for attachments name.
        """
        self._labels = labels
        self._records: dict[Tie, AddressRecord] = {}
        self._ties: dict[ObjectRef, Tie] = {}
        self._pods: Multimap[Tie, ObjectName] = Multimap()
        self._by_pod: dict[ObjectName, tuple[Tie, ...]] = {}

    @property
    def kinds(self) -> AbstractSet[str]:
        """Kinds of record."""
        return self._labels.keys()

    def put(self, ref: ObjectRef, record: AddressRecord | None) -> set[ObjectName]:
        """Replace a record, None removes it; return the pods that it is or was about, if it changed."""
        before = self._ties.pop(ref, None)
        now = self._tie(record) if record is not None else None
        old = self._records.get(before) if before is not None else None
        if before is not None and old is not None and old.ref == ref:
            del self._records[before]
        if record is not None and now is not None:
            self._ties[ref], self._records[now] = now, record
        if old == record:
            return set()
        return {pod for tie in (before, now) if tie is not None for pod in self._pods[tie]}

    def put_pod(self, name: ObjectName, pod: Pod | None) -> None:
        """Replace a pod; None removes it."""
        for tie in self._by_pod.pop(name, ()):
            self._pods.discard(tie, name)
        ties = tuple(dict.fromkeys(self._ties_of(pod))) if pod is not None else ()
        for tie in ties:
            self._pods.add(tie, name)
        if ties:
            self._by_pod[name] = ties

    def of(self, name: ObjectName) -> tuple[AddressRecord, ...]:
        """The records about a pod, the most believed first."""
        ties = self._by_pod.get(name, ())
        return tuple(self._records[tie] for tie in ties if tie in self._records)

    def _tie(self, record: AddressRecord) -> Tie | None:
        key = record.uid if self._labels[record.ref.kind] else record.ref.name.name
        return (record.ref.kind, record.ref.name.namespace, key) if key else None

    def _ties_of(self, pod: Pod) -> Iterator[Tie]:
        for kind, label in self._labels.items():
            keys = [pod.labels.get(label, "")] if label else [request.claim for request in pod.requests]
            for key in filter(None, keys):
                yield kind, pod.name.namespace, key
