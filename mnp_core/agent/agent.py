"""The agent: keeps what is in force in every sandbox of this node equal to what policy says.

One thread owns it. What takes time happens elsewhere: a pool works in many sandboxes at once, and errands find them;
both post what came of it, and the owner takes that in with `process`. Each pod has its own wishes, its own retries and
at most one piece of work under way, so none holds up another. A failure is an `Outcome`, never an exception, and
leaves in force what was there.
"""

import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial

from mnp_core.agent.crew import BIG, Crew, Pool
from mnp_core.agent.errands import Immediately
from mnp_core.agent.jobs import BackendChoice, JobMaker
from mnp_core.agent.localpod import LocalPod, SharedDelta
from mnp_core.agent.outside import OutsideState
from mnp_core.agent.register import Monitor, Register
from mnp_core.agent.rendering import Renderings
from mnp_core.agent.results import Observer, Results
from mnp_core.api import InterfaceDiscoverer, SandboxLocator, Sync
from mnp_core.cluster import Affected, ClusterState
from mnp_core.model import AddressSource, Attachment, Change, Link, ObjectName, Report, Ruleset
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.monitor import Topic

_REST = 0.2  # seconds in which what somebody changes in a sandbox is gathered before it is looked at
_ROUNDS = 4  # of taking in what has come and beginning work, until the caller has its turn
_DEAF = 1.0  # seconds until a sandbox is listened to anew
_LONGEST = 5.0  # seconds after which nobody waits any more for what is being done in a pod
_RECONSIDER = 60.0  # seconds until a policy whose groups were too big is tried again
_PATIENCE = 30.0  # seconds to wait for something to happen before asking again whether there is anything to wait for


class Agent:
    """Reconciles the sandboxes of one node with a `ClusterState`."""

    def __init__(  # noqa: PLR0913 - the parts that it is put together from, each by its name
        self,
        *,
        cluster: ClusterState,
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
        outside: OutsideState | None = None,
    ) -> None:
        """Put together what was chosen.

        Args:
            cluster: The state of the cluster; the agent owns it from now on.
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
            outside: Removes what appliers keep outside of sandboxes; None if none does.
        """
        self.cluster = cluster
        self._outside = outside or OutsideState({}, lambda _: ())
        self._pods = Register(cluster, monitor, self._outside)
        self._results = Results(
            cluster=cluster, register=self._pods, affect=self._affect, observe=observe, finish_after=finish_after
        )
        self._jobs = JobMaker(
            cluster=cluster,
            backends=backends,
            discoverers=discoverers,
            read_links=read_links,
            listening=self._pods.listening,
            renderings=Renderings(cluster),
        )
        self._crew = Crew(
            client=self._results,
            post=self.post,
            jobs=self._jobs,
            locator=locator,
            pool=pool,
            errands=errands or Immediately(),
        )
        self._pool = pool
        self._own_addresses = own_addresses
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._noticed: set[tuple[ObjectName, Topic]] = set()  # posted, and not taken in yet
        self._started = False
        self._reconsider_at = time.monotonic() + _RECONSIDER

    # --- from any thread ------------------------------------------------------------------------------------------

    def post(self, event: Callable[[], None]) -> None:
        """Have something called on the agent's thread."""
        self._inbox.put(event)

    def noticed(self, pod: ObjectName, topic: Topic) -> None:
        """Say that something has changed in a pod's sandbox; meant for a monitor, which a pod can flood."""
        if (pod, topic) not in self._noticed:
            self._noticed.add((pod, topic))
            self.post(partial(self._notice, pod, topic))

    def deafened(self, pod: ObjectName) -> None:
        """Say that a pod's sandbox cannot be listened to any more: it is read, and listened to anew."""
        self.post(partial(self._listen_anew, pod))

    # --- what the owner does --------------------------------------------------------------------------------------

    def submit(self, changes: Iterable[Change], heard: float | None = None) -> None:
        """Take in changes and begin to bring what they affect up to date.

        Args:
            changes: What is new; the first time, everything (S62).
            heard: When that was heard of (time.monotonic).
        """
        effect = self.cluster.apply(changes)
        self._affect(effect, heard)
        if not self._started:
            self._started = True
            for name in self.cluster.local_pods - effect.sandboxes:  # they may have had attachments before we came
                self._want_replacement(name, heard)

    def process(self, timeout: float) -> None:
        """Take in what has come, waiting at most so many seconds for something, and start what is due."""
        soonest = self._crew.soonest()
        if self._crew.can_begin:
            timeout = 0.0
        elif soonest is not None:
            timeout = max(0.0, min(timeout, soonest - time.monotonic()))
        with suppress(queue.Empty):
            self._inbox.get(timeout=timeout)()
        for _ in range(_ROUNDS):
            for _ in range(self._inbox.qsize()):  # not what these post: work has to be begun meanwhile
                self._inbox.get()()
            self._crew.begin_due()
            if self._inbox.empty():
                return

    def watch(self) -> None:
        """Look after sandboxes whose changes are not told: meant to be called every second or so.

        Costs one stat(2) for each, and a message to the kernel for those whose packet filter nobody listens to.
        """
        if time.monotonic() >= self._reconsider_at:
            self._reconsider_at = time.monotonic() + _RECONSIDER
            self._affect(self.cluster.retry_oversized())
        for local in self._pods:
            if local.sandbox is not None and not self._pool.is_there(local.sandbox):
                self._pods.lose_sandbox(local)
            elif not local.hears_rules and local.stamp is not None:
                local.wishes.check = True
            self._crew.advance(local)
        self._outside.tend((local.sandbox for local in self._pods), self._pool.is_there)

    def wind_down(self) -> None:
        """Begin nothing any more; what is under way comes to its end with `process`. Rules stay in force (S62)."""
        self._crew.wind_down()

    def take_sync(self) -> Sync | None:
        """What has become of everything since the last time; None if that is nothing."""
        outcomes = self._results.take()
        if not outcomes and not self.cluster.standing.changed:
            return None
        appeared, vanished = self.cluster.standing.take()
        seconds = sum(outcome.seconds for outcome in outcomes)
        return Sync(outcomes=outcomes, appeared=appeared, vanished=vanished, seconds=seconds)

    @property
    def busy(self) -> bool:
        """Whether work is under way."""
        return self._crew.busy > 0

    @property
    def attended(self) -> bool:
        """Whether every pod that is known has been seen to once, successfully or not.

        Nobody waits for a pod that has more rules than most, or one that takes long: it is reported instead.
        """
        slow = time.monotonic() - _LONGEST
        return all(local.attended or self._is_big(local) or (local.busy and local.begun < slow) for local in self._pods)

    def _is_big(self, local: LocalPod) -> bool:
        return self.cluster.weight(local.name) > BIG

    @property
    def enforced(self) -> int:
        """In how many pods rules are in force, as far as this process knows."""
        return sum(local.stamp is not None for local in self._pods)

    # --- the same, for who can wait --------------------------------------------------------------------------------

    def sync(self, changes: Iterable[Change]) -> Sync:
        """Take in changes and bring everything that they affect up to date.

        Returns when all is done. What failed in an earlier pass is tried again, once.
        """
        started = time.monotonic()
        for local in self._pods:
            local.retry_at = 0.0
        self.submit(changes)
        return self._settle(started)

    def look_again(self, pods: Iterable[ObjectName]) -> Sync:
        """Read the links of some pods again, because they have changed."""
        started = time.monotonic()
        for name in pods:
            local = self._pods.get(name)
            if local is not None:
                local.wishes.look, local.rest_until, local.look_after = True, 0.0, 0.0
                self._crew.advance(local)
        return self._settle(started)

    def check_drift(self) -> Sync:
        """Look whether somebody changed our rules, and put them back (S63)."""
        started = time.monotonic()
        for local in self._pods:
            local.wishes.check, local.rest_until, local.check_thoroughly_at = True, 0.0, 0.0
            self._crew.advance(local)
        return self._settle(started)

    def _settle(self, started: float) -> Sync:
        self.process(0)
        while self.busy:
            self.process(_PATIENCE)
        appeared, vanished = self.cluster.standing.take()
        return Sync(
            outcomes=self._results.take(),
            appeared=appeared,
            vanished=vanished,
            reports=self.reports(),
            seconds=time.monotonic() - started,
        )

    # --- what it knows --------------------------------------------------------------------------------------------

    def attachments(self, pod: ObjectName) -> tuple[Attachment, ...]:
        """The attachments of a local pod: as the kernel has them, or as claimed, by the setting ``own-addresses``."""
        local = self._pods.get(pod)
        if local is None or local.findings is None or self._own_addresses is not AddressSource.KERNEL:
            return self.cluster.claims(pod)
        return local.findings.attachments

    def ruleset(self, pod: ObjectName) -> Ruleset | None:
        """What is to be in force in a local pod, as it would be applied; None if nothing is."""
        policy = self.cluster.sandbox_policy(pod)
        return self._jobs.backend(self._pods.enrol(pod)).renderer.render(policy) if policy is not None else None

    def reports(self) -> tuple[Report, ...]:
        """Every problem that stands."""
        return self.cluster.reports()

    # --- from changes to wishes -----------------------------------------------------------------------------------

    def _affect(self, effect: Affected, heard: float | None = None) -> None:
        for name in effect.gone:
            self._pods.forget(name)
        for name in sorted(effect.sandboxes):
            self._want_replacement(name, heard)
        for change, users in effect.deltas:
            delta = SharedDelta(change)
            for name in sorted(users):
                local = self._pods.enrol(name)
                local.wishes.want_update(delta)
                local.wishes.hear(heard)
                self._crew.advance(local)

    def _want_replacement(self, name: ObjectName, heard: float | None) -> None:
        local = self._pods.enrol(name)
        local.wishes.want_replacement()
        local.wishes.hear(heard)
        local.retry_at = 0.0
        self._crew.advance(local)

    def _listen_anew(self, name: ObjectName) -> None:
        local = self._pods.get(name)
        if local is not None and local.stamp is not None:
            local.stamp, local.hears_rules = None, False
            local.wishes.want_replacement()
            local.retry_at = time.monotonic() + _DEAF
            self._crew.advance(local)

    def _notice(self, name: ObjectName, topic: Topic) -> None:
        self._noticed.discard((name, topic))
        local = self._pods.get(name)
        if local is None:
            return
        if not (local.wishes.check or local.wishes.look):  # else a rest has begun, which nobody can draw out
            local.rest_until = time.monotonic() + _REST
        local.wishes.check = True  # after a change of links too: a filter may be bound to interfaces
        if topic is Topic.RULES:
            local.check_thoroughly_at = 0.0
        else:
            local.wishes.look = True
        self._crew.advance(local)
