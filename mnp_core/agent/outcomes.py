"""Handles an operation's result: updates the pod's state, reports the outcome, records the interfaces."""

from collections.abc import Callable

from attrs import evolve

from mnp_core.agent.local_pods import LocalPods
from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import Absent, Attempt, Inspected, Operation, OperationResult, Replaced
from mnp_core.api import Outcome, Result
from mnp_core.cluster import Affected, ClusterState
from mnp_core.errors import SandboxNotFoundError
from mnp_core.sandbox.listeners import close_listeners

Observer = Callable[[Outcome], None]


class Outcomes:
    """Handles results; a failure is an `Outcome`, never an exception."""

    def __init__(self, cluster: ClusterState, pods: LocalPods, observe: Observer) -> None:
        """Begin with no outcomes.

        Args:
            cluster: The source of the wanted policy; it records the interfaces found.
            pods: The local pods.
            observe: Called with each outcome.
        """
        self._cluster = cluster
        self._pods = pods
        self._observe = observe
        self._outcomes: list[Outcome] = []

    def take(self) -> tuple[Outcome, ...]:
        """All outcomes since the last call."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def record(
        self, state: PodState, attempt: Attempt, result: OperationResult | BaseException, now: float
    ) -> Affected | None:
        """Record the result of an attempt, or its failure; returns the effects of the interfaces found."""
        if not self._pods.is_current(state):
            close_listeners(getattr(result, "listeners", None))
            return None
        affected = None
        if not isinstance(result, BaseException):
            affected = self._succeed(state, attempt, result, now)
        elif self._is_moot(state, attempt, result):
            self._pods.remove(state.name)
        else:
            self._fail(state, attempt, result, now)
        self._pods.update_reports(state)
        return affected

    def _is_moot(self, state: PodState, attempt: Attempt, error: BaseException) -> bool:
        """Whether a missing sandbox is no problem: the pod needs no rules, or is about to end."""
        if attempt.operation is not Operation.LOCATE or not isinstance(error, SandboxNotFoundError):
            return False
        pod = self._cluster.pod(state.name)
        return pod is None or pod.terminating or pod.finished or self._cluster.sandbox_policy(state.name) is None

    def _succeed(self, state: PodState, attempt: Attempt, result: OperationResult, now: float) -> Affected | None:
        before = state.findings
        change = state.completed(result, now)
        if change is not None:
            latency = now - attempt.received_at if attempt.received_at is not None else None
            seconds = now - attempt.started_at
            outcome = _outcome(state, change.result, seconds, drifted=change.drifted, latency=latency)
            self._publish(state, outcome, now)
        match result:
            case Replaced(listeners=listeners) if listeners is not None:
                self._pods.watch(state, listeners)
            case Absent(leads_out=False):
                self._pods.remove(state.name)
            case Absent(findings=findings):
                return self._cluster.deny_unclaimed(state.name, findings.outlets)
            case Inspected(findings=findings) if findings != before:
                return self._cluster.observe_sandbox(state.name, findings.attachments, findings.outlets)
        return None

    def _fail(self, state: PodState, attempt: Attempt, error: BaseException, now: float) -> None:
        sandbox = state.sandbox
        counts = state.failed(error, now)
        if state.sandbox is None:
            self._pods.release(state.name, sandbox)
        if counts:
            outcome = _outcome(state, Result.FAILED, now - attempt.started_at)
            last = state.retries
            failed = evolve(outcome, error=last.error, failure=last.failure, transient=last.awaiting_sandbox)
            self._publish(state, failed, now)

    def _publish(self, state: PodState, outcome: Outcome, now: float) -> None:
        state.reported(outcome, now)
        self._outcomes.append(outcome)
        self._observe(outcome)


def _outcome(
    state: PodState, result: Result, seconds: float, *, drifted: bool = False, latency: float | None = None
) -> Outcome:
    backend = state.backend.name if state.backend is not None else ""
    return Outcome(pod=state.name, result=result, seconds=seconds, backend=backend, drifted=drifted, latency=latency)
