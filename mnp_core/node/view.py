"""The policies of this node's pods at one moment, for the node's summary.

Taken on the agent's thread, where it costs some copies for each pod; counted on another.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mnp_core.agent.local_pods import LocalPods
from mnp_core.agent.pod_state import PodState
from mnp_core.classes import frozen
from mnp_core.cluster import ClusterState
from mnp_core.cluster.pod_policies import Selection
from mnp_core.conditions.summary import NodeSummary, PolicyFault, State, bounded
from mnp_core.model import ObjectName, ObjectRef, Reason

_ORDER: Final = {None: 0, State.PENDING: 1, State.FAILED: 2}


@frozen(kw_only=True)
class PodView:
    """One pod.

    Attributes:
        name: The pod.
        selection: Its policies.
        state: None if its rules are in force.
        reason: The kind of failure; empty without one.
        message: The failure for people.
    """

    name: ObjectName
    selection: Selection
    state: State | None
    reason: str = ""
    message: str = ""

    @classmethod
    def of(cls, name: ObjectName, selection: Selection, state: PodState | None) -> "PodView":
        """A snapshot of a pod and its state; None if no operation has begun."""
        if state is not None and state.retries.error and not state.retries.awaiting_sandbox:
            reason = state.retries.failure.value if state.retries.failure is not None else ""
            return cls(name=name, selection=selection, state=State.FAILED, reason=reason, message=state.retries.error)
        in_force = state is not None and state.in_force
        return cls(name=name, selection=selection, state=None if in_force else State.PENDING)

    def faults(self) -> Iterator[tuple[ObjectRef, int, PolicyFault | None]]:
        """Policies, the number of interfaces that each selects, and its fault, if any."""
        for ref, selected, enforceable in self.selection.counts():
            yield ref, selected, self._fault(ref, selected, unenforceable=selected - enforceable)

    def _fault(self, ref: ObjectRef, selected: int, *, unenforceable: int) -> PolicyFault | None:
        state, reason, message = self.state, self.reason, self.message
        if state is None and unenforceable:
            state, reason = State.FAILED, Reason.UNENFORCEABLE.value
            message = f"{unenforceable} of {selected} interfaces cannot be enforced"
        elif state is None and ref in self.selection.refused:
            state, reason = State.FAILED, Reason.OVER_BUDGET.value
            message = "it isolates and allows nothing"
        if state is None:
            return None
        return PolicyFault(interfaces=selected, state=state, reason=reason, message=f"{self.name}: {message}")


@frozen(kw_only=True)
class NodeView:
    """All pods of the node.

    Attributes:
        fingerprint: Of all policies that the node knows.
        tokens: Of these policies.
        pods: Local pods.
    """

    fingerprint: int
    tokens: Mapping[ObjectRef, int]
    pods: tuple[PodView, ...]

    @classmethod
    def of(cls, cluster: ClusterState, states: LocalPods) -> "NodeView":
        """A snapshot, on the agent's thread."""
        pods = (PodView.of(name, cluster.selection(name), states.get(name)) for name in sorted(cluster.local_pods))
        selected = tuple(pod for pod in pods if pod.selection.selecting)
        return cls(fingerprint=cluster.known.fingerprint, tokens=cluster.known.tokens(), pods=selected)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return all(pod.state is not State.PENDING for pod in self.pods)

    def summarize(self) -> NodeSummary:
        """Count by policy; on any thread."""
        enforced: dict[int, int] = {}
        faults: dict[int, PolicyFault] = {}
        for pod in self.pods:
            for ref, number, fault in pod.faults():
                if token := self.tokens.get(ref):
                    enforced[token] = enforced.get(token, 0) + number
                    known = faults.get(token)
                    if fault is not None and _ORDER[fault.state] > _ORDER[known.state if known else None]:
                        faults[token] = fault
        complete = {
            token: PolicyFault(
                interfaces=enforced.pop(token), state=fault.state, reason=fault.reason, message=fault.message
            )
            for token, fault in faults.items()
        }
        return bounded(self.fingerprint, enforced, complete)
