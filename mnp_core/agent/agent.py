"""The agent: keeps what is in force in every sandbox of this node equal to what policy says.

One thread owns it. What takes time happens elsewhere: a pool works in many sandboxes at once, and errands find them;
both post what came of it, and the owner takes that in with `process`. Each pod has its own wishes, its own retries and
at most one piece of work under way, so none holds up another. A failure is an `Outcome`, never an exception, and
leaves in force what was there.
"""

import queue
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

from attrs import evolve

from mnp_core.agent.crew import Crew, Pool
from mnp_core.agent.enforcement import InForce, deafen
from mnp_core.agent.errands import Immediately
from mnp_core.agent.failure import failure_of
from mnp_core.agent.jobs import BackendChoice, Job, JobMaker
from mnp_core.agent.localpod import LocalPod, SharedDelta, Task
from mnp_core.agent.rendering import Renderings
from mnp_core.agent.world import Effect, World
from mnp_core.api import InterfaceDiscoverer, Outcome, Result, Sandbox, SandboxLocator, Sync
from mnp_core.errors import MnpError, SandboxNotFoundError
from mnp_core.model import (
    AddressSource,
    Attachment,
    Change,
    Link,
    ObjectName,
    ObjectRef,
    Reason,
    Report,
    Ruleset,
)
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.monitor import Listeners, Topic

Observer = Callable[[Outcome], None]

_FIRST_RETRY = 0.1  # seconds, and twice as many each time
_LAST_RETRY = 30.0
_UNFINISHED_RETRY = 5.0
_REST = 0.2  # seconds in which what somebody changes in a sandbox is gathered before it is looked at
_PAUSE = 1.0  # seconds from one look at interfaces to the next, however much is changed


class Monitor(Protocol):
    """What the agent needs of `mnp_core.sandbox.monitor.Monitor`."""

    def listen(self, key: ObjectName, listeners: Listeners) -> None:
        """Listen to these sockets, and to no others of this key; they are the monitor's from then on."""

    def forget(self, key: ObjectName) -> None:
        """Listen no longer."""


class Agent:
    """Reconciles the sandboxes of one node with a `World`."""

    def __init__(  # noqa: PLR0913 - the parts that it is put together from, each by its name
        self,
        *,
        world: World,
        backends: BackendChoice,
        locator: SandboxLocator,
        discoverers: Mapping[str, InterfaceDiscoverer],
        pool: Pool,
        errands: Executor | None = None,
        monitor: Monitor | None = None,
        read_links: Callable[[], Sequence[Link]] = read_links,
        observe: Observer = lambda _: None,
        own_addresses: AddressSource = AddressSource.KERNEL,
        finish_after: float = 0.0,
    ) -> None:
        """Put together what was chosen.

        Args:
            world: The state of the cluster; the agent owns it from now on.
            backends: Chooses renderer and applier for a sandbox by its attachments.
            locator: Finds a pod's network namespace.
            discoverers: By the CNI type that they claim.
            pool: Runs work inside sandboxes.
            errands: Runs the locator, which may have to wait for others; None if it never has to.
            monitor: Listens to sandboxes; it has to tell `noticed`. None if nobody listens.
            read_links: Reads the interfaces of the sandbox that it is called in.
            observe: Told of each outcome.
            own_addresses: Who is believed about the addresses of a pod's own interfaces.
            finish_after: Seconds that what packets do not see of a replacement waits, so that it is in nobody's way
                when many pods are written to.
        """
        self.world = world
        self._jobs = JobMaker(
            world=world,
            backends=backends,
            discoverers=discoverers,
            read_links=read_links,
            listening=monitor is not None,
            renderings=Renderings(world),
        )
        self._crew = Crew(self, self._jobs, locator, pool, errands or Immediately())
        self._pool = pool
        self._monitor = monitor
        self._observe = observe
        self._own_addresses = own_addresses
        self._finish_after = finish_after
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pods: dict[ObjectName, LocalPod] = {}
        self._outcomes: list[Outcome] = []
        self._noticed: set[tuple[ObjectName, Topic]] = set()  # posted, and not taken in yet
        self._started = False

    # --- from any thread ------------------------------------------------------------------------------------------

    def post(self, event: Callable[[], None]) -> None:
        """Have something called on the agent's thread."""
        self._inbox.put(event)

    def noticed(self, pod: ObjectName, topic: Topic) -> None:
        """Say that something has changed in a pod's sandbox; meant for a monitor, which a pod can flood."""
        if (pod, topic) not in self._noticed:
            self._noticed.add((pod, topic))
            self.post(partial(self._notice, pod, topic))

    # --- what the owner does --------------------------------------------------------------------------------------

    def submit(self, changes: Iterable[Change], heard: float | None = None) -> None:
        """Take in changes and begin to bring what they affect up to date.

        Args:
            changes: What is new; the first time, everything (S62).
            heard: When that was heard of (time.monotonic).
        """
        effect = self.world.apply(changes)
        self._take(effect, heard)
        if not self._started:
            self._started = True
            for name in self.world.residents - effect.sandboxes:  # they may have had attachments before we came
                self._want_replacement(name, heard)

    def process(self, timeout: float) -> None:
        """Take in what has come, waiting at most so many seconds for something, and start what is due."""
        soonest = self._crew.soonest()
        if soonest is not None:
            timeout = max(0.0, min(timeout, soonest - time.monotonic()))
        try:
            event = self._inbox.get(timeout=timeout)
            while True:
                event()
                event = self._inbox.get_nowait()
        except queue.Empty:
            pass
        self._crew.begin_due()

    def watch(self) -> None:
        """Look after sandboxes whose changes are not told: meant to be called every second or so.

        Costs one stat(2) for each, and a message to the kernel for those whose packet filter nobody listens to.
        """
        for local in tuple(self._pods.values()):
            if local.sandbox is not None and not self._pool.is_there(local.sandbox):
                self._lose_sandbox(local)
            elif not local.hears_rules and local.stamp is not None:
                local.wishes.check = True
            self._crew.advance(local)

    def wind_down(self) -> None:
        """Begin nothing any more; what is under way comes to its end with `process`. Rules stay in force (S62)."""
        self._crew.wind_down()

    def take_sync(self) -> Sync | None:
        """What has become of everything since the last time; None if that is nothing."""
        if not self._outcomes:
            return None
        outcomes, self._outcomes = tuple(self._outcomes), []
        return Sync(outcomes=outcomes, reports=self.reports(), seconds=sum(outcome.seconds for outcome in outcomes))

    @property
    def busy(self) -> bool:
        """Whether work is under way."""
        return self._crew.busy > 0

    @property
    def attended(self) -> bool:
        """Whether every pod that is known has been seen to once, successfully or not."""
        return all(local.attended for local in self._pods.values())

    @property
    def enforced(self) -> int:
        """In how many pods rules are in force, as far as this process knows."""
        return sum(local.stamp is not None for local in self._pods.values())

    # --- the same, for who can wait --------------------------------------------------------------------------------

    def sync(self, changes: Iterable[Change]) -> Sync:
        """Take in changes and bring everything that they affect up to date.

        Returns when all is done. What failed in an earlier pass is tried again, once.
        """
        started = time.monotonic()
        for local in self._pods.values():
            local.retry_at = 0.0
        self.submit(changes)
        return self._settle(started)

    def look_again(self, pods: Iterable[ObjectName]) -> Sync:
        """Read the links of some pods again, because they have changed."""
        started = time.monotonic()
        for name in pods:
            if name in self._pods:
                local = self._pods[name]
                local.wishes.look, local.rest_until, local.look_after = True, 0.0, 0.0
                self._crew.advance(self._pods[name])
        return self._settle(started)

    def check_drift(self) -> Sync:
        """Look whether somebody changed our rules, and put them back (S63)."""
        started = time.monotonic()
        for local in tuple(self._pods.values()):
            local.wishes.check, local.rest_until = True, 0.0
            self._crew.advance(local)
        return self._settle(started)

    def _settle(self, started: float) -> Sync:
        self.process(0)
        while self.busy:
            self.process(_LAST_RETRY)
        outcomes, self._outcomes = tuple(self._outcomes), []
        return Sync(outcomes=outcomes, reports=self.reports(), seconds=time.monotonic() - started)

    # --- what it knows --------------------------------------------------------------------------------------------

    def attachments(self, pod: ObjectName) -> tuple[Attachment, ...]:
        """The attachments of a local pod: as the kernel has them, or as claimed, by the setting ``own-addresses``."""
        findings = self._pods[pod].findings if pod in self._pods else None
        believed = findings is not None and self._own_addresses is AddressSource.KERNEL
        return findings.attachments if findings is not None and believed else self.world.claims(pod)

    def ruleset(self, pod: ObjectName) -> Ruleset | None:
        """What is to be in force in a local pod, as it would be applied; None if nothing is."""
        policy = self.world.sandbox_policy(pod)
        return self._jobs.backend(self._local(pod)).renderer.render(policy) if policy is not None else None

    def reports(self) -> tuple[Report, ...]:
        """Every problem that stands."""
        findings = (r for local in self._pods.values() if local.findings for r in local.findings.reports)
        failures = (_failure(local) for local in self._pods.values() if local.error and not local.waits)
        return tuple(sorted({*self.world.reports(), *findings, *failures}))

    # --- from changes to wishes -----------------------------------------------------------------------------------

    def _take(self, effect: Effect, heard: float | None) -> None:
        for name in effect.gone:
            self._forget(name)
        for name in sorted(effect.sandboxes):
            self._want_replacement(name, heard)
        for change, users in effect.deltas:
            delta = SharedDelta(change)
            for name in sorted(users):
                local = self._local(name)
                local.wishes.want_update(delta)
                local.wishes.hear(heard)
                self._crew.advance(local)

    def _want_replacement(self, name: ObjectName, heard: float | None) -> None:
        local = self._local(name)
        local.wishes.want_replacement()
        local.wishes.hear(heard)
        local.retry_at = 0.0
        self._crew.advance(local)

    def _local(self, name: ObjectName) -> LocalPod:
        """A pod in our care, from now on if it was not; one that came back is another one."""
        pod = self.world.pod(name)
        incarnation = (pod.uid, pod.statuses) if pod is not None else ("", ())
        local = self._pods.get(name)
        if local is not None and local.incarnation != incarnation:
            self._forget(name)
            backend, local = local.backend, None
        else:
            backend = None
        if local is None:
            local = self._pods[name] = LocalPod(name=name, incarnation=incarnation, backend=backend)
        return local

    def _notice(self, name: ObjectName, topic: Topic) -> None:
        self._noticed.discard((name, topic))
        local = self._pods.get(name)
        if local is None:
            return
        if not (local.wishes.check or local.wishes.look):  # else a rest has begun, which nobody can draw out
            local.rest_until = time.monotonic() + _REST
        if topic is Topic.RULES:
            local.wishes.check = True
        else:
            local.wishes.look = True
        self._crew.advance(local)

    # --- from work to outcomes ------------------------------------------------------------------------------------

    def located(self, local: LocalPod, future: "Future[Sandbox]") -> None:
        """Take in that a sandbox was found, or not; for the crew."""
        if self._pods.get(local.name) is not local:
            return
        error = future.exception()
        if error is None:
            local.sandbox = future.result()
        elif isinstance(error, SandboxNotFoundError) and self._needs_no_sandbox(local.name):
            self._forget(local.name)
            return
        else:
            self._fail(local, None, error, time.monotonic())
        self._crew.advance(local)

    def _needs_no_sandbox(self, name: ObjectName) -> bool:
        """Whether it is no problem if there is none: nothing is to be in force there, or the pod is about to go."""
        pod = self.world.pod(name)
        return pod is None or pod.terminating or self.world.sandbox_policy(name) is None

    def done(self, local: LocalPod, job: Job, future: "Future[InForce]") -> None:
        """Take in that something was done, or failed; for the crew."""
        error = future.exception()
        if self._pods.get(local.name) is not local:
            deafen(None if error else future.result().listeners)
            return
        if error is None:
            self._succeed(local, job, future.result())
        elif isinstance(error, SandboxNotFoundError) and local.proven:  # it was another one by now: look for that
            self._lose_sandbox(local)
            local.wishes.hear(job.heard)
        else:
            local.wishes.hear(job.heard)
            self._fail(local, job.task, error, job.started)
        if self._pods.get(local.name) is local:
            self._crew.advance(local)

    def unprepared(self, local: LocalPod, task: Task | None, error: Exception) -> None:
        """Take in that something could not be begun; for the crew."""
        self._fail(local, task, error, time.monotonic())
        self._crew.advance(local)

    def _succeed(self, local: LocalPod, job: Job, done: InForce) -> None:
        if job.task is Task.REPLACE and done.stamp is None:  # nothing is to be there, and nothing is
            self._forget(local.name)
            if done.result is Result.REMOVED:
                self._tell(local, job, done)
            return
        local.proven, local.attended = True, True
        if job.task is Task.LOOK and self._monitor is not None:
            local.look_after = time.monotonic() + _PAUSE
        if done.listeners is not None and self._monitor is not None:
            local.hears_rules = Topic.RULES in done.listeners
            self._monitor.listen(local.name, done.listeners)
        match job.task:
            case Task.UPDATE if done.stamp is None:
                local.wishes.hear(job.heard)
                self._distrust(local)
            case Task.CHECK if done.stamp is None and local.stamp is not None:
                self._distrust(local)
            case Task.REPLACE | Task.UPDATE:
                self._written(local, job, done)
            case Task.FINISH:
                local.stamp = done.stamp
            case Task.LOOK:
                self._looked(local, done)

    def _written(self, local: LocalPod, job: Job, done: InForce) -> None:
        local.error, local.tries, local.retry_at = "", 0, 0.0
        local.stamp, local.wishes.rest = done.stamp, done.rest
        local.finish_at = time.monotonic() + self._finish_after
        if job.task is Task.REPLACE and (local.findings is None or self._monitor is None):
            local.wishes.look = True
            local.rest_until = local.look_after = 0.0
        drifted, local.drifting = local.drifting, False
        if drifted and done.result is Result.UNCHANGED:  # somebody changed something that is not ours
            return
        self._tell(local, job, evolve(done, drifted=drifted))

    def _distrust(self, local: LocalPod) -> None:
        """Somebody changed something: read what is there, and put it right if it was ours."""
        local.stamp, local.drifting = None, True
        local.wishes.want_replacement()

    def _looked(self, local: LocalPod, done: InForce) -> None:
        before, local.findings = local.findings, done.findings
        if done.findings is not None and (before is None or before != done.findings):
            self._take(self.world.found(local.name, done.findings.attachments), None)

    def _fail(self, local: LocalPod, task: Task | None, error: BaseException, started: float) -> None:
        """Remember why, and try everything again: later, or at once if only a part of it was tried."""
        if isinstance(error, SandboxNotFoundError):
            self._lose_sandbox(local)
        local.error = str(error) if isinstance(error, MnpError) else f"{type(error).__name__} in a plugin: {error}"
        local.failure = failure_of(error)
        local.attended = True
        local.wishes.want_replacement()
        if task is Task.FINISH:  # a replacement before it succeeded, and would again
            local.retry_at = time.monotonic() + _UNFINISHED_RETRY
        elif task not in {Task.UPDATE, Task.CHECK}:
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(local.tries, 20))
            local.retry_at = time.monotonic() + delay * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, no secret
            local.tries += 1
        outcome = _outcome(local, Result.FAILED, started)
        self._publish(evolve(outcome, error=local.error, failure=local.failure, passing=local.waits))

    def _tell(self, local: LocalPod, job: Job, done: InForce) -> None:
        latency = time.monotonic() - job.heard if job.heard is not None else None
        outcome = _outcome(local, done.result, job.started)
        self._publish(evolve(outcome, drifted=done.drifted, latency=latency))

    def _publish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._observe(outcome)

    def _lose_sandbox(self, local: LocalPod) -> None:
        local.lose_sandbox()
        if self._monitor is not None:
            self._monitor.forget(local.name)

    def _forget(self, name: ObjectName) -> None:
        local = self._pods.pop(name, None)
        if local is not None:
            self._crew.forget(local)
        if self._monitor is not None:
            self._monitor.forget(name)


def _outcome(local: LocalPod, result: Result, started: float) -> Outcome:
    backend = local.backend.name if local.backend is not None else ""
    return Outcome(pod=local.name, result=result, seconds=time.monotonic() - started, backend=backend)


def _failure(local: LocalPod) -> Report:
    return Report(
        about=ObjectRef("Pod", local.name),
        field="",
        reason=Reason.ENFORCEMENT_FAILED,
        message=f"its rules could not be brought up to date, what was in force still is: {local.error.rstrip('.')}",
        remedy="It is tried again; if it stays, look at the cause named here",
    )
