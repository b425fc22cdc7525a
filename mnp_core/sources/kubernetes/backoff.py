"""When to ask again."""

from random import Random, SystemRandom

from mnp_core.classes import frozen


@frozen(kw_only=True)
class WatchTiming:
    """Times, all in seconds. The defaults suit a cluster of a thousand nodes.

    Attributes:
        base_seconds: The longest wait after a first failure; it doubles with every further one.
        max_seconds: The longest wait ever.
        stable_after_seconds: The duration of a watch that counts as working again.
        watch_timeout_seconds: Bounds of the timeout that the server is asked for: different on each node, and short
            enough that load spreads over servers that were added.
        idle_watch_timeout_seconds: Likewise for a kind without bookmarks: less than the 90 seconds of silence after
            which a connection counts as dead.
        rediscover_seconds: Bounds of the pause until a missing kind is looked for again.
        absent_after_seconds: For so long a kind has to be missing until it counts as not served. A server that has just
            started lacks custom resources for a moment, ready or not.
        removed_after_seconds: Likewise for a kind that was served before: its objects count as gone then, which opens
            pods.
    """

    base_seconds: float = 0.8
    max_seconds: float = 30.0
    stable_after_seconds: float = 5.0
    watch_timeout_seconds: tuple[float, float] = (240.0, 480.0)
    idle_watch_timeout_seconds: tuple[float, float] = (45.0, 75.0)
    rediscover_seconds: tuple[float, float] = (3.0, 5.0)
    absent_after_seconds: float = 2.0
    removed_after_seconds: float = 10.0


class Backoff:
    """Exponential, with full jitter: many nodes that lose one server come back spread over the whole time."""

    def __init__(self, timing: WatchTiming, chance: Random | None = None) -> None:
        """Begin without failures."""
        self._timing = timing
        self._chance = chance or SystemRandom()
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        longest = min(self._timing.max_seconds, self._timing.base_seconds * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._chance.uniform(0, longest)

    def reset(self) -> None:
        """It works again."""
        self._failures = 0
