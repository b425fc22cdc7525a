"""How long a writer leaves an API server alone that did not take what it sent."""

import math
from collections.abc import Callable
from typing import Final

_FIRST_SECONDS: Final = 1.0  # doubled each time
_LONGEST_ASKED_SECONDS: Final = 600.0


class Pause:
    """Exponential and spread, so that the writers of many nodes do not come back at once.

    Attributes:
        until: The time of the next try, of the caller's clock.
    """

    def __init__(self, longest: float, chance: Callable[[], float]) -> None:
        """Start without failures.

        Args:
            longest: The limit of what the pause doubles to, in seconds.
            chance: A random number from 0 to 1, or one of this writer's own.
        """
        self.until = -math.inf
        self._longest, self._chance, self._seconds = longest, chance, 0.0

    def failed(self, now: float, asked: float | None = None) -> None:
        """Wait longer than the last time, and at least as long as the server asks for (Retry-After), within a limit."""
        self._seconds = min(max(_FIRST_SECONDS, self._seconds * 2), self._longest)
        self.spread(now, self._seconds)
        self.until = max(self.until, now + min(asked or 0.0, _LONGEST_ASKED_SECONDS))

    def spread(self, now: float, seconds: float) -> None:
        """Wait about so long: from half to one and a half times."""
        self.hold(now, seconds * (0.5 + self._chance()))

    def hold(self, now: float, seconds: float) -> None:
        """Wait so long."""
        self.until = now + seconds

    def succeeded(self) -> None:
        """Start anew with the shortest pause."""
        self._seconds = 0.0
