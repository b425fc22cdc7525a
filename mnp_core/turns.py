"""Fair queues: namespaces take turns, so that one with much work delays only itself."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting items by namespace, in order within each."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}  # never an empty queue; the first namespace is next
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, namespace: str, items: Iterable[T]) -> None:
        """Have these wait behind the others of their namespace."""
        for item in items:
            self._waiting.setdefault(namespace, deque()).append(item)
            self._length += 1

    def take(self, most: int) -> list[T]:
        """At most this many items of the next namespace; empty if none wait."""
        namespace = next(iter(self._waiting), None)
        if namespace is None:
            return []
        waiting = self._waiting.pop(namespace)
        taken = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if waiting:
            self._waiting[namespace] = waiting  # behind all others
        self._length -= len(taken)
        return taken

    def take_in_turns(self, most: int) -> list[T]:
        """At most so many, one of each namespace after the other."""
        return [item for _ in range(min(most, self._length)) for item in self.take(1)]

    def take_first(self, fits: Callable[[T], bool]) -> T | None:
        """The first of the first namespace whose first fits; None if there is none."""
        for namespace, waiting in self._waiting.items():
            if fits(waiting[0]):
                first = waiting.popleft()
                del self._waiting[namespace]
                if waiting:
                    self._waiting[namespace] = waiting
                self._length -= 1
                return first
        return None

    def has(self, fits: Callable[[T], bool]) -> bool:
        """Whether the first of any namespace fits."""
        return any(fits(waiting[0]) for waiting in self._waiting.values())

    def all(self) -> list[T]:
        """Everything at once, in no particular order between namespaces."""
        found = [item for waiting in self._waiting.values() for item in waiting]
        self._waiting.clear()
        self._length = 0
        return found
