"""What became of work in sandboxes: what is known of a pod by it, what is told of it, and what is tried again."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future

from attrs import evolve

from mnp_core.agent.enforcement import InForce, deafen
from mnp_core.agent.failure import failure_of
from mnp_core.agent.jobs import Job
from mnp_core.agent.localpod import LocalPod, Task
from mnp_core.agent.register import Register
from mnp_core.api import Failure, Outcome, Result, Sandbox
from mnp_core.cluster import Affected, ClusterState
from mnp_core.errors import MnpError, SandboxNotFoundError
from mnp_core.model import ObjectName, Severity

Observer = Callable[[Outcome], None]

_FIRST_RETRY = 0.1  # seconds, and twice as many each time
_LAST_RETRY = 30.0  # of a sandbox that is not there: it may come without another word
_RARE_RETRY = 300.0  # of what lasts
_UNFINISHED_RETRY = 5.0
_SHARE = 20  # times as long as a look took: what a pod makes big costs the node one twentieth of a thread
_UNREADABLE_RETRY = 10.0
_PAUSE = 1.0  # seconds from one look at interfaces to the next, however much is changed


class Results:
    """Takes in what the crew brings; a failure is an `Outcome`, never an exception."""

    def __init__(
        self,
        *,
        cluster: ClusterState,
        register: Register,
        affect: Callable[[Affected], None],
        observe: Observer,
        finish_after: float,
    ) -> None:
        """Begin with nothing to tell.

        Args:
            cluster: Says what is to be in force, and is told what interfaces there are.
            register: The pods.
            affect: Called with what follows from what was found.
            observe: Told of each outcome.
            finish_after: Seconds that what packets do not see of a replacement waits.
        """
        self._cluster = cluster
        self._register = register
        self._affect = affect
        self._observe = observe
        self._finish_after = finish_after
        self._outcomes: list[Outcome] = []

    def take(self) -> tuple[Outcome, ...]:
        """Everything since the last time."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    # --- what the crew calls ----------------------------------------------------------------------------------------

    def located(self, local: LocalPod, future: "Future[Sandbox]") -> None:
        """Take in that a sandbox was found, or not."""
        if not self._register.holds(local):
            return
        error = future.exception()
        if error is None:
            local.sandbox = future.result()
        elif isinstance(error, SandboxNotFoundError) and self._needs_no_sandbox(local.name):
            self._register.forget(local.name)
        else:
            self._fail(local, None, error, time.monotonic())
        self._register.restate(local)

    def done(self, local: LocalPod, job: Job, future: "Future[InForce]") -> None:
        """Take in that something was done, or failed."""
        error = future.exception()
        if not self._register.holds(local):
            deafen(None if error else future.result().listeners)
        elif error is None:
            self._succeed(local, job, future.result())
        elif isinstance(error, SandboxNotFoundError) and local.proven:  # it was another one by now: look for that
            self._register.lose_sandbox(local)
            local.wishes.hear(job.heard)
        else:
            local.wishes.hear(job.heard)
            self._fail(local, job.task, error, job.started)
        self._register.restate(local)

    def unprepared(self, local: LocalPod, task: Task | None, error: Exception) -> None:
        """Take in that something could not be begun."""
        self._fail(local, task, error, time.monotonic())
        self._register.restate(local)

    # --- what follows -----------------------------------------------------------------------------------------------

    def _needs_no_sandbox(self, name: ObjectName) -> bool:
        """Whether it is no problem if there is none: nothing is to be in force there, or the pod is about to go."""
        pod = self._cluster.pod(name)
        return pod is None or pod.terminating or pod.finished or self._cluster.sandbox_policy(name) is None

    def _succeed(self, local: LocalPod, job: Job, done: InForce) -> None:
        if job.task is Task.REPLACE and done.stamp is None:  # nothing is to be there, and nothing is
            self._cleared(local, done)
            if done.result is Result.REMOVED:
                self._tell(local, job, done)
            return
        local.proven, local.attended = True, True
        if done.listeners is not None:
            self._register.listen(local, done.listeners)
        match job.task:
            case Task.UPDATE | Task.FINISH if done.stamp is None:
                local.wishes.hear(job.heard)
                self._distrust(local)
            case Task.CHECK if done.stamp is None and local.stamp is not None:
                self._distrust(local)
            case Task.REPLACE | Task.UPDATE:
                self._written(local, job, done)
            case Task.FINISH if done.result is Result.UPDATED:
                self._written(local, job, done)
            case Task.FINISH:
                local.stamp = done.stamp
            case Task.LOOK:
                self._looked(local, job, done)

    def _cleared(self, local: LocalPod, done: InForce) -> None:
        """Let go of a pod without attachments; one with an interface that leads out all the same stays reported."""
        findings = done.findings
        if findings is not None and any(p.report.severity is Severity.PROBLEM for p in findings.problems):
            local.findings, local.stamp, local.attended = findings, None, True
            local.error, local.failure, local.tries = "", None, 0
        else:
            self._register.forget(local.name)

    def _written(self, local: LocalPod, job: Job, done: InForce) -> None:
        local.error, local.tries, local.retry_at = "", 0, 0.0
        local.stamp, local.wishes.unfinished = done.stamp, done.unfinished
        local.finish_at = time.monotonic() + self._finish_after
        if job.task is Task.REPLACE and (local.findings is None or not self._register.listening):
            local.wishes.look = True
            local.rest_until = local.look_after = 0.0
        drifted, local.drifting = local.drifting, False
        if drifted and done.result is Result.UNCHANGED:  # somebody changed something that is not ours
            return
        self._tell(local, job, evolve(done, drifted=drifted and not done.completed))

    def _distrust(self, local: LocalPod) -> None:
        """Somebody changed something: read what is there, and put it right if it was ours."""
        local.stamp, local.drifting = None, True
        local.wishes.want_replacement()

    def _looked(self, local: LocalPod, job: Job, done: InForce) -> None:
        took = time.monotonic() - job.started
        if self._register.listening:
            local.look_after = time.monotonic() + max(_PAUSE, took * _SHARE)
        if done.findings is not None and not done.findings.readable:
            local.wishes.look = True
            local.look_after = time.monotonic() + _UNREADABLE_RETRY
        before, local.findings = local.findings, done.findings
        if done.findings is not None and (before is None or before != done.findings):
            self._affect(self._cluster.observe_attachments(local.name, done.findings.attachments))

    def _fail(self, local: LocalPod, task: Task | None, error: BaseException, started: float) -> None:
        """Remember why, and try everything again: later, or at once if only a part of it was tried."""
        if isinstance(error, SandboxNotFoundError):
            self._register.lose_sandbox(local)
        local.error = str(error) if isinstance(error, MnpError) else f"{type(error).__name__} in a plugin: {error}"
        local.failure = failure_of(error)
        local.attended = True
        local.wishes.want_replacement()
        if task is Task.FINISH:  # a replacement before it succeeded, and would again
            local.retry_at = time.monotonic() + _UNFINISHED_RETRY
        elif task not in {Task.UPDATE, Task.CHECK}:
            local.tries += 1
            local.retry_at = time.monotonic() + _pause(local) * random.uniform(0.5, 1)  # noqa: S311 - spreads retries
        outcome = _outcome(local, Result.FAILED, started)
        self._publish(evolve(outcome, error=local.error, failure=local.failure, passing=local.waits))

    def _tell(self, local: LocalPod, job: Job, done: InForce) -> None:
        latency = time.monotonic() - job.heard if job.heard is not None else None
        outcome = _outcome(local, done.result, job.started)
        self._publish(evolve(outcome, drifted=done.drifted, latency=latency))

    def _publish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._observe(outcome)


def _pause(local: LocalPod) -> float:
    """Seconds until the next try."""
    if local.is_permanent:
        return _RARE_RETRY
    longest = _LAST_RETRY if local.failure is Failure.NOT_FOUND else _RARE_RETRY
    return min(longest, _FIRST_RETRY * 2.0 ** min(local.tries - 1, 20))


def _outcome(local: LocalPod, result: Result, started: float) -> Outcome:
    backend = local.backend.name if local.backend is not None else ""
    return Outcome(pod=local.name, result=result, seconds=time.monotonic() - started, backend=backend)
