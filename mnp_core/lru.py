"""What was made last and may be needed again, as long as it is not too much."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 20_000  # lines of rules


class WeightedCache(Generic[T]):
    """A cache that is bounded by the weight of what it holds; what was used last is kept, however big it is."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[Hashable, tuple[T, int]] = {}
        self._weight = 0

    def get(self, key: Hashable) -> T | None:
        """What was kept under a key; it was used last now."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._kept[key] = found
        return found[0]

    def keep(self, key: Hashable, value: T, weight: int) -> T:
        """Keep a value that is not kept yet, and forget what was not used for longest if there is too much."""
        self._kept[key] = value, weight
        self._weight += weight
        while self._weight > self._most and len(self._kept) > 1:
            _, dropped = self._kept.pop(next(iter(self._kept)))
            self._weight -= dropped
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._weight = 0
