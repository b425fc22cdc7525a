"""What was worked out last for sets of members, which many rulesets have in common."""

import threading
from collections.abc import Callable, Hashable, Sized
from typing import Any, Final, Generic, TypeVar

Members = TypeVar("Members", bound=Sized)
Value = TypeVar("Value")

MOST: Final = 20_000
"""Members of all that is remembered by one function: a megabyte or two."""
_OVERHEAD: Final = 20  # of one set, in members


class Recent(Generic[Members, Value]):
    """A function of members that remembers its last values. For any thread."""

    def __init__(
        self,
        function: Callable[[Members], Value],
        most: int = MOST,
        key: Callable[[Any], Hashable] = lambda members: members,
    ) -> None:
        """Remember nothing yet.

        Args:
            function: Makes the value; may be called twice for one set, by two threads.
            most: Members of all remembered sets; a larger set is not remembered.
            key: Equal exactly for members that have one value. `id` is right for values that are not changed: they are
                remembered, too, so no other gets the same.
        """
        self._function, self._most, self._key = function, most, key
        self._lock = threading.Lock()  # guards all that follows
        self._values: dict[Hashable, tuple[Members, Value]] = {}  # the last used is last
        self._total = 0

    def __call__(self, members: Members) -> Value:
        """The function's value, or its error, which is not remembered."""
        key = self._key(members)
        with self._lock:
            if key in self._values:
                self._values[key] = found = self._values.pop(key)
                return found[1]
        value = self._function(members)
        with self._lock:
            if key not in self._values and _size(members) <= self._most:
                self._keep(key, members, value)
        return value

    def _keep(self, key: Hashable, members: Members, value: Value) -> None:
        self._values[key] = members, value
        self._total += _size(members)
        while self._total > self._most:
            oldest, _ = self._values.pop(next(iter(self._values)))
            self._total -= _size(oldest)


def _size(members: Sized) -> int:
    return len(members) + _OVERHEAD
