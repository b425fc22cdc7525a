"""A token bucket: so many at once, and then so many a second."""

from typing import Final

_ROUNDING: Final = 1e-9  # of a token: who has waited as long as it was told has waited long enough


class TokenBucket:
    """Full at first. Belongs to one thread."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        """Fill it.

        Args:
            rate: Tokens that come back, a second.
            burst: Tokens that it holds.
            now: Seconds on the clock that all later calls go by.
        """
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled = now

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 if there is one."""
        self._fill(now)
        lacking = 1.0 - self._tokens
        return lacking / self._rate if lacking > _ROUNDING else 0.0

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        if self.wait(now) > 0:
            return False
        self._tokens -= 1.0
        return True

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
