"""The state of one local pod: its sandbox, its pending work, and its next operation.

Pure: the clock is an argument, randomness a function, and there is no I/O. Callers read its attributes and change them
by its methods alone.
"""

import math
from typing import Final

from attrs import field

from mnp_core.agent.results import (
    Absent,
    Attempt,
    Change,
    Deadline,
    DriftSuspected,
    Finalized,
    History,
    Incarnation,
    Inspected,
    Located,
    MembersUpdated,
    Operation,
    OperationResult,
    Past,
    Pending,
    Replaced,
    Stamp,
    Verified,
)
from mnp_core.agent.retries import Retries
from mnp_core.agent.ruleset_cache import LazyDelta
from mnp_core.api import Outcome, Result, Sandbox
from mnp_core.backend import Backend
from mnp_core.classes import define
from mnp_core.errors import SandboxNotFoundError
from mnp_core.inspection import Findings
from mnp_core.model import ObjectName
from mnp_core.sandbox.generations import Generations
from mnp_core.sandbox.monitor import Topic

_DEBOUNCE_SECONDS: Final = 0.2  # for collecting changes inside a sandbox
_SANDBOX_INPUT_SECONDS: Final = 30.0  # until the retry after a permanent error in a changed sandbox
_LISTEN_RETRY_SECONDS: Final = 1.0
_VERIFY_THOROUGHLY_SECONDS: Final = 30.0  # between two costly checks of an applier that has a cheap one
_INSPECT_PAUSE_SECONDS: Final = 1.0
_INSPECT_SHARE: Final = 20  # times as long as the last one took: a pod costs a twentieth of a thread at most
_UNREADABLE_RETRY_SECONDS: Final = 10.0
_MANY_DELTAS: Final = 64  # pending; a replacement costs as much
_REPLACE_PAUSE_SECONDS: Final = 0.0001  # for each line of a big pod's rules, from one replacement to the next
_LONGEST_REPLACE_PAUSE_SECONDS: Final = 5.0
_NEVER: Final = math.inf


@define(eq=False)
class PodState:
    """One local pod.

    Attributes:
        name: The pod.
        incarnation: Distinguishes pods of the same name.
        backend: Enforces in the sandbox; None until it is chosen.
        monitored: Whether changes in sandboxes are announced at all.
        finalize_after: Seconds that finalizing waits, so that it delays no other pod's rules.
        sandbox: Its network namespace, once located.
        sandbox_verified: Whether an operation succeeded in it.
        stamp: Of the rules in force, as far as known to this process.
        findings: The interfaces, once inspected.
        rules_watched: Whether changes of the packet filter are announced, so that no polling is needed.
        commits_announced: Whether these announcements carry the generation.
        drift_suspected: Whether the rules may have drifted, until they are read.
        synced_once: Whether an operation was tried to the end, successfully or not.
        attempt: The operation under way; one at a time.
        retries: The failures since the last success.
        history: The last results.
    """

    name: ObjectName
    incarnation: Incarnation
    backend: Backend | None = None
    monitored: bool = False
    finalize_after: float = 0.0
    sandbox: Sandbox | None = None
    sandbox_verified: bool = False
    stamp: Stamp | None = None
    findings: Findings | None = None
    rules_watched: bool = False
    commits_announced: bool = False
    drift_suspected: bool = False
    synced_once: bool = False
    attempt: Attempt | None = None
    retries: Retries = field(factory=Retries)
    history: History = field(factory=History)
    _pending: Pending = field(factory=Pending)
    _finalize_at: float = 0.0
    _debounce_until: float = 0.0
    _inspect_after: float = 0.0
    _replaced_at: float = -_NEVER
    _replace_pause: float = 0.0
    _verify_thoroughly_at: float = 0.0
    _generations: Generations = field(factory=Generations)

    # --- state ----------------------------------------------------------------------------------------------------

    @property
    def in_force(self) -> bool:
        """Whether the rules in the sandbox are those last asked for, membership that changes just now aside."""
        replacing = self.attempt is not None and self.attempt.operation in {Operation.LOCATE, Operation.REPLACE}
        return self.sandbox_verified and self.retries.failure is None and not self._pending.replace and not replacing

    @property
    def awaits_finalization(self) -> bool:
        """Whether a replacement is under way or to be finalized: until then it keeps its ruleset."""
        return self.attempt is not None or self._pending.finalization is not None

    def next_operation(self, now: float) -> Operation | Deadline | None:
        """The most urgent operation, or the deadline of the next; None if idle, or if an operation is under way."""
        if self.attempt is not None or (due := self._most_urgent()) is None or due[1] == _NEVER:
            return None
        operation, at = due
        if at > now:
            return Deadline(at)
        return Operation.LOCATE if self.sandbox is None else operation

    def _most_urgent(self) -> tuple[Operation, float] | None:
        pending, retry_at = self._pending, self.retries.at
        if pending.replace:
            return Operation.REPLACE, max(retry_at, self._replace_after)
        if pending.finalization is not None:
            return Operation.FINALIZE, max(retry_at, 0.0 if pending.deltas else self._finalize_at)  # they go with it
        if pending.deltas:
            return Operation.UPDATE_MEMBERS, retry_at
        debounced = max(retry_at, self._debounce_until)
        if self._generations.foreign:
            return Operation.REPLACE, debounced
        if pending.verify and self.stamp is not None:
            return Operation.VERIFY, debounced
        return (Operation.INSPECT, max(debounced, self._inspect_after)) if pending.inspect else None

    @property
    def _replace_after(self) -> float:
        """The earliest time of a replacement: big rules collect their changes, drift and new sandboxes never wait."""
        return 0.0 if self.stamp is None or self._generations.foreign else self._replaced_at + self._replace_pause

    # --- new input ------------------------------------------------------------------------------------------------

    def require_replacement(self, received_at: float | None = None, big_lines: int = 0) -> None:
        """Schedule a replacement: the pod's rules may have changed as a whole.

        Args:
            received_at: The arrival of the change.
            big_lines: The number of lines of its rules if these are more than most have; else 0. A storm of changes of
                them costs one replacement at a time, with pauses.
        """
        self._replace_pause = min(big_lines * _REPLACE_PAUSE_SECONDS, _LONGEST_REPLACE_PAUSE_SECONDS)
        self._pending.add_replacement()
        self._pending.receive(received_at)
        self.retries.hurry()

    def members_changed(self, delta: LazyDelta, received_at: float | None = None) -> None:
        """Schedule a change of membership of a group that the pod's rules use."""
        pending = self._pending
        if not pending.replace:
            pending.deltas.append(delta)
        if len(pending.deltas) > _MANY_DELTAS:
            pending.add_replacement()
        pending.receive(received_at)
        self.retries.input_changed()

    def noticed(self, topic: Topic, now: float, generations: frozenset[int] | None = None) -> None:
        """Schedule reads after a change in the sandbox; generations, None if unknown, that are ours cost none."""
        waited = self._pending.verify or self._pending.inspect or self._generations.foreign
        if generations is not None and not self._generations.announced(generations):
            return
        if not waited:  # else a flood could extend it
            self._debounce_until = now + _DEBOUNCE_SECONDS
        if generations is None:
            self._pending.verify = True  # after a change of links, too: a filter may be bound to interfaces
        if topic is Topic.LINKS:
            self._pending.inspect = True
        else:
            self._verify_thoroughly_at = 0.0
        self.retries.sandbox_changed(now + _SANDBOX_INPUT_SECONDS)

    def poll(self) -> None:
        """Schedule a check of the rules if the packet filter does not announce its changes."""
        if not self.rules_watched and self.stamp is not None:
            self._pending.verify = True

    def inspect_now(self) -> None:
        """Read the interfaces."""
        self._pending.inspect, self._debounce_until, self._inspect_after = True, 0.0, 0.0

    def retry_now(self) -> None:
        """Retry failed operations without a pause."""
        self.retries.restart()

    def read_now(self) -> None:
        """Read the rules, and write them if they differ, whatever is known of them."""
        self.stamp = None
        self._pending.add_replacement()
        self.retries.hurry()

    def finalize_now(self) -> None:
        """Finalize a replacement without a pause."""
        self._finalize_at = 0.0

    def listener_lost(self, now: float) -> None:
        """Handle the loss of listeners: read the whole sandbox, and open new ones."""
        if self.stamp is not None:
            self.stamp, self.rules_watched, self.commits_announced = None, False, False
            self._pending.add_replacement()
            self.retries.at = now + _LISTEN_RETRY_SECONDS

    def sandbox_gone(self) -> None:
        """Discard all knowledge of a deleted or replaced sandbox."""
        self.sandbox, self.sandbox_verified, self.stamp, self.findings = None, False, None, None
        self.rules_watched, self.commits_announced = False, False
        self._generations.clear()
        self._pending.add_replacement()
        self.retries.input_changed()

    def abandon(self) -> None:
        """Give up the pod: the operation under way ends, and none follows."""
        self._pending = Pending()
        self._generations.read()

    def use_backend(self, backend: Backend) -> None:
        """Enforce with this backend from now on; what is known of the rules of another one is void."""
        if self.backend is not None and self.backend.name != backend.name:
            self.stamp, self.rules_watched, self.commits_announced = None, False, False
        self.backend = backend

    # --- operations -----------------------------------------------------------------------------------------------

    def start(self, operation: Operation, now: float) -> Attempt:
        """Start an operation, and take its pending work."""
        pending = self._pending
        received_at, deltas, finalization, thorough = None, list[LazyDelta](), None, False
        match operation:
            case Operation.REPLACE:
                if not pending.replace:
                    self._suspect_drift()
                received_at, _ = pending.take_changes()
                pending.replace, self._replaced_at = False, now
                self._generations.read()
            case Operation.FINALIZE:
                (received_at, deltas), finalization = pending.take_changes(), pending.finalization
                pending.finalization = None
            case Operation.UPDATE_MEMBERS:
                received_at, deltas = pending.take_changes()
            case Operation.VERIFY:
                thorough, pending.verify = now >= self._verify_thoroughly_at, False
                if thorough:
                    self._verify_thoroughly_at = now + _VERIFY_THOROUGHLY_SECONDS
            case Operation.INSPECT:
                pending.inspect = False
        self.attempt = Attempt(
            operation=operation,
            started_at=now,
            sandbox=self.sandbox,
            stamp=self.stamp,
            received_at=received_at,
            deltas=deltas,
            finalization=finalization,
            thorough=thorough,
            drift_suspected=self.drift_suspected,
            commits_announced=self.commits_announced,
        )
        return self.attempt

    def completed(self, result: OperationResult, now: float) -> Change | None:
        """Record the result of the attempt; returns the change to be reported, if any."""
        attempt = self._end_attempt()
        match result:
            case Located():
                self.sandbox = result.sandbox
                return None
            case Absent():
                return self._absent(result)
        self.sandbox_verified = True
        self.synced_once |= not (isinstance(result, Inspected) and result.comes_first)
        match result:
            case Replaced():
                return self._replaced(result, now)
            case Finalized() | MembersUpdated():
                return self._updated(result)
            case DriftSuspected():
                self._pending.receive(attempt.received_at)
                self._suspect_drift()
            case Inspected():
                self._inspected(result, attempt, now)
                if result.comes_first:
                    self._pending.receive(attempt.received_at)
                    self._pending.add_replacement()
            case Verified():
                pass
        return None

    def failed(self, error: BaseException, now: float) -> bool:
        """Record the failure of the attempt; whether it counts as one, and not as the replacement of the sandbox."""
        attempt = self._end_attempt()
        self._pending.receive(attempt.received_at)
        if isinstance(error, SandboxNotFoundError):
            verified = self.sandbox_verified
            self.sandbox_gone()
            if verified:
                return False
        self.retries.record(error, attempt, now)
        self.synced_once = True
        self._pending.add_replacement()
        return True

    def reported(self, outcome: Outcome, now: float) -> None:
        """Add an outcome to the history."""
        self.history = self.history.followed_by(Past(now, outcome))

    def _end_attempt(self) -> Attempt:
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            raise AssertionError(f"nothing is under way in {self.name}")
        return attempt

    def _absent(self, result: Absent) -> Change | None:
        self.findings, self.stamp, self.synced_once = result.findings, None, True
        self.retries.clear()
        return Change(result=Result.REMOVED) if result.removed else None

    def _replaced(self, result: Replaced, now: float) -> Change | None:
        self.retries.clear()
        self._put_stamp(result.stamp)
        wait = 0.0 if self._replace_pause else self.finalize_after  # a big one keeps a big ruleset in memory
        self._pending.finalization, self._finalize_at = result.finalization, now + wait
        if result.listeners is not None:
            self.rules_watched = Topic.RULES in result.listeners
            self.commits_announced = result.commits_announced
        if self.findings is None or not self.monitored:
            self.inspect_now()
        drifted, self.drift_suspected = self.drift_suspected, False
        if drifted and not result.written:  # the change was none of ours (S49)
            return None
        written = Result.APPLIED if result.written else Result.UNCHANGED
        return Change(result=written, drifted=drifted and not result.was_incomplete)

    def _updated(self, result: Finalized | MembersUpdated) -> Change | None:
        self._put_stamp(result.stamp, result.generations)
        if isinstance(result, Finalized) and not result.updated:
            return None
        self.retries.clear()
        return Change(result=Result.UPDATED)

    def _put_stamp(self, stamp: Stamp, generations: frozenset[int] = frozenset()) -> None:
        self.stamp = stamp
        self._generations.add_own((*generations, stamp.generation))

    def _inspected(self, result: Inspected, attempt: Attempt, now: float) -> None:
        if self.monitored:
            self._inspect_after = now + max(_INSPECT_PAUSE_SECONDS, (now - attempt.started_at) * _INSPECT_SHARE)
        if not result.findings.readable:
            self._pending.inspect, self._inspect_after = True, now + _UNREADABLE_RETRY_SECONDS
        self.findings = result.findings

    def _suspect_drift(self) -> None:
        """Schedule a full read of the rules, and the correction of ours."""
        self.stamp, self.drift_suspected = None, True
        self._pending.add_replacement()
