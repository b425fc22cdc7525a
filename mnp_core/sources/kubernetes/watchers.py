"""Watchers that begin and end together."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from mnp_core.lasting import LastingThread
from mnp_core.sources.kubernetes.watcher import Watcher

_STOP_SECONDS: Final = 2.0
"""A thread that is still trying to connect by then is abandoned: it ends when that fails, and reports no more."""


class Watchers:
    """One for each kind of object."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        """Prepare; nothing is asked until `start`."""
        self._by_kind = {watcher.resource.kind: watcher for watcher in watchers}

    def __iter__(self) -> Iterator[Watcher]:
        """Each one."""
        return iter(self._by_kind.values())

    def get(self, kind: str) -> Watcher | None:
        """That of a kind."""
        return self._by_kind.get(kind)

    def start(self) -> None:
        """Begin to list and watch."""
        for watcher in self:
            watcher.start()

    def stop(self) -> None:
        """End all threads, also those that wait for the server. Nothing is delivered from then on."""
        for watcher in self:
            watcher.stop()
        end = time.monotonic() + _STOP_SECONDS
        for watcher in self:
            watcher.join(max(0.0, end - time.monotonic()))

    @property
    def threads(self) -> tuple[LastingThread, ...]:
        """One for each kind."""
        return tuple(watcher.thread for watcher in self)

    @property
    def complete(self) -> bool:
        """Whether every kind was read once, or is known not to be served. Unknown objects may exist until then."""
        return all(watcher.complete for watcher in self)
