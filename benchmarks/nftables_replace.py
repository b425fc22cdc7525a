"""One full replacement, by our messages and by libnftables: `python benchmarks/nftables_replace.py` as root.

26 rules, in one namespace and in 100 on 16 threads; the commit alone, in turns, and with the rest of an applier's work.
"""

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from nftables_apply import group, sandbox

from mnp_core.api import Sandbox
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.libnftables import LIBRARY
from mnp_nftables.renderer import NftablesRuleset

RULES, THREADS, NAMESPACES, ROUNDS = 26, 16, 100, 15


def work_of(ruleset: NftablesRuleset, library: ctypes.CDLL) -> dict[str, Callable[[], None]]:
    text, applier = ruleset.text.encode(), NftablesApplier()

    def by_library() -> None:
        context = library.nft_ctx_new(0)
        if library.nft_run_cmd_from_buffer(ctypes.c_void_p(context), text):
            raise RuntimeError("refused")
        library.nft_ctx_free(ctypes.c_void_p(context))

    def by_messages() -> None:
        with Nfnetlink() as kernel:
            kernel.commit(ruleset.batch)

    return {
        "messages, the commit": by_messages,
        "messages, all of apply": lambda: applier.apply(ruleset),
        "libnftables, the commit": by_library,
    }


def milliseconds(pool: SandboxPool, sandboxes: Sequence[Sandbox], work: Callable[[], None]) -> float:
    began = time.perf_counter()
    for future in [pool.submit(each, work) for each in sandboxes]:
        future.result()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    library = ctypes.CDLL(LIBRARY)
    library.nft_ctx_new.restype = ctypes.c_void_p
    policy = sandbox(group([]).members, rules=RULES)
    ways = work_of(NftablesRenderer().render(policy), library)
    print("load:", *(f"{load:.1f}" for load in os.getloadavg()))
    with ExitStack() as stack:
        namespaces = [stack.enter_context(private_namespace()) for _ in range(NAMESPACES)]
        pool = stack.enter_context(SandboxPool(THREADS))
        for some in (namespaces[:1], namespaces):
            for work in ways.values():
                milliseconds(pool, some, work)
            taken = {label: [] for label in ways}
            for _ in range(ROUNDS):
                for label, work in ways.items():
                    taken[label].append(milliseconds(pool, some, work))
            for label, found in taken.items():
                print(f"{len(some):>3} {label:<26}{statistics.median(found):8.2f} ms   (best {min(found):.2f})")


if __name__ == "__main__":
    main()
