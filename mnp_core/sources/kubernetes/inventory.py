"""The objects of one kind as they were last told of.

It turns what the server sends into changes: what differs from what was told is a change, and nothing else is (S61).
An object is told of before it is written down here, so that whatever fails in between is told of again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import msgspec
from attrs import frozen

from mnp_core.model import Change, ObjectName, ObjectRef, Reason, Report
from mnp_core.sources.kubernetes.observer import ObjectIdentity
from mnp_core.sources.kubernetes.wire import Metadata, read_head, read_object


@frozen
class Entry:
    """An object: its state on the server, and the change that told of it."""

    name: ObjectName
    version: str
    identity: ObjectIdentity
    change: Change


class Inventory:
    """What is known of one kind. Changed on one thread; `identity` may be called on any."""

    def __init__(self, kind: str, decode: Callable[[Mapping[str, object]], Change | None]) -> None:
        """Begin with nothing."""
        self._kind = kind
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
        change = self._change(raw, name, api_version)
        if known is not None and known.change == change:
            change = known.change  # one copy is enough
        identity = ObjectIdentity(api_version=api_version, uid=head.uid)
        return Entry(change.ref.name if change.ref.name == name else name, head.version, identity, change)

    def news(self, entries: Iterable[Entry]) -> list[Change]:
        """What these entries say that was not told yet."""
        return [change for entry in entries for change in self._news(entry)]

    def _news(self, entry: Entry) -> Iterator[Change]:
        known = self._entries.get(entry.name)
        if known is None or known.change is not entry.change:
            yield entry.change

    def keep(self, entries: Iterable[Entry]) -> None:
        """Write down that these were told."""
        self._entries.update((entry.name, entry) for entry in entries)

    def others(self, names: AbstractSet[ObjectName]) -> list[Entry]:
        """All but these."""
        return [entry for name, entry in self._entries.items() if name not in names]

    def known(self, head: Metadata) -> list[Entry]:
        """The entry of an object, whatever its state; none if it was never told of."""
        entry = self._entries.get(ObjectName(head.namespace, head.name))
        return [entry] if entry is not None else []

    def drop(self, entries: Iterable[Entry]) -> None:
        """Write down that these were told to be gone."""
        for entry in entries:
            del self._entries[entry.name]

    def _change(self, raw: bytes | msgspec.Raw, name: ObjectName, api_version: str) -> Change:
        found = read_object(raw, self._kind)
        change = self._decode({**found, "apiVersion": api_version, "kind": self._kind}) if found is not None else None
        return change or _unreadable(ObjectRef(self._kind, name))


def gone(entries: Iterable[Entry]) -> list[Change]:
    """The changes that say that these are no more."""
    return [Change(ref=entry.change.ref, object=None) for entry in entries]


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
