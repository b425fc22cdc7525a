"""The agent: keeps the rules in every sandbox of this node equal to policy.

One thread owns it: changes, notices and results reach it by its inbox, and `process` handles them. Slow work runs
elsewhere: a pool works inside many sandboxes at once, an executor locates them. `PodState` chooses a pod's next
operation, `Scheduler` starts it, `operations` runs it, `Outcomes` records the result. A failure is an `Outcome`, never
an exception, and leaves the previous rules in force.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Final

from mnp_core.agent.local_pods import LocalPods, Monitor, jittered
from mnp_core.agent.operations import BackendChoice, Planner
from mnp_core.agent.outcomes import Observer, Outcomes
from mnp_core.agent.ruleset_cache import LazyDelta, RulesetCache
from mnp_core.agent.scheduler import BIG_LINES, InlineExecutor, Job, Pool, Scheduler
from mnp_core.agent.starts import Start, Starts
from mnp_core.api import InterfaceDiscoverer, Sandbox, SandboxLocator, Sync
from mnp_core.cluster import Affected, ClusterState
from mnp_core.model import AddressSource, Attachment, Change, Link, ObjectName, Report, Ruleset
from mnp_core.model.gated import Gated
from mnp_core.netfilter.conntrack import forget_connections
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.monitor import Topic
from mnp_core.sandbox.outside import OutsideState

_ROUNDS: Final = 4  # of emptying the inbox and starting operations, until the caller has its turn
_SLICE_SECONDS: Final = 0.02  # for starting operations, until the inbox has its turn
_SLOW_SECONDS: Final = 5.0  # after which an operation holds up readiness no longer
_RECONSIDER_SECONDS: Final = 60.0  # until the retry of a policy with oversized groups
_WAIT_SECONDS: Final = 30.0  # for results, until the next check for operations under way
_KEPT_NOTICES: Final = 64  # generations of one pod that wait for the agent's thread
_SETTLED_PODS: Final = 4  # in one `watch`, with thousands of policies each some 30 ms
_REPORTED_OBJECTS: Final = 16  # in one `Sync`: their log lines take some 10 ms of the agent's thread


class Agent:
    """Reconciles the sandboxes of one node with a `ClusterState`; `pods`, to be read only, are its own."""

    def __init__(  # noqa: PLR0913 - its parts, each by its name
        self,
        *,
        cluster: ClusterState,
        backends: BackendChoice,
        locator: SandboxLocator,
        discoverers: Mapping[str, InterfaceDiscoverer],
        pool: Pool,
        locator_executor: Executor | None = None,
        monitor: Monitor | None = None,
        read_links: Callable[[], Sequence[Link]] = read_links,
        forget_connections: Callable[[], None] = forget_connections,
        observe: Observer = lambda _: None,
        own_addresses: AddressSource = AddressSource.KERNEL,
        finalize_after: float = 0.0,
        outside: OutsideState | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = jittered,
    ) -> None:
        """Assemble the agent from its parts.

        Args:
            cluster: The state of the cluster; the agent owns it from now on.
            backends: Chooses renderer and applier for a sandbox by its attachments.
            locator: Finds a pod's network namespace.
            discoverers: By the CNI type that they claim.
            pool: Runs operations inside sandboxes.
            locator_executor: Runs the locator, which may wait for a runtime; None if it never does.
            monitor: Listens to sandboxes, and calls `noticed` and `listener_lost`. None to poll only.
            read_links: Reads the interfaces of the sandbox that it is called in.
            forget_connections: Forgets the connections that the kernel tracks there.
            observe: Called with each outcome.
            own_addresses: The trusted source of the addresses of a pod's own interfaces.
            finalize_after: Seconds that finalizing a replacement waits, so that it delays no other pod's rules.
            outside: Removes appliers' state outside of sandboxes; None if there is none.
            clock: Seconds that never go back.
            jitter: A factor for pauses before retries.
        """
        self.cluster = cluster
        self._clock = clock
        self._pool = pool
        self._own_addresses = own_addresses
        self._outside = outside or OutsideState({}, lambda _: ())
        self._pods = LocalPods(cluster, monitor, self._outside, finalize_after=finalize_after, jitter=jitter)
        self.pods = self._pods
        self._outcomes = Outcomes(cluster, self._pods, observe)
        self._starts = Starts(cluster, self._pods)
        self._planner = Planner(
            cluster=cluster,
            backends=backends,
            discoverers=discoverers,
            read_links=read_links,
            monitored=monitor is not None,
            rulesets=RulesetCache(cluster),
            is_fresh=self._starts.is_fresh,
            forget_connections=forget_connections,
        )
        self._scheduler = Scheduler(
            planner=self._planner,
            locator=locator,
            pool=pool,
            locator_executor=locator_executor or InlineExecutor(),
            done=lambda job: self.post(partial(self._done, job)),
        )
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._notices: dict[tuple[ObjectName, Topic], frozenset[int] | None] = {}  # posted, not handled yet
        self._notices_lock = threading.Lock()
        self._started = False
        self._resumes = False
        self._reconsider_at = clock() + _RECONSIDER_SECONDS

    # --- from any thread ------------------------------------------------------------------------------------------

    def post(self, event: Callable[[], None]) -> None:
        """Queue a call for the agent's thread."""
        self._inbox.put(event)

    def noticed(self, pod: ObjectName, topic: Topic, generations: frozenset[int] | None = None) -> None:
        """Queue the notice of a change in a pod's sandbox; for a monitor, which a pod can flood.

        Args:
            pod: The pod.
            topic: Of the change.
            generations: Of the announced commits; None if unknown.
        """
        key = pod, topic
        with self._notices_lock:
            is_new, before = key not in self._notices, self._notices.get(key, frozenset())
            both = before | generations if before is not None and generations is not None else None
            self._notices[key] = both if both is None or len(both) <= _KEPT_NOTICES else None
        if is_new:
            self.post(partial(self._take_notice, pod, topic))

    def listener_lost(self, pod: ObjectName) -> None:
        """Handle the loss of a sandbox's listeners: read it, and open new ones."""
        self.post(partial(self._listener_lost, pod))

    # --- by the owner ---------------------------------------------------------------------------------------------

    def submit(self, changes: Iterable[Change], received_at: float | None = None) -> None:
        """Apply changes to the cluster state and schedule the affected pods.

        Args:
            changes: The news; the first time, the full state (S62).
            received_at: The time of their arrival (time.monotonic).
        """
        affected = self.cluster.apply(changes)
        self._follow(affected, received_at)
        if not self._started:
            self._started = True
            for name in self.cluster.local_pods - affected.sandboxes:  # may have had attachments before the start
                self._require_replacement(name, received_at)
        self._starts.check()

    def hold(self, start: Start, gated: Gated, unclaimed: frozenset[str]) -> None:
        """Hold a pod's start until its rules are in force in its new sandbox.

        Args:
            start: Completed then. Until the first `submit` none is.
            gated: The gate's description of the pod's attachments.
            unclaimed: Interfaces that lead out of the pod and that neither a gate nor the pod's requests claim.
        """
        self._starts.add(start)
        self.describe(start.pod, gated)
        self._follow_if_started(self.cluster.deny_unclaimed(start.pod, unclaimed))
        state = self._pods.get(start.pod)
        if state is not None and state.sandbox != start.sandbox:
            if state.sandbox is not None:
                self._pods.sandbox_gone(state)
            state.retry_now()
            self._scheduler.start_next(state, self._clock())
        elif state is not None and start.fresh:  # rules came before the gate: connections may be older than they are
            state.read_now()
            self._scheduler.start_next(state, self._clock())
        elif state is None and self._started and self.cluster.needs_rules(start.pod):
            self._require_replacement(start.pod, None)
        if self._started:
            self._starts.check(start.pod)

    def release(self, start: Start, report: Report | None = None) -> None:
        """Handle the end of a gate's wait.

        Args:
            start: The start.
            report: The pod's fate at the limit; it stands until rules are in force.
        """
        if report is None:
            self._starts.discard(start)
        else:
            self._starts.report(start, report)

    def describe(self, pod: ObjectName, gated: Gated | None) -> None:
        """Take a gate's description of a pod's attachments; None forgets it."""
        self._follow_if_started(self.cluster.put_gated(pod, gated))

    def process(self, timeout: float) -> None:
        """Handle the inbox, waiting at most so many seconds for an entry, and start due operations."""
        now, deadline = self._clock(), self._scheduler.next_deadline()
        if self._scheduler.can_start(now):
            timeout = 0.0
        elif deadline is not None:
            timeout = max(0.0, min(timeout, deadline - now))
        with suppress(queue.Empty):
            self._inbox.get(timeout=timeout)()
        for _ in range(_ROUNDS):
            for _ in range(self._inbox.qsize()):  # not the entries posted by these: operations have to start meanwhile
                self._inbox.get()()
            self._start_due()
            if self._inbox.empty():
                return

    def watch(self) -> None:
        """Poll sandboxes for unannounced changes; to be called about every second.

        Costs one stat(2) for each, and a message to the kernel for each packet filter without announcements.
        """
        now = self._clock()
        if now >= self._reconsider_at:
            self._reconsider_at = now + _RECONSIDER_SECONDS
            self._follow(self.cluster.retry_oversized())
        for state in self._pods:
            if state.sandbox is not None and not self._pool.is_there(state.sandbox):
                self._pods.sandbox_gone(state)
            else:
                state.poll()
            self._scheduler.start_next(state, now)
        self.cluster.settle(_SETTLED_PODS)
        self._outside.tend((state.sandbox for state in self._pods), self._pool.is_there)

    def drain(self) -> None:
        """Start no more operations; those under way end in `process`. Rules stay in force (S62)."""
        self._scheduler.drain(self._clock())

    def take_sync(self) -> Sync | None:
        """All outcomes since the last call, and the reports of a few objects at a time.

        None if empty; `has_reports` is true if the next call returns more.
        """
        outcomes = self._outcomes.take()
        if not outcomes and not self.has_reports:
            return None
        appeared, vanished = self.cluster.standing.take(_REPORTED_OBJECTS)
        seconds = sum(outcome.seconds for outcome in outcomes)
        return Sync(outcomes=outcomes, appeared=appeared, vanished=vanished, seconds=seconds)

    @property
    def has_reports(self) -> bool:
        """Whether new or resolved reports wait for `take_sync`."""
        return self.cluster.standing.changed

    @property
    def started(self) -> bool:
        """Whether the full state has been submitted: from then on rules are written."""
        return self._started

    @property
    def busy(self) -> bool:
        """Whether operations are under way."""
        return self._scheduler.busy > 0

    @property
    def synced_once(self) -> bool:
        """Whether in every local pod an operation was tried to the end, successfully or not.

        A pod with more rules than most, or one that takes long, is not waited for: it is reported instead.
        """
        slow = self._clock() - _SLOW_SECONDS
        return all(
            state.synced_once
            or self.cluster.weight(state.name) > BIG_LINES
            or (state.attempt is not None and state.attempt.started_at < slow)
            for state in self._pods
        )

    @property
    def enforced(self) -> int:
        """The number of pods with rules in force, as far as known to this process."""
        return sum(state.stamp is not None for state in self._pods)

    # --- the same, for callers that can wait ------------------------------------------------------------------------

    def sync(self, changes: Iterable[Change]) -> Sync:
        """Apply changes, update all affected pods, and wait for the end of all operations.

        Failures of an earlier pass are retried once.
        """
        started = self._clock()
        for state in self._pods:
            state.retry_now()
            self._scheduler.start_next(state, started)
        self.submit(changes)
        self.process(0)
        while self.busy or self.cluster.unfinished:
            self.process(_WAIT_SECONDS)
        self.cluster.settle()
        appeared, vanished = self.cluster.standing.take()
        return Sync(
            outcomes=self._outcomes.take(),
            appeared=appeared,
            vanished=vanished,
            reports=self.reports(),
            seconds=self._clock() - started,
        )

    # --- state ----------------------------------------------------------------------------------------------------

    def attachments(self, pod: ObjectName) -> tuple[Attachment, ...]:
        """The attachments of a local pod: as the kernel has them, or as claimed, by the setting ``own-addresses``."""
        state = self._pods.get(pod)
        if state is None or state.findings is None or self._own_addresses is not AddressSource.KERNEL:
            return self.cluster.claims(pod)
        return state.findings.attachments

    def sandbox(self, pod: ObjectName) -> Sandbox | None:
        """The sandbox of a local pod, once located."""
        return state.sandbox if (state := self._pods.get(pod)) is not None else None

    def ruleset(self, pod: ObjectName) -> Ruleset | None:
        """The wanted ruleset of a local pod, as it would be applied; None if there is none."""
        policy = self.cluster.sandbox_policy(pod)
        return self._planner.backend(self._pods.get_or_add(pod)).renderer.render(policy) if policy is not None else None

    def reports(self) -> tuple[Report, ...]:
        """All standing problems."""
        return self.cluster.reports()

    # --- from changes to operations ---------------------------------------------------------------------------------

    def _follow(self, affected: Affected, received_at: float | None = None) -> None:
        for name in affected.gone:
            self._pods.remove(name)
            self._starts.forget(name)
        for name in sorted(affected.sandboxes):
            self._require_replacement(name, received_at)
        now = self._clock()
        for change, users in affected.deltas:
            delta = LazyDelta(change)
            for name in sorted(users):
                state = self._pods.get_or_add(name)
                if delta.is_of_members(state.backend):
                    state.members_changed(delta, received_at)
                    self._scheduler.start_next(state, now)
                else:
                    self._require_replacement(name, received_at)
        if self.cluster.unfinished and not self._resumes:
            self._resumes = True
            self.post(self._resume)

    def _follow_if_started(self, affected: Affected) -> None:
        """Before the full state is known, every local pod is checked anyway."""
        if self._started:
            self._follow(affected)

    def _resume(self) -> None:
        self._resumes = False
        self._follow(self.cluster.resume())

    def _require_replacement(self, name: ObjectName, received_at: float | None) -> None:
        state = self._pods.get_or_add(name)
        lines = self.cluster.weight(name)
        state.require_replacement(received_at, lines if lines > BIG_LINES else 0)
        self._scheduler.start_next(state, self._clock())

    def _start_due(self) -> None:
        now = self._clock()
        end = now + _SLICE_SECONDS
        self._scheduler.start_due(now)
        while now < end and self._scheduler.start_one(now):
            now = self._clock()
        self._scheduler.start_slices()

    def _done(self, job: Job) -> None:
        now = self._clock()
        self._scheduler.release(job)
        for step, result in job.finished():
            if result is None:
                if self._pods.is_current(step.state):
                    self._scheduler.enter(step)
                continue
            if (affected := self._outcomes.record(step.state, step.attempt, result, now)) is not None:
                self._follow(affected)
            self._scheduler.start_next(step.state, now)
            self._starts.check(step.state.name)

    def _listener_lost(self, name: ObjectName) -> None:
        if (state := self._pods.get(name)) is not None:
            state.listener_lost(now := self._clock())
            self._scheduler.start_next(state, now)

    def _take_notice(self, name: ObjectName, topic: Topic) -> None:
        with self._notices_lock:
            generations = self._notices.pop((name, topic))
        if (state := self._pods.get(name)) is not None:
            state.noticed(topic, now := self._clock(), generations)
            self._scheduler.start_next(state, now)
