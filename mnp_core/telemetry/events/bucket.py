"""A token bucket: a burst, then a steady rate."""

from typing import Final

_ROUNDING: Final = 1e-9  # of a token: waiting for `wait()` seconds always yields one


class TokenBucket:
    """Starts full. Not thread-safe."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        """Create a full bucket.

        Args:
            rate: Tokens refilled per second.
            burst: Capacity.
            now: Seconds on the clock of all later calls.
        """
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled = now

    def wait(self, now: float) -> float:
        """Seconds until a token is available; 0 if one is."""
        self._fill(now)
        lacking = 1.0 - self._tokens
        return lacking / self._rate if lacking > _ROUNDING else 0.0

    def take(self, now: float) -> bool:
        """Take a token if one is available."""
        if self.wait(now) > 0:
            return False
        self._tokens -= 1.0
        return True

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
