"""Fair queues: namespaces take turns, so that one with much work delays only itself.

Every other turn is for the namespace that came last and has had none: its change waits for one or two items, not for
all namespaces that wait. Whoever makes hundreds of namespaces would delay everybody else by a round of turns. The
turns between go around, so no namespace waits longer than two rounds.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from attrs import field

from mnp_core.classes import define

T = TypeVar("T")


@define
class _Line(Generic[T]):
    """The waiting items of one namespace; never empty while it is in `Turns`."""

    urgent: deque[T] = field(factory=deque)
    others: deque[T] = field(factory=deque)

    def __len__(self) -> int:
        return len(self.urgent) + len(self.others)

    def __iter__(self) -> Iterator[T]:
        yield from self.urgent
        yield from self.others

    @property
    def first(self) -> T:
        return self.urgent[0] if self.urgent else self.others[0]

    def pop(self) -> T:
        return self.urgent.popleft() if self.urgent else self.others.popleft()


class Turns(Generic[T]):
    """Waiting items by namespace, urgent ones first, in order otherwise."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Line[T]] = {}  # the first namespace is next
        self._newcomers: dict[str, None] = {}  # namespaces without a turn since they had nothing waiting
        self._newest_is_next = True
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, namespace: str, items: Iterable[T], *, urgent: bool = False) -> None:
        """Have these wait behind the others of their namespace, urgent ones behind other urgent ones."""
        for item in items:
            if namespace not in self._waiting:
                self._waiting[namespace], self._newcomers[namespace] = _Line(), None
            line = self._waiting[namespace]
            (line.urgent if urgent else line.others).append(item)
            self._length += 1

    def take(self, most: int) -> list[T]:
        """At most this many items, one of each namespace after the other; empty if none wait."""
        taken: list[T] = []
        while len(taken) < most and (namespace := next(self._in_order(), None)) is not None:
            taken.append(self._take_turn(namespace))
        return taken

    def take_first(self, fits: Callable[[T], bool]) -> T | None:
        """The first of the first namespace whose first fits; None if there is none."""
        for namespace in self._in_order():
            if fits(self._waiting[namespace].first):
                return self._take_turn(namespace)
        return None

    def has(self, fits: Callable[[T], bool]) -> bool:
        """Whether the first of any namespace fits."""
        return any(fits(line.first) for line in self._waiting.values())

    def all(self) -> list[T]:
        """Everything at once, in no particular order between namespaces."""
        found = [item for line in self._waiting.values() for item in line]
        self._waiting.clear()
        self._newcomers.clear()
        self._length = 0
        return found

    def _in_order(self) -> Iterator[str]:
        """The namespaces, beginning with the next; newcomers may come twice."""
        if self._newest_is_next:
            yield from reversed(self._newcomers)
        yield from self._waiting

    def _take_turn(self, namespace: str) -> T:
        line = self._waiting.pop(namespace)
        self._newcomers.pop(namespace, None)
        self._newest_is_next = not self._newest_is_next
        item = line.pop()
        if line:
            self._waiting[namespace] = line  # behind all others
        self._length -= 1
        return item
