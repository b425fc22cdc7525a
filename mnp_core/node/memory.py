"""Keep the allocator's memory close to the memory in use, and the garbage collector out of the way.

See mallopt(3), malloc_trim(3) and Python's gc.freeze().

glibc gives threads arenas of their own, and a node has some forty threads, each of which parses a ruleset now and then:
that memory stays in its arena. Other C libraries lack both these calls and per-thread arenas.
"""

import ctypes
import gc

_M_ARENA_MAX = -8  # <malloc.h>


def share_arenas() -> None:
    """Make all threads allocate from one arena. Call it before any thread starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def release_memory() -> None:
    """Return free memory to the kernel, as after the first lists, or a change of rules in many pods.

    Also collect cycles in the whole cluster state, while the node is idle: with thousands of pods that takes 70 ms,
    which would otherwise be in the middle of a change. The remaining objects are frozen until the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
