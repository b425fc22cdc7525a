"""A cache limited by weight, which drops the least recently used values."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_LINES = 20_000


class WeightedCache(Generic[T]):
    """A cache limited by the weight of its values; the most recently used one stays, whatever its weight."""

    def __init__(self, limit: int = _MAX_LINES) -> None:
        """Start empty; `limit` is the maximum total weight, by default in lines of rules."""
        self._limit = limit
        self._kept: dict[Hashable, tuple[T, int]] = {}
        self._weight = 0

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key and mark it as used; None for an unknown key."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._kept[key] = found
        return found[0]

    def keep(self, key: Hashable, value: T, weight: int) -> T:
        """Add a value under a new key, return it, and drop the least recently used ones above the limit."""
        self._kept[key] = value, weight
        self._weight += weight
        while self._weight > self._limit and len(self._kept) > 1:
            _, dropped = self._kept.pop(next(iter(self._kept)))
            self._weight -= dropped
        return value

    def clear(self) -> None:
        """Drop all values."""
        self._kept.clear()
        self._weight = 0
