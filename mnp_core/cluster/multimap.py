"""A dict of sets without empty sets: churn of keys leaves nothing behind."""

from collections.abc import Hashable, Iterator
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)


class Multimap(Generic[Key, Value]):
    """Several values for each key."""

    def __init__(self) -> None:
        self._sets: dict[Key, set[Value]] = {}

    def add(self, key: Key, value: Value) -> None:
        """Add a value; no effect if the key has it."""
        self._sets.setdefault(key, set()).add(value)

    def discard(self, key: Key, value: Value) -> None:
        """Remove a value; no effect if the key lacks it."""
        values = self._sets.get(key)
        if values is not None:
            values.discard(value)
            if not values:
                del self._sets[key]

    def __getitem__(self, key: Key) -> AbstractSet[Value]:
        """Return the values of a key, none for an unknown key; a live view."""
        return self._sets.get(key, frozenset())

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._sets)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys."""
        return iter(self._sets)
