"""Fair queues: namespaces take turns, so that one with much work delays only itself."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from attrs import define, field

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
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, namespace: str, items: Iterable[T], *, urgent: bool = False) -> None:
        """Have these wait behind the others of their namespace, urgent ones behind other urgent ones."""
        for item in items:
            line = self._waiting.setdefault(namespace, _Line())
            (line.urgent if urgent else line.others).append(item)
            self._length += 1

    def take(self, most: int) -> list[T]:
        """At most this many items of the next namespace; empty if none wait."""
        namespace = next(iter(self._waiting), None)
        if namespace is None:
            return []
        line = self._waiting.pop(namespace)
        taken = [line.pop() for _ in range(min(most, len(line)))]
        if line:
            self._waiting[namespace] = line  # behind all others
        self._length -= len(taken)
        return taken

    def take_first(self, fits: Callable[[T], bool]) -> T | None:
        """The first of the first namespace whose first fits; None if there is none."""
        for namespace, line in self._waiting.items():
            if fits(line.first):
                first = line.pop()
                del self._waiting[namespace]
                if line:
                    self._waiting[namespace] = line
                self._length -= 1
                return first
        return None

    def has(self, fits: Callable[[T], bool]) -> bool:
        """Whether the first of any namespace fits."""
        return any(fits(line.first) for line in self._waiting.values())

    def all(self) -> list[T]:
        """Everything at once, in no particular order between namespaces."""
        found = [item for line in self._waiting.values() for item in line]
        self._waiting.clear()
        self._length = 0
        return found
