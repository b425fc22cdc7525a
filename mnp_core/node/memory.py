"""Keep what the allocator holds close to what is used; see mallopt(3) and malloc_trim(3).

glibc gives threads arenas of their own, and a node has some forty threads, each of which parses a ruleset now and then:
what that took stays in its arena. Other C libraries lack these calls, and the habit.
"""

import ctypes

_M_ARENA_MAX = -8  # <malloc.h>


def share_arenas() -> None:
    """Have all threads allocate from one arena. To be called before there are any."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the kernel what is free, as after the first lists, or a change of rules in many pods."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
