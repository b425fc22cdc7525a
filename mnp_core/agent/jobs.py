"""Work in one sandbox: made on the agent's thread from the cluster state of that moment, run inside the sandbox."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from attrs import evolve, frozen

from mnp_core.agent.enforcement import InForce, Stamp, check, deafen, enforce, finish, listen, retire, update
from mnp_core.agent.inspection import Claimed, inspect
from mnp_core.agent.localpod import LocalPod, Task
from mnp_core.agent.rendering import Renderings
from mnp_core.api import InterfaceDiscoverer, Result
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.model import Attachment, Link

_THOROUGH_CHECK_SECONDS = 30.0  # between two costly checks of an applier that has a cheap one
_UNKNOWN = Stamp(digest="", generation=-1)  # no generation is negative


class BackendChoice(Protocol):
    """What the agent needs of `mnp_core.backend.Backends`."""

    def of(self, attachments: Iterable[Attachment], /) -> Backend:
        """The backend of one sandbox."""

    def others(self, chosen: Backend, /) -> Iterable[Backend]:
        """Backends that may have been in force in a sandbox before."""


@frozen(kw_only=True)
class Job:
    """One piece of work.

    Attributes:
        task: What it is.
        heard: When the change was heard of that asked for it (time.monotonic); None if none did.
        started: When it was made (time.monotonic).
        run: Does it, inside the sandbox.
    """

    task: Task
    heard: float | None
    started: float
    run: Callable[[], InForce]


@frozen(kw_only=True)
class JobMaker:
    """Makes the most urgent piece of work of a pod.

    Attributes:
        cluster: Says what is to be in force.
        backends: Chooses who enforces it.
        discoverers: By the CNI type that they claim.
        read_links: Reads the interfaces of the sandbox that it is called in.
        listening: Whether somebody wants to hear of changes in sandboxes.
        renderings: Rulesets that sandboxes have in common.
    """

    cluster: ClusterState
    backends: BackendChoice
    discoverers: Mapping[str, InterfaceDiscoverer]
    read_links: Callable[[], Sequence[Link]]
    listening: bool
    renderings: Renderings

    def make(self, local: LocalPod, now: float) -> Job:
        """Turn the most urgent wish into work; raises whatever plugins raise."""
        task, wishes = local.wishes.next(), local.wishes
        heard: float | None = None
        match task:
            case Task.REPLACE:
                run = self._replace(local)
                heard, wishes.heard, wishes.replace = wishes.heard, None, False
            case Task.FINISH:
                run = self._finish(local)
                heard, wishes.heard, wishes.deltas, wishes.unfinished = wishes.heard, None, [], None
            case Task.UPDATE:
                run = self._update(local)
                heard, wishes.heard, wishes.deltas = wishes.heard, None, []
            case Task.CHECK:
                run = self._check(local, now)
                wishes.check = False
            case _:
                task, run = Task.LOOK, self._look(local)
                wishes.look = False
        return Job(task=task, heard=heard, started=now, run=run)

    def backend(self, local: LocalPod) -> Backend:
        """By its attachments; a pod that has lost them keeps the backend that it had."""
        claims = self.cluster.claims(local.name)
        if claims or local.backend is None:
            local.backend = self.backends.of(claims)
        return local.backend

    def _replace(self, local: LocalPod) -> Callable[[], InForce]:
        """Everything of ours, as a whole."""
        backend, policy, before = self.backend(local), self.cluster.sandbox_policy(local.name), local.stamp
        others = () if before is not None else tuple(other.applier for other in self.backends.others(backend))
        if policy is None:
            claimed = self._claimed(local)  # nothing: what leads out of the pod all the same is reported (S64)
            return lambda: evolve(
                retire((backend.applier, *others)), findings=inspect(claimed, self.read_links, self.discoverers)
            )
        ruleset = self.renderings.of(backend, policy)
        listening, drifting = self.listening and before is None, local.drifting

        def run() -> InForce:
            listeners = listen(backend.applier) if listening else None  # first, so that nothing is missed
            try:
                done = enforce(backend.applier, ruleset.get(), before, drifting=drifting)
                retire(others)
            except BaseException:
                deafen(listeners)
                raise
            return evolve(done, listeners=listeners)

        return run

    def _finish(self, local: LocalPod) -> Callable[[], InForce]:
        """What the last replacement has left for later, with the changes of membership since."""
        backend, unfinished = self.backend(local), local.wishes.unfinished
        policy = self.cluster.sandbox_policy(local.name)
        if unfinished is None or policy is None:
            return lambda: InForce(result=Result.UNCHANGED, stamp=local.stamp)
        deltas = [delta.rendered(backend) for delta in local.wishes.deltas]
        wanted = self.renderings.of(backend, policy).get if deltas else lambda: unfinished.ruleset
        return lambda: finish(backend.applier, unfinished.rest, deltas, wanted)

    def _update(self, local: LocalPod) -> Callable[[], InForce]:
        """Membership alone."""
        backend, before = self.backend(local), local.stamp or _UNKNOWN
        deltas = [delta.rendered(backend) for delta in local.wishes.deltas]
        return lambda: update(backend.applier, deltas, before)

    def _check(self, local: LocalPod, now: float) -> Callable[[], InForce]:
        """Whether somebody else changed something; every time as well as it can be found out, if that was long ago."""
        applier, before = self.backend(local).applier, local.stamp
        if before is None:  # there is nothing yet that could have been changed
            return lambda: InForce(result=Result.UNCHANGED)
        thoroughly = now >= local.check_thoroughly_at
        if thoroughly:
            local.check_thoroughly_at = now + _THOROUGH_CHECK_SECONDS
        return lambda: check(applier, before, thoroughly=thoroughly)

    def _look(self, local: LocalPod) -> Callable[[], InForce]:
        """Read its links, and write nothing."""
        claimed = self._claimed(local)
        return lambda: InForce(result=Result.UNCHANGED, findings=inspect(claimed, self.read_links, self.discoverers))

    def _claimed(self, local: LocalPod) -> Claimed:
        pod, claims = self.cluster.pod(local.name), self.cluster.claims(local.name)
        if pod is None:
            return Claimed(pod=local.name, attachments=claims)
        announced = frozenset(status.interface for status in pod.statuses)
        return Claimed(pod=pod.name, attachments=claims, defaults=pod.default_interfaces, announced=announced)
