"""The agent's side of gates: holds each pod's start until its rules are in force, or until the limit."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, Protocol

from mnp_core.agent.agent import Agent
from mnp_core.agent.starts import Start
from mnp_core.api import Admission, Decision, PodStart, Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import MnpError
from mnp_core.model import Link, ObjectName, ObjectRef, Pod, Reason, Report
from mnp_core.node.denial import Denial
from mnp_core.node.described import Described, DescribedPod
from mnp_core.settings import GateSettings

_GRACE_SECONDS: Final = 0.02  # for the watch to deliver a pod, before a GET
_DENIAL_SECONDS: Final = 0.3  # of the limit, kept for a denial if the agent has not started
_OPENED: Final = "Find the cause in the agent's log; the setting gate-at-limit: closed refuses such a start"
_REFUSED: Final = "The kubelet tries again. Find the cause in the agent's log"


class Pool(Protocol):
    """The method of `mnp_core.sandbox.pool.SandboxPool` used here."""

    def run(self, sandbox: Sandbox, work: Callable[[], Sequence[Link]]) -> Sequence[Link]:
        """Run work inside a sandbox, and wait."""


@frozen(kw_only=True)
class NodeGatekeeper:
    """Implements `mnp_core.api.Gatekeeper`.

    Attributes:
        agent: Brings the rules into force.
        described: The sandboxes that gates have described.
        denial: Denies everything in a sandbox.
        settings: Of gates.
        fetch: Reads a pod from the API server and delivers it to the agent; None if it is not there.
        observe: Called with each decision and the seconds that the start was held.
    """

    agent: Agent
    described: Described
    denial: Denial
    settings: GateSettings
    fetch: Callable[[ObjectName], "Future[Pod | None]"]
    observe: Callable[[Admission, float], None]

    def admit(self, start: PodStart, *, seconds: float | None = None) -> Decision:
        """See `mnp_core.api.Gatekeeper`."""
        began = time.monotonic()
        limit = min(self.settings.seconds, seconds if seconds is not None else self.settings.seconds)
        try:
            decision = self._admit(start, began + limit)
        except Exception as error:  # noqa: BLE001 - a gate gets an answer, whatever happens
            decision = Decision(admission=Admission.REFUSED, reason=f"{type(error).__name__}: {error}")
        self.observe(decision.admission, time.monotonic() - began)
        return decision

    def running(self, gate: str, pods: Sequence[PodStart]) -> None:  # noqa: ARG002 - gates may overlap
        """See `mnp_core.api.Gatekeeper`."""
        for start in pods:
            try:
                pod = self.described.put(start)
            except MnpError:
                continue  # it has ended, or is the host's: nothing to enforce there
            if pod is not None:
                self.agent.post(partial(self.agent.describe, start.pod, pod.gated))
        for name in self.described.forget_gone():
            self.agent.post(partial(self.agent.describe, name, None))

    def stopped(self, pod: ObjectName, uid: str, netns: str = "") -> None:
        """See `mnp_core.api.Gatekeeper`."""
        if self.described.discard(pod, uid, netns):
            self.agent.post(partial(self.agent.describe, pod, None))

    def _admit(self, start: PodStart, deadline: float) -> Decision:
        try:
            pod = self.described.put(start)
            if pod is None:  # the host's own namespace
                return Decision(admission=Admission.IN_FORCE)
            unclaimed = self.described.unclaimed(pod)
        except MnpError as error:
            return self._at_limit(start, None, str(error))
        if not (pod.interfaces or unclaimed):
            self.agent.post(partial(self.agent.describe, start.pod, pod.gated))
            return Decision(admission=Admission.IN_FORCE)
        held = Start(pod=start.pod, uid=start.uid, sandbox=pod.sandbox, fresh=start.fresh)
        held.wants_status = bool(unclaimed) and not pod.interfaces and self._has_status(held.pod, deadline)
        self.agent.post(partial(self.agent.hold, held, pod.gated, unclaimed))
        return self._wait(start, pod, held, deadline, unclaimed)

    def _has_status(self, name: ObjectName, deadline: float) -> bool:
        """Whether the pod has network-status, which alone can claim the interfaces there."""
        pod, problem = self._fetch(name, deadline)
        return bool(problem) or (pod is not None and pod.attached)

    def _wait(
        self, start: PodStart, pod: DescribedPod, held: Start, deadline: float, unclaimed: frozenset[str]
    ) -> Decision:
        problem = ""
        if _result(held.done, time.monotonic() + _GRACE_SECONDS) is None and not held.known and self.agent.started:
            _, problem = self._fetch(held.pod, deadline)
        failure = _result(held.done, deadline - (0.0 if self.agent.started else _DENIAL_SECONDS))
        if failure is None and not self.agent.started:
            failure = self._deny(pod, unclaimed)
            if failure == "":
                self.agent.post(partial(self.agent.release, held))
                return Decision(admission=Admission.DENIED)
        if failure == "":
            return Decision(admission=Admission.IN_FORCE)
        return self._at_limit(start, held, failure or problem or held.failure or self._awaited(held))

    def _fetch(self, name: ObjectName, deadline: float) -> tuple[Pod | None, str]:
        """The pod, and why there is none."""
        try:
            pod = self.fetch(name).result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return None, "the API server does not answer"
        except MnpError as error:
            return None, str(error)
        return pod, "" if pod is not None else f"the API server has no pod {name}"

    def _awaited(self, held: Start) -> str:
        return "its rules are not in force yet" if held.known else f"no pod {held.pod} with UID {held.uid} is known yet"

    def _deny(self, pod: DescribedPod, unclaimed: frozenset[str]) -> str | None:
        """Deny everything, unless the agent has started meanwhile (None); the failure, or empty."""
        submitted: Future[Future[None] | None] = Future()

        def submit() -> None:
            in_time = not self.agent.started  # afterwards the agent's own rules might be there
            submitted.set_result(self.denial.submit(pod.sandbox, {*pod.interfaces, *unclaimed}) if in_time else None)

        self.agent.post(submit)
        try:
            applied = submitted.result(_DENIAL_SECONDS)
            if applied is not None:
                applied.result(_DENIAL_SECONDS)
                return ""
        except TimeoutError:
            return "everything could not be denied in time"
        except MnpError as error:
            return str(error)
        return None

    def _at_limit(self, start: PodStart, held: Start | None, cause: str) -> Decision:
        cause = cause.rstrip(".")
        opens = self.settings.opens(self.described.networks(start.pod))
        reason, remedy = (Reason.STARTED_OPEN, _OPENED) if opens else (Reason.START_REFUSED, _REFUSED)
        effect = "it started without its rules" if opens else "its start was refused"
        report = Report(
            about=ObjectRef("Pod", start.pod), field="", reason=reason, message=f"{effect}: {cause}", remedy=remedy
        )
        if held is not None:
            self.agent.post(partial(self.agent.release, held, report))
        admission = Admission.OPEN if opens else Admission.REFUSED
        return Decision(admission=admission, reason=f"{report.message}. {remedy}")


def _result(done: Future[str], deadline: float) -> str | None:
    """The result of a start; None if there is none by then."""
    try:
        return done.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return None
