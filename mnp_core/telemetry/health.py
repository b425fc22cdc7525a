"""Whether the node's loop is alive, and whether the node enforces what policy says now.

Alive is a matter of time: a loop that hangs cannot say so, so it has to give a sign of life again and again. Ready is
what the loop says of itself. A node that is not ready still has in force what was there before (S62).
"""

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from attrs import frozen

from mnp_core.lasting import LastingThread

LONGEST_SILENCE: Final = 60.0  # seconds; a loop that works gives a sign at least every few


class Unready(StrEnum):
    """Why a node is not ready: stable words for probes, people and scripts."""

    STARTING = "Starting"  # settings, plugins and backends are being looked at
    WAITING_FOR_API_SERVER = "WaitingForApiServer"  # not every kind was listed yet
    FIRST_SYNC = "FirstSync"  # all is known, and being brought into force for the first time
    STOPPING = "Stopping"  # rules stay in force


@frozen
class Answer:
    """What a probe is told.

    Attributes:
        good: Whether the answer is yes.
        text: One line: a reason and a sentence.
    """

    good: bool
    text: str


class Health:
    """Told by the loop, asked by probes. Thread safe."""

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
        """Give a sign of life."""
        with self._lock:
            self._beaten = self._clock()

    def depends_on(self, thread: LastingThread) -> None:
        """Take a node for dead when a thread that it needs has ended, unless the node stops."""
        with self._lock:
            self._needs.append(thread)

    def ready(self) -> None:
        """Say that all that policy asks for now is in force, but for what is reported."""
        with self._lock:
            self._unready = None

    def not_ready(self, reason: Unready, sentence: str) -> None:
        """Say that it is not, and why: one sentence that names what is waited for."""
        with self._lock:
            self._unready = _no(reason, sentence)

    def alive(self) -> Answer:
        """Whether the loop gave a sign of life lately, and no thread that the node needs has ended."""
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
