"""The loop of a node: what the source delivers goes to the agent, what the agent did goes to telemetry.

Before the source has told everything once, nothing is written: what looks like a pod that nobody polices may be one
whose policy has not been read yet (S62). From then on every change is taken in at once; changes that come while one is
being taken in are taken in together.
"""

import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from mnp_core.agent.agent import Agent
from mnp_core.api import Sync
from mnp_core.model import Change
from mnp_core.turns import Turns

WATCH_INTERVAL: Final = 1.0  # seconds between two looks after sandboxes that do not tell of changes themselves
_LONGEST_PASS: Final = 1.0  # seconds after which a pass is told of though somebody is still busy
_SLICE: Final = 0.05  # seconds for which changes are taken in, until what was done meanwhile is looked at
_FEW: Final = 16  # changes of one namespace that are taken in together
_FAREWELL: Final = 5.0  # seconds for what is being written when the node stops


class Source(Protocol):
    """What the loop needs of `mnp_core.sources.kubernetes.KubernetesSource`."""

    def start(self) -> None:
        """Begin to deliver."""

    def stop(self) -> None:
        """Deliver no more."""

    @property
    def complete(self) -> bool:
        """Whether everything that there is has been delivered once."""

    @property
    def waiting(self) -> Sequence[str]:
        """What it still waits for, a sentence each."""


class Witness(Protocol):
    """Who is told how the node is doing."""

    def waiting(self, sentences: Sequence[str]) -> None:
        """What the source waits for has changed: before it has told everything, and also later."""

    def began(self) -> None:
        """Everything is known, and is being brought into force for the first time."""

    def ready(self) -> None:
        """Every pod has been seen to."""

    def stopping(self) -> None:
        """The node stops; rules stay in force."""

    def alive(self, agent: Agent) -> None:
        """The loop goes round; at least every few seconds."""

    def synced(self, sync: Sync) -> None:
        """A pass is over."""


class Node:
    """Joins a source with an agent. `deliver` is for the source's threads, `run` for the thread that owns the agent."""

    def __init__(self, agent: Agent, witness: Witness) -> None:
        self._agent = agent
        self._witness = witness
        self._lock = threading.Lock()
        self._delivered: Turns[tuple[Change, float]] = Turns()
        self._begun = False
        self._stopped = False
        self._pass_since: float | None = None
        self._waiting: tuple[str, ...] = ()

    def deliver(self, changes: Sequence[Change], heard: float) -> None:
        """Take changes from a source, on any thread.

        Args:
            changes: In their order.
            heard: When they were heard of (time.monotonic).
        """
        with self._lock:
            first = not self._delivered
            for change in changes:
                self._delivered.add(change.ref.name.namespace, [(change, heard)])
        if first:
            self._agent.post(self._take_in)

    def stop(self) -> None:
        """Have `run` return soon; from any thread, also from a signal's handler."""
        self._stopped = True
        self._agent.post(_nothing)

    def run(self, source: Source) -> None:
        """Keep the node as policy says until `stop`, and leave the rules in force (S62)."""
        source.start()
        try:
            self._wait_for(source)
            ready = False
            while not self._stopped:
                self._turn()
                self._tell_of_waiting(source)
                if not ready and self._begun and self._agent.synced_once:
                    ready = True
                    self._witness.ready()
        finally:
            self._witness.stopping()
            source.stop()
            self._finish()

    def _wait_for(self, source: Source) -> None:
        """Gather until everything is known, and then begin."""
        while not self._stopped and not source.complete:
            self._tell_of_waiting(source)
            self._witness.alive(self._agent)
            self._agent.process(0.05)
        if not self._stopped:
            self._witness.began()
            self._begun = True
            with self._lock:
                everything = self._delivered.all()
            self._submit(everything)

    def _tell_of_waiting(self, source: Source) -> None:
        if (sentences := tuple(source.waiting)) != self._waiting:
            self._waiting = sentences
            self._witness.waiting(sentences)

    def _turn(self) -> None:
        """Wait for something to happen, at most until sandboxes want to be looked after."""
        until = time.monotonic() + WATCH_INTERVAL
        while not self._stopped and (now := time.monotonic()) < until:
            self._agent.process(until - now)
            self._tell_of_pass()
        self._agent.watch()
        self._witness.alive(self._agent)

    def _take_in(self) -> None:
        """Take in what has come, a few changes of one namespace after those of another; then let others have a turn."""
        if not self._begun:
            return
        end = time.monotonic() + _SLICE
        while time.monotonic() < end:
            with self._lock:
                taken = self._delivered.take(_FEW)
            if not taken:
                return
            self._submit(taken)
        self._agent.post(self._take_in)

    def _submit(self, taken: list[tuple[Change, float]]) -> None:
        heard = min((heard for _, heard in taken), default=None)
        self._agent.submit([change for change, _ in taken], heard)

    def _tell_of_pass(self) -> None:
        """Tell what a change has led to, when all of it is done, or when it takes long; much of it in parts."""
        now = time.monotonic()
        if self._agent.busy and self._pass_since is None:
            self._pass_since = now
        if self._agent.busy and self._pass_since is not None and now - self._pass_since < _LONGEST_PASS:
            return
        self._pass_since = None
        if (sync := self._agent.take_sync()) is not None:
            self._witness.synced(sync)
        if self._agent.has_reports:
            self._pass_since = now - _LONGEST_PASS
            self._agent.post(_nothing)  # wakes up the loop: there is more to tell

    def _finish(self) -> None:
        """What was begun in a sandbox is done to its end; nothing new is begun."""
        end = time.monotonic() + _FAREWELL
        self._agent.drain()
        while self._agent.busy and time.monotonic() < end:
            self._agent.process(end - time.monotonic())
        self._tell_of_pass()


def _nothing() -> None:
    """Posted to the agent so that it does not wait any more."""
