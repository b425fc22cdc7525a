"""A flow judged by the agent's policies of this moment, and the pods of this node that it concerns."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from mnp_core.agent.agent import Agent
from mnp_core.api import PolicyRenderer, RuleApplier, Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, SandboxPolicy
from mnp_core.model import Protocol as IpProtocol
from mnp_core.node.status.flow import End, FlowQuestion
from mnp_core.node.status.reading import read
from mnp_core.policy.ends import Flow, Host
from mnp_core.policy.explain import Explanation, explain

_MOST_WAYS: Final = 64
_DEFAULT: Final = Flow(protocol=IpProtocol.TCP, port=80)


@frozen(kw_only=True)
class LocalPod:
    """A pod of this node: the wanted policy, and the way to its kernel."""

    pod: ObjectName
    policy: SandboxPolicy
    sandbox: Sandbox
    applier: RuleApplier
    renderer: PolicyRenderer
    backend: str


@frozen(kw_only=True)
class Judged:
    """The answer of policies.

    Attributes:
        ways: Each way of each flow.
        pods: The ends on this node.
    """

    ways: tuple[Explanation, ...]
    pods: Mapping[ObjectName, LocalPod]


@frozen
class FlowJudge:
    """Judges flows.

    Attributes:
        agent: The agent; read on its own thread alone.
    """

    agent: Agent

    def judge(self, question: FlowQuestion) -> Judged:
        """Judge a flow.

        Raises:
            InputError: An end is no pod that the agent knows.
            RefusedError: The agent's thread had no time.
        """
        ends = read(self.agent.post, lambda: [self._end(each) for each in (question.source, question.destination)])
        names = list(dict.fromkeys(end.pod for end in ends if isinstance(end, Host)))
        found = read(self.agent.post, lambda: [self._local(name) for name in names])
        flows = question.flows or read(self.agent.post, lambda: self._declared(question.destination))
        ways = islice((way for flow in flows for way in explain(ends[0], ends[1], flow)), _MOST_WAYS)
        return Judged(ways=tuple(ways), pods={pod.pod: pod for pod in found if pod is not None})

    def local(self, name: ObjectName) -> LocalPod | None:
        """A pod of this node; None if it is none, or has no rules."""
        return read(self.agent.post, lambda: self._local(name))

    # --- on the agent's thread --------------------------------------------------------------------------------------

    def _end(self, end: End) -> Any:
        if not isinstance(end, ObjectName):
            return end
        attachments = self.agent.cluster.peer_attachments(end)
        if attachments is None:
            raise InputError(f"the agent knows no pod {end} with an interface of a secondary network", where="request")
        return Host(pod=end, attachments=attachments, sandbox=self.agent.cluster.sandbox_policy(end))

    def _declared(self, end: End) -> tuple[Flow, ...]:
        pod = self.agent.cluster.pod(end) if isinstance(end, ObjectName) else None
        found = {(port.protocol, port.port): None for port in pod.ports} if pod is not None else {}
        return tuple(Flow(protocol=protocol, port=port) for protocol, port in sorted(found)) or (_DEFAULT,)

    def _local(self, name: ObjectName) -> LocalPod | None:
        state, policy = self.agent.pods.get(name), self.agent.cluster.sandbox_policy(name)
        if state is None or policy is None or state.sandbox is None or state.backend is None:
            return None
        return LocalPod(
            pod=name,
            policy=policy,
            sandbox=state.sandbox,
            applier=state.backend.applier,
            renderer=state.backend.renderer,
            backend=state.backend.name,
        )
