"""What backends count in a pod and a node should hear of: read pod by pod, counted for the node.

* connections that lost their place in a table of a backend's own;
* frames with a VLAN tag that were denied on a bridged interface: its guest uses VLANs, which no policy can mean.

One pod at a time, as every reading looks at a whole table. What happened before this process was there is not counted.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from itertools import chain
from typing import Final

import structlog
from attrs import field

from mnp_core.agent.agent import Agent
from mnp_core.api import EvictionCounter, RuleApplier, Sandbox
from mnp_core.classes import define, frozen
from mnp_core.model import LinkPath, ObjectName
from mnp_core.sandbox.pool import SandboxPool

TAGGED_FRAMES: Final = "denied-vlan"
"""The label of the rule that denies frames with a VLAN tag on bridged interfaces."""

_WARNINGS: Final = {
    "established": "connections in use were forgotten, as their table is full: raise connection-table-size",
    TAGGED_FRAMES: "frames with a VLAN tag are denied: give the guest a network of its own for each VLAN",
}
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


@frozen
class _Place:
    """A pod that has something to be read."""

    pod: ObjectName
    sandbox: Sandbox
    applier: RuleApplier = field(eq=False)
    is_bridged: bool = field(eq=False)

    def read(self) -> Mapping[str, int]:
        """All counts, by kind; inside of the sandbox."""
        found = dict(self.applier.evictions()) if isinstance(self.applier, EvictionCounter) else {}
        if self.is_bridged:
            labels = (each.packets for each in self.applier.counters() if each.label == TAGGED_FRAMES)
            found[TAGGED_FRAMES] = sum(labels)
        return found


@define(eq=False)
class PodCounts:
    """Owned by the agent's thread.

    Attributes:
        agent: Names pods, their sandboxes and backends.
        pool: Runs work inside sandboxes.
        counted: Called with a kind and how many there are more.
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
        places = set(self._places())
        self._seen = {place: found for place, found in self._seen.items() if place in places}
        if places:
            in_turn = sorted(places, key=lambda place: place.pod)
            later = (place for place in in_turn if self._last is not None and place.pod > self._last)
            place = next(chain(later, in_turn))
            self._last = place.pod
            self._reading = place, self._pool.submit(place.sandbox, place.read)

    def _places(self) -> Iterator[_Place]:
        for state in self._agent.pods:
            if state.sandbox is None or state.backend is None:
                continue
            claims, applier = self._agent.cluster.claims(state.name), state.backend.applier
            is_bridged = any(claim.path is LinkPath.BRIDGED for claim in claims)
            if is_bridged or isinstance(applier, EvictionCounter):
                yield _Place(state.name, state.sandbox, applier, is_bridged)

    def _take_in(self, place: _Place, found: Mapping[str, int]) -> None:
        before = self._seen.get(place, found)
        self._seen[place] = found
        for kind, number in found.items():
            more = number - before.get(kind, 0)
            if more > 0:
                self._counted(kind, more)
                if kind in _WARNINGS:
                    _log.warning(_WARNINGS[kind], pod=str(place.pod), count=more)
