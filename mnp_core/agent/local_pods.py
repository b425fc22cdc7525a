"""The pods of this node, each with its state, its listeners, and the reports of its problems."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Protocol

from mnp_core.agent.pod_state import PodState
from mnp_core.agent.retries import Retries
from mnp_core.api import CommitAnnouncer, Sandbox
from mnp_core.cluster import ClusterState
from mnp_core.model import Feature, ObjectName, ObjectRef, Reason, Report
from mnp_core.model.parsing.policy import ENFORCEMENT
from mnp_core.netfilter.kept import keep, leave
from mnp_core.policy.attachments import Problem
from mnp_core.sandbox.listeners import close_listeners
from mnp_core.sandbox.monitor import GenerationReader, Listeners
from mnp_core.sandbox.outside import OutsideState


def jittered() -> float:
    """A factor for the pause before a retry, to spread many."""
    return random.uniform(0.5, 1)  # noqa: S311 - spreads retries, no secret


class Monitor(Protocol):
    """The methods of `mnp_core.sandbox.monitor.Monitor` used by the agent."""

    def listen(self, key: ObjectName, listeners: Listeners, generation_of: GenerationReader | None = None) -> None:
        """Listen to these sockets, and to no others of this key; they are the monitor's from then on."""

    def forget(self, key: ObjectName) -> None:
        """Stop listening."""


class LocalPods:
    """Each local pod by its name."""

    def __init__(
        self,
        cluster: ClusterState,
        monitor: Monitor | None,
        outside: OutsideState,
        *,
        finalize_after: float = 0.0,
        jitter: Callable[[], float] = jittered,
    ) -> None:
        """Begin with no pods.

        Args:
            cluster: Resolves a name to the current pod.
            monitor: Listens to sandboxes; None to poll only.
            outside: Takes over the sandboxes that pods leave.
            finalize_after: Seconds that finalizing a replacement waits.
            jitter: A factor for pauses before retries.
        """
        self._cluster = cluster
        self._monitor = monitor
        self._outside = outside
        self._new_state = partial(PodState, monitored=monitor is not None, finalize_after=finalize_after)
        self._jitter = jitter
        self._pods: dict[ObjectName, PodState] = {}

    def __iter__(self) -> Iterator[PodState]:
        """A snapshot, unaffected by later additions and removals."""
        return iter(tuple(self._pods.values()))

    def get(self, name: ObjectName) -> PodState | None:
        """The state of a pod, if it is local."""
        return self._pods.get(name)

    def is_current(self, state: PodState) -> bool:
        """Whether this is still the state of the pod of its name."""
        return self._pods.get(state.name) is state

    def get_or_add(self, name: ObjectName) -> PodState:
        """The state of a pod; a recreated pod is another one, with the same backend."""
        pod = self._cluster.pod(name)
        incarnation = (pod.uid, pod.statuses) if pod is not None else ("", ())
        state = self._pods.get(name)
        if state is not None and state.incarnation == incarnation:
            return state
        backend = None
        if state is not None:
            self.remove(name)
            backend = state.backend
        retries = Retries(self._jitter)
        self._pods[name] = self._new_state(name=name, incarnation=incarnation, backend=backend, retries=retries)
        return self._pods[name]

    def remove(self, name: ObjectName) -> None:
        """Forget a pod: the operation under way ends, and none follows."""
        state = self._pods.pop(name, None)
        if state is not None:
            state.abandon()
            self._cluster.standing.put(("pod", name), ())
            self.release(name, state.sandbox)
        elif self._monitor is not None:
            self._monitor.forget(name)

    def sandbox_gone(self, state: PodState) -> None:
        """Handle a pod's deleted or replaced sandbox."""
        sandbox = state.sandbox
        state.sandbox_gone()
        self.release(state.name, sandbox)
        self.update_reports(state)

    def release(self, name: ObjectName, sandbox: Sandbox | None) -> None:
        """Release a sandbox that a pod has left."""
        if sandbox is not None:
            self._outside.leave(sandbox)
            leave((sandbox.device, sandbox.inode))
        if self._monitor is not None:
            self._monitor.forget(name)

    def watch(self, state: PodState, listeners: Listeners) -> None:
        """Listen to changes of a pod's sandbox, and keep a way into it."""
        if state.sandbox is not None:
            keep((state.sandbox.device, state.sandbox.inode))
        if self._monitor is None or state.backend is None:
            close_listeners(listeners)
            return
        applier = state.backend.applier
        reader = applier.announced_generation if isinstance(applier, CommitAnnouncer) else None
        self._monitor.listen(state.name, listeners, reader)

    def update_reports(self, state: PodState) -> None:
        """Update the reports of a pod's current problems."""
        if self.is_current(state):
            found = chain(_problems(state), self._unaudited(state))
            problems = map(self._cluster.exposing, repeat(state.name), found)
            self._cluster.standing.put(("pod", state.name), problems)

    def _unaudited(self, state: PodState) -> Iterator[Problem]:
        """Report policies in audit mode on a backend that has none (S74)."""
        if state.backend is not None and Feature.AUDIT in state.backend.refuses:
            policy = self._cluster.sandbox_policy(state.name)
            for audit in policy.audits if policy is not None else ():
                yield Problem(report=_not_audited(audit, state.backend.name))


def _problems(state: PodState) -> Iterator[Problem]:
    if state.findings is not None:
        yield from state.findings.problems
    if state.retries.error and not state.retries.awaiting_sandbox:
        yield Problem(report=_failure(state))


def _not_audited(policy: ObjectRef, backend: str) -> Report:
    return Report(
        about=policy,
        field=f"metadata.annotations[{ENFORCEMENT}]",
        reason=Reason.NOT_AUDITED,
        message=f"backend {backend!r} of a selected pod has no audit mode: nothing is enforced or counted there",
        remedy="Ask the operator of the node for another backend, or remove the annotation to enforce the policy",
    )


def _failure(state: PodState) -> Report:
    """The report of a pod: unenforceable if the failure is permanent or lasting."""
    retried = "It is tried again; if it stays, look at the cause named here"
    blocked = "Fix the cause named here: it is tried again when a policy, the pod or its sandbox changes"
    return Report(
        about=ObjectRef("Pod", state.name),
        field="",
        reason=Reason.UNENFORCEABLE if state.retries.hopeless else Reason.ENFORCEMENT_FAILED,
        message=f"its rules could not be updated, the former ones stay in force:  {state.retries.error.rstrip('.')}",
        remedy=blocked if state.retries.waits_for_input else retried,
    )
