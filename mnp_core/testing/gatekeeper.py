"""A gatekeeper for tests of gates: it records each call, and answers when the test says so."""

import threading
import time
from collections.abc import Callable, Sequence

from mnp_core.api import Admission, Decision, PodStart
from mnp_core.classes import frozen
from mnp_core.model import ObjectName

_SECONDS = 10.0


@frozen
class Stopped:
    """A sandbox that has ended, as told by a gate."""

    pod: ObjectName
    uid: str
    netns: str


class FakeGatekeeper:
    """A `mnp_core.api.Gatekeeper`.

    Attributes:
        asked: All calls of `admit`, in order.
        limits: Their limits, in seconds.
        lists: All calls of `running`: the gate's name and the pods.
        gone: All calls of `stopped`.
    """

    def __init__(self, decision: Decision | None = None, *, punctual: bool = True) -> None:
        """Make one.

        Args:
            decision: The answer for all pods without one of their own; None to hold them.
            punctual: Whether the limit that a gate gives is kept.
        """
        self.asked: list[PodStart] = []
        self.limits: list[float | None] = []
        self.lists: list[tuple[str, tuple[PodStart, ...]]] = []
        self.gone: list[Stopped] = []
        self._decision = decision
        self._punctual = punctual
        self._decisions: dict[ObjectName, Decision] = {}
        self._changed = threading.Condition()

    def admit(self, start: PodStart, *, seconds: float | None = None) -> Decision:
        """Hold the pod until `decide`, or the limit."""
        with self._changed:
            self.asked.append(start)
            self.limits.append(seconds)
            self._changed.notify_all()
            limit = seconds if self._punctual and seconds is not None else _SECONDS
            self._changed.wait_for(lambda: self._answer(start.pod) is not None, limit)
            return self._answer(start.pod) or Decision(admission=Admission.REFUSED, reason="no decision in the test")

    def running(self, gate: str, pods: Sequence[PodStart]) -> None:
        """Record it."""
        with self._changed:
            self.lists.append((gate, tuple(pods)))
            self._changed.notify_all()

    def stopped(self, pod: ObjectName, uid: str, netns: str = "") -> None:
        """Record it."""
        with self._changed:
            self.gone.append(Stopped(pod, uid, netns))
            self._changed.notify_all()

    def decide(self, decision: Decision | None, *pods: ObjectName) -> None:
        """Answer for these pods, or for all, from now on; with None they are held."""
        with self._changed:
            for pod in pods:
                if decision is None:
                    self._decisions.pop(pod, None)
                else:
                    self._decisions[pod] = decision
            if not pods:
                self._decision = decision
            self._changed.notify_all()

    def wait_for(self, condition: Callable[["FakeGatekeeper"], object], seconds: float = _SECONDS) -> None:
        """Wait until the records are so.

        Raises:
            AssertionError: They are not in time.
        """
        with self._changed:
            reached = self._changed.wait_for(lambda: condition(self), seconds)
        if not reached:
            raise AssertionError(f"not within {seconds:g} s: asked {self.asked!r:.300}, gone {self.gone!r:.300}")

    def _answer(self, pod: ObjectName) -> Decision | None:
        return self._decisions.get(pod, self._decision)


def wait_until(condition: Callable[[], object], what: str, seconds: float = _SECONDS) -> None:
    """Wait for something that no call tells of.

    Raises:
        AssertionError: It does not come true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
