"""Watches that hand over objects as bytes, each state once, and keep none of them."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import structlog

from mnp_core.kubeapi import ApiServer
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.kinds import ApiType
from mnp_core.sources.kubernetes.backoff import WatchTiming
from mnp_core.sources.kubernetes.codec import read_head
from mnp_core.sources.kubernetes.observer import ObjectIdentity
from mnp_core.sources.kubernetes.resource import Resource
from mnp_core.sources.kubernetes.store import Entry, Store
from mnp_core.sources.kubernetes.watcher import Watcher

Take = Callable[[ObjectName, bytes | None], None]
"""Takes an object in its present state; None if it is gone."""

_NO_DIGEST: Final = b""
_log = structlog.stdlib.get_logger(__name__)


def mirror(api: ApiServer, kind: ApiType, take: Take) -> Watcher:
    """Make a watcher that hands over every object of a kind; refusals are logged, each once."""
    resource = Resource(kind=kind.kind, group=kind.group, versions=kind.versions, plural=kind.plural)
    return Watcher(api, resource, Mirror(kind.kind, take), _deliver_nothing, LogRefusals(), WatchTiming())


class LogRefusals:
    """A `SourceObserver` that logs refusals of watches, each once."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._said: set[str] = set()

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Nothing to say: it is begun again."""

    def listed(self, kind: str, count: int) -> None:
        """Nothing to say."""

    def refused(self, kind: str, sentence: str) -> None:
        """Log it."""
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("the API server refuses a read", kind=kind, error=sentence)


def _deliver_nothing(*_: object) -> None:
    """The mirror hands over objects."""


class Mirror(Store):
    """Hands over every state, also one of which only the status is new."""

    def __init__(self, kind: str, take: Take) -> None:
        """Begin with nothing; `take` is called on the watcher's threads."""
        super().__init__(kind, _decodes_nothing)
        self._object_kind, self._take = kind, take
        self._raw: dict[ObjectName, bytes] = {}

    def read(self, raw: bytes | msgspec.Raw, api_version: str) -> Entry:
        """Make an entry of an object; the one that is known, if it is in the same state."""
        head = read_head(raw)
        name = ObjectName(head.namespace, head.name)
        known = self._entries.get(name)
        if known is not None and known.version == head.version:
            return known
        self._raw[name] = bytes(raw)
        identity = ObjectIdentity(api_version=api_version, uid=head.uid)
        return Entry(name, head.version, identity, ObjectRef(self._object_kind, name), _NO_DIGEST, None)

    def commit(self, entries: Iterable[Entry]) -> None:
        """Hand over those that are new."""
        entries = list(entries)
        super().commit(entries)
        for entry in entries:
            if (raw := self._raw.pop(entry.name, None)) is not None:
                self._take(entry.name, raw)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Hand over that they are gone."""
        entries = list(entries)
        super().remove(entries)
        for entry in entries:
            self._take(entry.name, None)


def _decodes_nothing(_: Any) -> None:
    """Nothing is parsed here."""
