"""A ruleset, and one member more, in many network namespaces at once, beside the commits alone: the floor.

The floor commits the same bytes from as many threads with nothing around it: no entering by the checked way, no
comparison, no search for leftovers, no stamp. Its sockets stay open, as ours do: closing them would wait for the
kernel's clean-up, ten times as long as the commit. Both are measured in turns; the ratio of each turn counts.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Final

from benchmarks.bench.measurement import Measurement
from benchmarks.nftables_apply import group, sandbox
from mnp_core.api import Sandbox
from mnp_core.model import GroupDelta
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.kept import kept_socket
from mnp_core.sandbox._syscalls import setns
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.membership import change

PART: Final = "apply"
_NAMESPACES, _RULES, _MEMBERS, _THREADS, _ROUNDS = (1, 10, 100, 250), 26, 100, 32, 15
_MOST: Final = 1.3
"""Of the floor, in 100 namespaces."""
_CLONE_NEWNET: Final = 0x40000000


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Ruleset and delta, in each number of namespaces."""
    members = [IPv4Address("10.0.0.1") + number for number in range(_MEMBERS)]
    renderer, applier = NftablesRenderer(), NftablesApplier()
    ruleset = renderer.render(sandbox(members, rules=_RULES))
    changes = [GroupDelta(before=group(members), after=group([*members, IPv4Address("10.9.9.9")]))]
    changes.append(GroupDelta(before=changes[0].after, after=changes[0].before))
    added, removed = map(renderer.render_delta, changes)
    sizes, rounds = (_NAMESPACES[:2], 5) if quick else (_NAMESPACES, _ROUNDS)
    with ExitStack() as stack:
        namespaces = [stack.enter_context(private_namespace()) for _ in range(max(sizes))]
        turns = _Turns(stack, rounds)
        for size in sizes:
            some = namespaces[:size]
            yield from turns.compare(f"ruleset, {size} namespaces", some, lambda: applier.apply(ruleset), ruleset.batch)
            add, remove = (lambda: applier.update(added)), (lambda: applier.update(removed))
            yield from turns.compare(f"one member, {size} namespaces", some, add, change(added), remove)


class _Turns:
    """Times our work and its floor in turns."""

    def __init__(self, stack: ExitStack, rounds: int) -> None:
        self._pool = stack.enter_context(SandboxPool(_THREADS))
        self._threads = stack.enter_context(ThreadPoolExecutor(_THREADS))
        self._rounds = rounds

    def compare(
        self,
        name: str,
        some: Sequence[Sandbox],
        work: Callable[[], object],
        batch: Batch,
        undo: Callable[[], object] | None = None,
    ) -> Iterator[Measurement]:
        """Ours in milliseconds, and the ratio to the floor; `undo` follows each, unmeasured."""
        ours, ratios, processor = [], [], []
        for turn in range(self._rounds + 1):
            wall, used = self._ours(some, work)
            self._undo(some, undo)
            floor, floor_used = self._floor(some, batch)
            self._undo(some, undo)
            if turn:  # the first turn warms up both
                ours.append(wall)
                ratios.append(wall / floor)
                processor.append(used / floor_used)
        target = _MOST if len(some) == 100 else None
        yield Measurement(part=PART, name=f"nftables: {name}", unit="ms", samples=ours)
        yield Measurement(part=PART, name=f"nftables: {name}, by the floor", unit="x", samples=ratios, target=target)
        yield Measurement(part=PART, name=f"nftables: {name}, processor by the floor", unit="x", samples=processor)

    def _ours(self, some: Sequence[Sandbox], work: Callable[[], object]) -> tuple[float, float]:
        return _timed(lambda: [future.result() for future in [self._pool.submit(each, work) for each in some]])

    def _floor(self, some: Sequence[Sandbox], batch: Batch) -> tuple[float, float]:
        return _timed(lambda: [*self._threads.map(lambda each: _commit(each.path, batch), some)])

    def _undo(self, some: Sequence[Sandbox], undo: Callable[[], object] | None) -> None:
        if undo is not None:
            self._ours(some, undo)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of wall clock and of processor."""
    wall, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - used) * 1000


def _commit(path: str, batch: Batch) -> None:
    """Commit in a namespace, by the calling thread of a pool of its own, which stays there until its next commit."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, _CLONE_NEWNET)
    finally:
        os.close(fd)
    with kept_socket() as kernel:
        kernel.commit(batch)
