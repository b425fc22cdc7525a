"""A dict of sets without empty sets: churn of keys leaves nothing behind.

Sets of thousands of pods are kept as the keys of a dict, which take a third of the memory of a set, and a single value
in a tuple, which takes a quarter: most addresses have one pod.
"""

from collections.abc import Hashable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)


class Multimap(Generic[Key, Value]):
    """Several values for each key."""

    def __init__(self) -> None:
        self._sets: dict[Key, dict[Value, None] | tuple[Value]] = {}

    def add(self, key: Key, value: Value) -> None:
        """Add a value; no effect if the key has it."""
        values = self._sets.setdefault(key, (value,))
        if isinstance(values, dict):
            values[value] = None
        elif values[0] != value:
            self._sets[key] = {values[0]: None, value: None}

    def discard(self, key: Key, value: Value) -> None:
        """Remove a value; no effect if the key lacks it."""
        values = self._sets.get(key)
        if isinstance(values, dict):
            values.pop(value, None)
            if len(values) == 1:
                self._sets[key] = (next(iter(values)),)
        elif values is not None and values[0] == value:
            del self._sets[key]

    def __getitem__(self, key: Key) -> AbstractSet[Value]:
        """Return the values of a key, none for an unknown key; until the next change."""
        values = self._sets.get(key, ())
        return values.keys() if isinstance(values, dict) else frozenset(values)

    def union(self, keys: Iterable[Key]) -> set[Value]:
        """The values of several keys. A dict has the hashes of its keys: they are not worked out again."""
        return set[Value]().union(*(self._sets.get(key, ()) for key in keys))

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._sets)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys."""
        return iter(self._sets)
