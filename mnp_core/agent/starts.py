"""Pod starts that gates hold, each until the pod's rules are in force in its new sandbox."""

from concurrent.futures import Future

from attrs import field

from mnp_core.agent.local_pods import LocalPods
from mnp_core.api import Sandbox
from mnp_core.classes import define
from mnp_core.cluster import ClusterState
from mnp_core.model import ObjectName, Pod, Report
from mnp_core.policy.attachments import Problem


@define(eq=False, kw_only=True)
class Start:
    """One held start.

    Attributes:
        pod: The pod.
        uid: Its UID; empty if unknown.
        sandbox: Its new network namespace.
        fresh: Whether no container of the pod can have started yet.
        wants_status: Whether network-status has to be known: an interface is there that nothing else claims.
        known: Whether the cluster state has the pod.
        failure: Of the last attempt to bring the rules up to date; empty if there is none.
        done: Completed when the rules are in force, or with the cause if only new input can help.
    """

    pod: ObjectName
    uid: str
    sandbox: Sandbox
    fresh: bool = True
    wants_status: bool = False
    known: bool = False
    failure: str = ""
    done: Future[str] = field(factory=Future)

    def awaits_pod(self, pod: Pod | None) -> bool:
        """Whether the pod itself, or its network-status, is still awaited."""
        self.known = pod is not None and self.uid in {"", pod.uid, pod.static_uid}
        return pod is None or not self.known or (self.wants_status and not pod.attached)

    def failed(self, error: str) -> None:
        """Record the failure of the last attempt, or that there is none."""
        self.failure = error


class Starts:
    """All held starts. The agent's thread owns it."""

    def __init__(self, cluster: ClusterState, pods: LocalPods) -> None:
        """Begin with none.

        Args:
            cluster: The source of the wanted policy.
            pods: The states of local pods.
        """
        self._cluster = cluster
        self._pods = pods
        self._starts: dict[ObjectName, list[Start]] = {}
        self._reported: dict[ObjectName, Start] = {}  # whose gate waits no longer

    def add(self, start: Start) -> None:
        """Hold a start."""
        self._starts.setdefault(start.pod, []).append(start)

    def discard(self, start: Start) -> None:
        """Drop a start whose gate waits no longer."""
        if start in (held := self._starts.get(start.pod, [])):
            held.remove(start)
            if not held:
                del self._starts[start.pod]

    def forget(self, pod: ObjectName) -> None:
        """Drop the starts of a pod that is gone; its gates' calls end at their limit.

        Those of a pod of the same name that is not known yet stay: a StatefulSet makes one anew, and its sandbox may
        be faster than the watch.
        """
        for start in tuple(self._starts.get(pod, ())):
            if start.known:
                self.discard(start)
        self._settle(pod)

    def report(self, start: Start, report: Report) -> None:
        """Report the fate of a start at its limit, until rules are in force."""
        self.discard(start)
        self._reported[start.pod] = start
        self._cluster.standing.put(("gate", start.pod), (self._cluster.exposing(start.pod, Problem(report=report)),))

    def _settle(self, pod: ObjectName) -> None:
        if self._reported.pop(pod, None) is not None:
            self._cluster.standing.put(("gate", pod), ())

    def is_fresh(self, pod: ObjectName) -> bool:
        """Whether a start is held before any container of the pod can have started."""
        return any(start.fresh for start in self._starts.get(pod, ()))

    def check(self, pod: ObjectName | None = None) -> None:
        """Complete the starts of a pod, or of all, whose rules are in force."""
        for name in {*self._starts, *self._reported} if pod is None else (pod,):
            for start in tuple(self._starts.get(name, ())):
                verdict = self._verdict(start)
                if verdict is not None:
                    start.done.set_result(verdict)
                    self.discard(start)
                if verdict == "":
                    self._settle(name)
            if (reported := self._reported.get(name)) is not None and self._verdict(reported) == "":
                self._settle(name)

    def _verdict(self, start: Start) -> str | None:
        """Empty if the rules are in force, the cause if they cannot be; None to wait."""
        pod, state = self._cluster.pod(start.pod), self._pods.get(start.pod)
        if start.awaits_pod(pod):
            return None
        if not self._cluster.needs_rules(start.pod):
            return ""
        if state is None or state.sandbox != start.sandbox:
            return None
        start.failed(state.retries.error)
        if state.retries.waits_for_input:
            return state.retries.error
        return "" if state.in_force else None
