"""Storage of the API server, as etcd and watch cache: objects, history, snapshots for lists."""

import copy
import itertools
import threading
import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from attrs import field

from mnp_core.classes import define, frozen

Object = dict[str, Any]
Key = tuple[str, str]


@define
class ServedResource:
    """A resource, and the versions in which it is served now: none of a CRD that is not there.

    Attributes:
        group: API group.
        kind: Kind of its objects.
        plural: Name in paths.
        versions: Served versions.
        status: Whether it has the subresource ``status``.
    """

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    status: bool = False


@frozen
class Event:
    """Something that happened to an object: `before` and `after`, one of them None if there was or is none."""

    version: int
    plural: str
    before: Object | None
    after: Object | None


class ExpiredError(Exception):
    """The requested version is older than the history (410)."""


@define
class Snapshot:
    """The rest of a list that was begun."""

    version: int
    items: list[Object]


@define
class Store:
    """Objects by plural and name. Every change notifies `changed`."""

    changed: threading.Condition = field(factory=threading.Condition)
    version: int = 1000
    compacted: int = 0
    _objects: dict[str, dict[Key, Object]] = field(factory=dict)
    _history: defaultdict[str, list[Event]] = field(factory=lambda: defaultdict(list))  # by plural, in order
    _snapshots: dict[str, Snapshot] = field(factory=dict)
    _tokens: "itertools.count[int]" = field(factory=itertools.count)

    def put(self, plural: str, given: Mapping[str, Any]) -> Object:
        """Create or replace an object; gives it as it is kept."""
        with self.changed:
            new = copy.deepcopy(dict(given))
            metadata = new["metadata"] = {**new.get("metadata", {})}
            key = (metadata.get("namespace", ""), metadata["name"])
            before = self._objects.setdefault(plural, {}).get(key)
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            metadata["uid"] = before["metadata"]["uid"] if before else str(uuid.uuid4())
            self._objects[plural][key] = new
            self._record(plural, before, new)
            return new

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """An object; None if there is none."""
        with self.changed:
            return self._objects.get(plural, {}).get((namespace, name))

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        """Remove an object.

        Raises:
            KeyError: There is none.
        """
        with self.changed:
            before = self._objects[plural].pop((namespace, name))
            self.version += 1
            self._record(plural, before, None)

    def _record(self, plural: str, before: Object | None, after: Object | None) -> None:
        self._history[plural].append(Event(self.version, plural, before, after))
        self.changed.notify_all()

    def drop(self, plural: str) -> None:
        """Remove all objects of a resource, as happens when its CRD is deleted."""
        for namespace, name in list(self._objects.get(plural, {})):
            self.delete(plural, name, namespace)

    def compact(self) -> None:
        """Forget the history: older watches and lists get status 410."""
        with self.changed:
            self.version += 1  # so that no position is the newest one
            self.compacted = self.version
            self._history.clear()
            self._snapshots.clear()
            self.changed.notify_all()

    def objects(self, plural: str) -> list[Object]:
        """All of a resource, in the order of their names."""
        with self.changed:
            return [self._objects[plural][key] for key in sorted(self._objects.get(plural, {}))]

    def page(self, plural: str, selector: "Selector", limit: int, token: str) -> tuple[list[Object], int, str]:
        """A page of a list: objects, the version of the list, and a token if there is more.

        Raises:
            ExpiredError: The token is too old.
        """
        with self.changed:
            if token:
                snapshot = self._snapshots.pop(token, None)
                if snapshot is None:
                    raise ExpiredError
            else:
                snapshot = Snapshot(self.version, [each for each in self.objects(plural) if selector.matches(each)])
            page, snapshot.items = snapshot.items[:limit], snapshot.items[limit:]
            if not snapshot.items:
                return page, snapshot.version, ""
            token = f"more-{next(self._tokens)}"
            self._snapshots[token] = snapshot
            return page, snapshot.version, token

    def since(self, plural: str, version: int, selector: "Selector") -> tuple[list[tuple[str, Object]], int]:
        """Events after a version, as types and objects of a watch, and the version of the last one.

        Raises:
            ExpiredError: That is not kept any more.
        """
        with self.changed:
            if version < self.compacted:
                raise ExpiredError
            history = self._history[plural]
            events = history[bisect_right(history, version, key=attrgetter("version")) :]
            told = [each for each in map(selector.seen, events) if each is not None]
            return told, max(version, self.version)


@frozen
class Selector:
    """A field selector of inequalities, such as ``status.phase!=Failed``."""

    excluded: tuple[tuple[tuple[str, ...], str], ...]

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it is about, such as ``status.phase``."""
        return frozenset(".".join(path) for path, _ in self.excluded)

    @classmethod
    def read(cls, text: str) -> "Selector":
        """Read one; empty selects everything."""
        parts = [part.split("!=") for part in text.split(",") if part]
        return cls(tuple((tuple(path.split(".")), value) for path, value in parts))

    def matches(self, candidate: Object | None) -> bool:
        """Whether an object is selected; one that is not there never is."""
        return candidate is not None and all(_text(candidate, path) != value for path, value in self.excluded)

    def seen(self, event: Event) -> tuple[str, Object] | None:
        """The event as a watch with this selector sees it: an object that leaves the selection is deleted."""
        was, now = self.matches(event.before), self.matches(event.after)
        if now and event.after is not None:
            return ("MODIFIED" if was else "ADDED"), event.after
        if was and event.before is not None:
            last = event.after or event.before
            last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(event.version)}}
            return "DELETED", last
        return None


def _text(value: Any, path: tuple[str, ...]) -> str:
    """The value of a field, as a selector has it."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return str(value).lower() if isinstance(value, bool) else str(value or "")
