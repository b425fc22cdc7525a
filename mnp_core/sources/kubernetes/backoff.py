"""When to ask again."""

from random import Random, SystemRandom

from attrs import frozen


@frozen(kw_only=True)
class WatchTiming:
    """Times, all in seconds. The defaults suit a cluster of a thousand nodes.

    Attributes:
        base: The longest wait after a first failure; it doubles with every further one.
        cap: The longest wait ever.
        settled: How long a watch has to last to count as working again.
        watch_for: Bounds for when the server is asked to end a watch: all nodes at different times, and each so often
            that load spreads over servers that were added.
        quiet_for: The same for a kind of which the server sends no bookmarks: less than the 90 seconds of silence after
            which a connection counts as dead.
        look_again: Bounds for when to look again whether a missing kind has appeared.
        believed_after: For how long a kind has to be missing until it counts as not served. A server that has just
            started does not know of custom resources for a moment, ready or not.
        given_up_after: The same, if it was served before: its objects count as gone then, which opens pods.
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
