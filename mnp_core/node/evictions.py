"""Connections that lost their place in a table of a backend's own: read pod by pod, counted for the node.

One pod at a time, as every reading looks at a whole table. What happened before this process was there is not counted.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from itertools import chain
from typing import Final

import structlog
from attrs import define, field

from mnp_core.agent.agent import Agent
from mnp_core.api import EvictionCounter, Sandbox
from mnp_core.model import ObjectName
from mnp_core.sandbox.pool import SandboxPool

_ESTABLISHED: Final = "established"
_FULL: Final = "connections in use were forgotten, as their table is full: raise connection-table-size"
_Place = tuple[ObjectName, Sandbox]
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


@define(eq=False)
class Evictions:
    """Owned by the agent's thread.

    Attributes:
        agent: Names pods, their sandboxes and backends.
        pool: Runs work inside sandboxes.
        counted: Called with a kind and a number of connections.
    """

    _agent: Agent
    _pool: SandboxPool
    _counted: Callable[[str, int], None]
    _seen: dict[_Place, Mapping[str, int]] = field(factory=dict, init=False)
    _last: ObjectName | None = field(default=None, init=False)
    _reading: tuple[_Place, Future[Mapping[str, int]]] | None = field(default=None, init=False)

    def tend(self) -> None:
        """Take in what was read, and begin to read the next pod; every second."""
        if self._reading is not None:
            place, done = self._reading
            if not done.done():
                return
            self._reading = None
            if not done.cancelled() and done.exception() is None:
                self._take_in(place, done.result())
        self._begin()

    def _begin(self) -> None:
        counters = {place: applier for place, applier in self._appliers() if isinstance(applier, EvictionCounter)}
        self._seen = {place: found for place, found in self._seen.items() if place in counters}
        if not counters:
            return
        places = sorted(counters, key=lambda place: place[0])
        later = (place for place in places if self._last is not None and place[0] > self._last)
        place = next(chain(later, places))
        self._last = place[0]
        self._reading = place, self._pool.submit(place[1], counters[place].evictions)

    def _appliers(self) -> Iterator[tuple[_Place, object]]:
        for state in self._agent.pods:
            if state.sandbox is not None and state.backend is not None:
                yield (state.name, state.sandbox), state.backend.applier

    def _take_in(self, place: _Place, found: Mapping[str, int]) -> None:
        before = self._seen.get(place, found)
        self._seen[place] = found
        for kind, number in found.items():
            more = number - before.get(kind, 0)
            if more > 0:
                self._counted(kind, more)
                if kind == _ESTABLISHED:
                    _log.warning(_FULL, pod=str(place[0]), connections=more)
