"""Keep the allocator's memory close to the memory in use, and the garbage collector out of the way.

See mallopt(3), malloc_trim(3) and Python's gc.freeze().

glibc gives threads arenas of their own, and a node has some forty threads, each of which parses a ruleset now and then:
that memory stays in its arena. Other C libraries lack both these calls and per-thread arenas.

Large blocks, such as pages of lists and batches of rules, come from mmap(2) and go back to the kernel when they are
freed. By itself glibc would soon take blocks of up to 32 MiB from the heap, where a small one behind them keeps them.
"""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # <malloc.h>
_LARGE = 256 * 1024  # bytes of a block
_KEPT = 1024 * 1024  # free bytes at the end of the heap
_YOUNG = 10_000  # new objects until the next collection of these


def prepare_memory() -> None:
    """Make all threads allocate from one arena, and large blocks apart. Call it before any thread starts.

    The objects of imports are left out of collections, which become rarer: the first lists make many objects.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


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
