"""Reads on the agent's own thread, short ones: it has packets' rules to write."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from time import perf_counter, sleep
from typing import Final, TypeVar

from mnp_core.node.status.protocol import Refusal, RefusedError

S = TypeVar("S")
T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]

SLICE_SECONDS: Final = 0.005  # of the agent's thread at a time, with as long a pause after it
_SECONDS: Final = 10.0


def read(post: Post, look: Callable[[], T], seconds: float = _SECONDS) -> T:
    """Call a function on the agent's thread, and return or raise its result.

    Raises:
        RefusedError: The thread had no time for it.
    """
    future: Future[T] = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(look())
            except Exception as error:  # noqa: BLE001 - it concerns the one who asks, not the agent
                future.set_exception(error)

    post(run)
    try:
        return future.result(seconds)
    except FutureTimeoutError as error:
        if not future.cancel() and future.done():
            return future.result()
        raise RefusedError(Refusal.NO_ANSWER, f"the agent is busy or ending: no answer in {seconds:g} s") from error


def read_each(post: Post, keys: Sequence[S], look: Callable[[S], T | None]) -> Iterator[T]:
    """Call a function for each key on the agent's thread, a few milliseconds at a time; None is left out."""
    done = 0
    while done < len(keys):

        def look_at_some(start: int = done) -> tuple[int, list[T]]:
            found, end, at = [], perf_counter() + SLICE_SECONDS, start
            while at < len(keys) and (at == start or perf_counter() < end):
                value = look(keys[at])
                at += 1
                if value is not None:
                    found.append(value)
            return at, found

        done, values = read(post, look_at_some)
        yield from values
        if done < len(keys):
            sleep(SLICE_SECONDS)
