"""Liveness of the node's loop, and readiness: whether the node enforces the current policy.

Liveness is a matter of time: a hanging loop cannot report itself, so it has to send heartbeats. Readiness is set by the
loop. A node that is not ready keeps its previous rules in force (S62).
"""

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mnp_core.classes import frozen
from mnp_core.lasting import LastingThread

LONGEST_SILENCE: Final = 60.0  # seconds; a working loop sends a heartbeat at least every few


class Unready(StrEnum):
    """The reason for a node not being ready: stable words for probes, people and scripts."""

    STARTING = "Starting"  # settings, plugins and backends are being checked
    WAITING_FOR_API_SERVER = "WaitingForApiServer"  # not every kind was listed yet
    FIRST_SYNC = "FirstSync"  # all is known, and being brought into force for the first time
    STOPPING = "Stopping"  # rules stay in force


@frozen
class Answer:
    """The answer to a probe.

    Attributes:
        good: Whether the answer is yes.
        text: One line: a reason and a sentence.
    """

    good: bool
    text: str


class Health:
    """Set by the loop, read by probes. Thread safe."""

    def __init__(
        self, *, longest_silence: float = LONGEST_SILENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin alive and not ready.

        Args:
            longest_silence: Seconds without a `beat` after which the loop is taken for dead.
            clock: Seconds, monotonic.
        """
        self._lock = threading.Lock()
        self._silence = longest_silence
        self._clock = clock
        self._beaten = clock()
        self._needs: list[LastingThread] = []
        self._unready: Answer | None = _no(Unready.STARTING, "the node agent has just been started")

    def beat(self) -> None:
        """Record a heartbeat."""
        with self._lock:
            self._beaten = self._clock()

    def depends_on(self, thread: LastingThread) -> None:
        """Report the node dead once this thread has ended, unless the node stops."""
        with self._lock:
            self._needs.append(thread)

    def ready(self) -> None:
        """Set ready: the current policy is in force, except for reported problems."""
        with self._lock:
            self._unready = None

    def not_ready(self, reason: Unready, sentence: str) -> None:
        """Set not ready, with the reason: one sentence that names the awaited condition."""
        with self._lock:
            self._unready = _no(reason, sentence)

    def alive(self) -> Answer:
        """Whether the last heartbeat is recent, and no thread that the node needs has ended."""
        with self._lock:
            silent = self._clock() - self._beaten
            stops = self._unready is not None and self._unready.text.startswith(Unready.STOPPING)
            ended = [] if stops else [thread for thread in self._needs if not thread.alive]
        if ended:
            return Answer(good=False, text=f"Dead: the thread {ended[0].name} has ended")
        if silent <= self._silence:
            return Answer(good=True, text="ok")
        return Answer(good=False, text=f"Hanging: the agent's loop gave no sign of life for {silent:.0f} s")

    def readiness(self) -> Answer:
        """Whether it is ready; if not, the reason and the sentence."""
        with self._lock:
            return self._unready or Answer(good=True, text="ok")


def _no(reason: Unready, sentence: str) -> Answer:
    return Answer(good=False, text=f"{Unready(reason)}: {sentence}")
