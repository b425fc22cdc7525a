"""The objects of one kind as last delivered.

It turns answers of the server into changes: only a difference to the delivered state is one (S61).
An object is delivered before it is stored here, so that a failure in between delivers it again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec
from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.model import Change, ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.model.budget import UNLIMITED, Budgets, Size, over_budget
from mnp_core.model.kinds import BUILT_IN_KINDS, POD, POLICY
from mnp_core.sources.kubernetes.codec import Metadata, Raw, read_head, read_object, read_without_rules
from mnp_core.sources.kubernetes.observer import ObjectIdentity
from mnp_core.sources.kubernetes.ordinary_pod import read_ordinary_pod

Token = Callable[[ObjectName, bytes | msgspec.Raw], int]
"""Gives the token of an object's contents."""

_Contents = tuple[bytes, Callable[[], Change]]
"""The digest of an object, and how its change is made."""

_MOST_REPORTS = 10
"""Of one object; a cluster may have thousands of objects that someone wrote wrong. `mnp validate` lists more."""

_NO_POLICIES = frozenset(kind.kind for kind in BUILT_IN_KINDS if kind is not POLICY)
_VERSIONS = frozenset({"resourceVersion", "generation", "managedFields"})
_INCARNATIONS = frozenset({"uid", "creationTimestamp"})


@frozen
class Entry:
    """An object: its state on the server, and the delivered change.

    Attributes:
        name: Its name.
        version: Its resourceVersion.
        identity: Its apiVersion and UID.
        ref: The subject of its changes.
        digest: Of all fields that are read; objects of one digest make equal changes.
        change: To be delivered; None afterwards: the receiver keeps it, or less, if it is over a limit.
    """

    name: ObjectName
    version: str
    identity: ObjectIdentity
    ref: ObjectRef
    digest: bytes
    change: Change | None

    def delivered(self) -> "Entry":
        """The entry after the delivery of its change."""
        return Entry(self.name, self.version, self.identity, self.ref, self.digest, None)


class Store:
    """The known objects of one kind. Changed by one thread at a time; `identity` may be called on any."""

    def __init__(
        self,
        kind: str,
        decode: Callable[[Mapping[str, object]], Change | None],
        largest_policy: int = Budgets().policy.bytes,
        token: Token | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            kind: Of the objects.
            decode: Makes changes of them.
            largest_policy: Bytes; the rules of a policy with more are not read.
            token: Makes the tokens of changes; None if nobody asks for them.
        """
        self._token = token
        self._max_policy_bytes = UNLIMITED if kind in _NO_POLICIES else largest_policy
        self._kind = kind
        self._status_counts = kind in _NO_POLICIES
        self._uid_counts = kind == POD.kind
        self._decode = decode
        self._entries: dict[ObjectName, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def identity(self, name: ObjectName) -> ObjectIdentity | None:
        """Version and UID of an object; None if there is none of this name."""
        entry = self._entries.get(name)
        return entry.identity if entry is not None else None

    def read(self, raw: bytes | msgspec.Raw, api_version: str) -> Entry:
        """Make an entry of an object; the one that is known, if it is in the same state.

        Raises:
            GarbledError: It is no object.
        """
        head = read_head(raw)
        name = ObjectName(head.namespace, head.name)
        known = self._entries.get(name)
        if known is not None and known.version == head.version and _is(known.identity, head, api_version):
            return known
        digest, make_change = self._contents(raw, head, api_version)
        identity = ObjectIdentity(api_version=api_version, uid=head.uid)
        if known is not None and known.digest == digest:
            return Entry(known.name, head.version, identity, known.ref, digest, None)
        change = make_change()
        if self._token is not None:
            change = evolve(change, token=self._token(name, raw))
        return Entry(
            change.ref.name if change.ref.name == name else name, head.version, identity, change.ref, digest, change
        )

    def _contents(self, raw: bytes | msgspec.Raw, head: Metadata, api_version: str) -> _Contents:
        found = self._found(raw)
        _share_uid(found, head)
        digest = self._digest(found) if found is not None else head.version.encode()
        name = ObjectName(head.namespace, head.name)
        return digest, lambda: self._change(found, name, api_version, len(bytes(raw)))

    def changes(self, entries: Iterable[Entry]) -> list[Change]:
        """The undelivered changes of these entries."""
        return [entry.change for entry in entries if entry.change is not None]

    def commit(self, entries: Iterable[Entry]) -> None:
        """Record that these were delivered."""
        self._entries.update((entry.name, entry.delivered()) for entry in entries)

    def missing_from(self, names: AbstractSet[ObjectName]) -> list[Entry]:
        """All but these."""
        return [entry for name, entry in self._entries.items() if name not in names]

    def get(self, head: Metadata) -> list[Entry]:
        """The entry of an object in any state; None if it was never delivered."""
        entry = self._entries.get(ObjectName(head.namespace, head.name))
        return [entry] if entry is not None else []

    def remove(self, entries: Iterable[Entry]) -> None:
        """Record that the removal of these was delivered."""
        for entry in entries:
            del self._entries[entry.name]

    def forget_versions(self) -> None:
        """Let contents alone say whether an object has changed."""
        self._entries = {name: evolve(entry, version="") for name, entry in self._entries.items()}

    def _found(self, raw: bytes | msgspec.Raw) -> Raw | None:
        too_big = len(bytes(raw)) > self._max_policy_bytes
        return read_without_rules(raw) if too_big else read_object(raw, self._kind)

    def _digest(self, found: Raw) -> bytes:
        """Of everything but metadata that changes with each write or re-creation and has no meaning here.

        Of policies the status is left out, too: `mnp aggregate` writes it, and every node gets the news.
        """
        left_out = {"apiVersion", "kind"} if self._status_counts else {"apiVersion", "kind", "status"}
        kept = {key: value for key, value in found.items() if key not in left_out}
        if isinstance(metadata := found.get("metadata"), dict):
            meaningless = _VERSIONS if self._uid_counts else _VERSIONS | _INCARNATIONS
            kept["metadata"] = {key: value for key, value in metadata.items() if key not in meaningless}
        return _digest(msgspec.json.encode(kept))

    def _change(self, found: Raw | None, name: ObjectName, api_version: str, size: int) -> Change:
        change = self._decode({**found, "apiVersion": api_version, "kind": self._kind}) if found is not None else None
        if change is None:
            return _unreadable(ObjectRef(self._kind, name))
        change = _shortened(change)
        if size <= self._max_policy_bytes:
            return change
        excess = Size(bytes=size).excess(Size(bytes=self._max_policy_bytes))
        return evolve(
            change, reports=(*change.reports, over_budget(change.ref, f"it has {excess}", "budget-per-policy"))
        )


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _share_uid(found: Raw | None, head: Metadata) -> None:
    """Let the object have the text of its identity: it was decoded twice."""
    metadata = found.get("metadata") if found is not None else None
    if isinstance(metadata, dict) and metadata.get("uid") == head.uid:
        metadata["uid"] = head.uid


class PodStore(Store):
    """Pods: nearly all are ordinary ones, read at once."""

    def _contents(self, raw: bytes | msgspec.Raw, head: Metadata, api_version: str) -> _Contents:
        found = read_ordinary_pod(raw, head.uid)
        if found is None:
            return super()._contents(raw, head, api_version)
        pod, text = found
        return _digest(text), lambda: Change(ref=ObjectRef(POD.kind, pod.name), object=pod)


class RecordStore(Store):
    """Address records: their status is their content, and their UID ties them to pods."""

    def __init__(self, kind: str, decode: Callable[[Mapping[str, object]], Change | None]) -> None:
        """Begin with nothing."""
        super().__init__(kind, decode, UNLIMITED)
        self._status_counts = self._uid_counts = True


def gone(entries: Iterable[Entry]) -> list[Change]:
    """The changes that say that these are no more."""
    return [Change(ref=entry.ref, object=None) for entry in entries]


def _shortened(change: Change) -> Change:
    """The change with the first problems, and one that says that there are more; hints likewise."""
    if len(change.reports) <= _MOST_REPORTS:
        return change
    kept = []
    for severity in Severity:
        some = [report for report in change.reports if report.severity is severity]
        kept += some[:_MOST_REPORTS]
        if len(some) > _MOST_REPORTS and severity is Severity.PROBLEM:
            more = "it has more problems than are listed here"
            kept.append(evolve(some[0], field="", message=more, remedy="mnp validate lists them"))
    return evolve(change, reports=tuple(kept))


def _is(identity: ObjectIdentity, head: Metadata, api_version: str) -> bool:
    return identity.uid == head.uid and identity.api_version == api_version


def _unreadable(ref: ObjectRef) -> Change:
    report = Report(
        about=ref,
        field="",
        reason=Reason.MALFORMED,
        message="it cannot be decoded, the object does not count",
        remedy="Look at it with kubectl get -o json, and write it anew",
    )
    return Change(ref=ref, object=None, reports=(report,))
