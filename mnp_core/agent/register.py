"""The pods of this node that the agent has in its care."""

from collections.abc import Iterator
from itertools import repeat
from typing import Protocol

from mnp_core.agent.enforcement import deafen
from mnp_core.agent.localpod import LocalPod, Wishes
from mnp_core.agent.outside import OutsideState
from mnp_core.cluster import ClusterState
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.policy.attachments import Problem
from mnp_core.sandbox.monitor import Listeners, Topic


class Monitor(Protocol):
    """What the agent needs of `mnp_core.sandbox.monitor.Monitor`."""

    def listen(self, key: ObjectName, listeners: Listeners) -> None:
        """Listen to these sockets, and to no others of this key; they are the monitor's from then on."""

    def forget(self, key: ObjectName) -> None:
        """Listen no longer."""


class Register:
    """Each pod by its name, and who listens to its sandbox."""

    def __init__(self, cluster: ClusterState, monitor: Monitor | None, outside: OutsideState) -> None:
        """Begin with no pods.

        Args:
            cluster: Says which of the pods that ever had a name is meant by it.
            monitor: Listens to sandboxes; None if nobody does.
            outside: Takes over the sandboxes that pods leave.
        """
        self._cluster = cluster
        self._outside = outside
        self._monitor = monitor
        self._pods: dict[ObjectName, LocalPod] = {}

    @property
    def listening(self) -> bool:
        """Whether somebody wants to hear of changes in sandboxes."""
        return self._monitor is not None

    def __iter__(self) -> Iterator[LocalPod]:
        """Those that are in our care now, whatever becomes of them meanwhile."""
        return iter(tuple(self._pods.values()))

    def get(self, name: ObjectName) -> LocalPod | None:
        """The pod, if it is in our care."""
        return self._pods.get(name)

    def holds(self, local: LocalPod) -> bool:
        """Whether this one still is."""
        return self._pods.get(local.name) is local

    def enrol(self, name: ObjectName) -> LocalPod:
        """A pod in our care, from now on if it was not; one that came back is another one, with the same backend."""
        pod = self._cluster.pod(name)
        incarnation = (pod.uid, pod.statuses) if pod is not None else ("", ())
        local = self._pods.get(name)
        if local is not None and local.incarnation == incarnation:
            return local
        backend = None
        if local is not None:
            self.forget(name)
            backend = local.backend
        self._pods[name] = LocalPod(name=name, incarnation=incarnation, backend=backend)
        return self._pods[name]

    def forget(self, name: ObjectName) -> None:
        """It is in our care no longer: what is under way comes to its end, and nothing more is begun."""
        local = self._pods.pop(name, None)
        if local is not None:
            local.wishes = Wishes()
            self._leave_sandbox(local)
            self._cluster.standing.put(("pod", name), ())
        if self._monitor is not None:
            self._monitor.forget(name)

    def lose_sandbox(self, local: LocalPod) -> None:
        """Its sandbox is not there any more, or not the same."""
        self._leave_sandbox(local)
        local.lose_sandbox()
        self.restate(local)
        if self._monitor is not None:
            self._monitor.forget(local.name)

    def _leave_sandbox(self, local: LocalPod) -> None:
        if local.sandbox is not None:
            self._outside.leave(local.sandbox)

    def listen(self, local: LocalPod, listeners: Listeners) -> None:
        """Hear of changes in its sandbox from now on."""
        if self._monitor is None:
            deafen(listeners)
            return
        local.hears_rules = Topic.RULES in listeners
        self._monitor.listen(local.name, listeners)

    def restate(self, local: LocalPod) -> None:
        """Have reported what is not as it should be in this pod now."""
        if self.holds(local):
            problems = map(self._cluster.exposing, repeat(local.name), _problems(local))
            self._cluster.standing.put(("pod", local.name), problems)


def _problems(local: LocalPod) -> Iterator[Problem]:
    if local.findings is not None:
        yield from local.findings.problems
    if local.error and not local.waits:
        yield Problem(report=_failure(local))


def _failure(local: LocalPod) -> Report:
    """A pod that cannot be written to, for ever or for a long time, is not enforceable."""
    return Report(
        about=ObjectRef("Pod", local.name),
        field="",
        reason=Reason.UNENFORCEABLE if local.given_up else Reason.ENFORCEMENT_FAILED,
        message=f"its rules could not be brought up to date, what was in force still is: {local.error.rstrip('.')}",
        remedy="It is tried again; if it stays, look at the cause named here",
    )
