"""Keep what the allocator holds close to what is used, and the collector of cycles out of the way.

See mallopt(3), malloc_trim(3) and Python's gc.freeze().

glibc gives threads arenas of their own, and a node has some forty threads, each of which parses a ruleset now and then:
what that took stays in its arena. Other C libraries lack these calls, and the habit.
"""

import ctypes
import gc

_M_ARENA_MAX = -8  # <malloc.h>


def share_arenas() -> None:
    """Have all threads allocate from one arena. To be called before there are any."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def release_memory() -> None:
    """Return to the kernel what is free, as after the first lists, or a change of rules in many pods.

    And look for cycles in everything that is known of the cluster, now that nobody waits: with thousands of pods that
    takes 70 ms, which would otherwise be in the middle of a change. What is left is not looked at until the next time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
