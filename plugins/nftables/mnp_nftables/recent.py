"""What was worked out last for the members of groups, which many rulesets have in common."""

import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

Value = TypeVar("Value")

MOST: Final = 20_000
"""Members of all that is remembered by one function: a megabyte or two."""
_OVERHEAD: Final = 20  # of one set, in members


class Recent(Generic[Value]):
    """A function of a set of members that remembers its last values. For any thread."""

    def __init__(self, function: Callable[[frozenset[Any]], Value], most: int = MOST) -> None:
        """Remember nothing yet.

        Args:
            function: Makes the value; may be called twice for one set, by two threads.
            most: Members of all remembered sets; a larger set is not remembered.
        """
        self._function, self._most = function, most
        self._lock = threading.Lock()  # guards all that follows
        self._values: dict[frozenset[Any], Value] = {}  # the last used is last
        self._total = 0

    def __call__(self, members: frozenset[Any]) -> Value:
        """The function's value, or its error, which is not remembered."""
        with self._lock:
            if members in self._values:
                self._values[members] = found = self._values.pop(members)
                return found
        value = self._function(members)
        with self._lock:
            if members not in self._values and _size(members) <= self._most:
                self._keep(members, value)
        return value

    def _keep(self, members: frozenset[Any], value: Value) -> None:
        self._values[members] = value
        self._total += _size(members)
        while self._total > self._most:
            oldest = next(iter(self._values))
            del self._values[oldest]
            self._total -= _size(oldest)


def _size(members: frozenset[Any]) -> int:
    return len(members) + _OVERHEAD
