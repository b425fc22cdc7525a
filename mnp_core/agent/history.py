"""The last results in each local pod, for whoever asks what the agent has done. Times are those of its clock."""

from typing import Final
from weakref import WeakKeyDictionary

from attrs import evolve, frozen

from mnp_core.agent.pod_state import PodState
from mnp_core.api import Outcome, Result

_IN_FORCE: Final = frozenset({Result.APPLIED, Result.UNCHANGED})


@frozen
class Past:
    """An outcome, and its time (time.monotonic)."""

    at: float
    outcome: Outcome


@frozen(kw_only=True)
class History:
    """The last results in one pod.

    Attributes:
        in_force_since: When its rules, as a whole, were last written or found in force; None without rules.
        change: The last change that succeeded.
        failure: The last failure, also if it is overcome.
    """

    in_force_since: float | None = None
    change: Past | None = None
    failure: Past | None = None

    def followed_by(self, past: Past) -> "History":
        """The history with one outcome more."""
        result = past.outcome.result
        if result is Result.FAILED:
            return evolve(self, failure=past)
        if result is Result.REMOVED:
            return evolve(self, in_force_since=None, change=past)
        found = result is Result.UNCHANGED and self.in_force_since is not None
        since = past.at if result in _IN_FORCE and not found else self.in_force_since
        return evolve(self, in_force_since=since, change=self.change if found else past)


_NONE: Final = History()


class Histories:
    """The history of each pod, as long as its state lives."""

    def __init__(self) -> None:
        self._by_state: WeakKeyDictionary[PodState, History] = WeakKeyDictionary()

    def add(self, state: PodState, outcome: Outcome, now: float) -> None:
        """Record an outcome."""
        self._by_state[state] = self.of(state).followed_by(Past(now, outcome))

    def of(self, state: PodState) -> History:
        """The history of a pod."""
        return self._by_state.get(state, _NONE)
