"""A whole cluster as one value, compiled from scratch: the reference for the agent's incremental state."""

from collections.abc import Mapping
from functools import cached_property

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    AddressGroup,
    CommonRules,
    Endpoint,
    EndpointGroup,
    Group,
    GroupSpec,
    Namespace,
    Network,
    ObjectName,
    Pod,
    Policy,
    SandboxPolicy,
)
from mnp_core.policy.attachments import Claims, claim_attachments
from mnp_core.policy.compile import CompiledPolicy, compile_policy, compile_sandbox
from mnp_core.policy.ends import Flow, Host
from mnp_core.policy.explain import Explanation, explain
from mnp_core.policy.membership import members
from mnp_core.testing.builders import named


@frozen(kw_only=True, slots=False)
class Cluster:
    """Objects as they are at one moment.

    A namespace that is not listed has no labels. Pods, namespaces, networks and policies in any order.
    """

    pods: tuple[Pod, ...] = ()
    policies: tuple[Policy, ...] = ()
    networks: tuple[Network, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    claimed: frozenset[str] = frozenset({"macvlan"})
    common: CommonRules = field(factory=CommonRules)

    def pod(self, name: str) -> Pod:
        """A pod by its name, as `named` reads it."""
        return next(pod for pod in self.pods if pod.name == named(name))

    def claims(self, name: str) -> Claims:
        """A pod's attachments."""
        return self._claims[named(name)]

    def sandbox(self, name: str) -> SandboxPolicy:
        """The rules of a pod."""
        return compile_sandbox(self.pod(name), self.claims(name).enforced, self._compiled, self._groups, self.common)

    def host(self, name: str) -> Host:
        """A pod as one end of a flow."""
        return Host(pod=named(name), attachments=self.claims(name).peers, sandbox=self.sandbox(name))

    def explain(self, source: str, destination: str, flow: Flow) -> tuple[Explanation, ...]:
        """Explain a flow between two pods."""
        return explain(self.host(source), self.host(destination), flow)

    @cached_property
    def _claims(self) -> Mapping[ObjectName, Claims]:
        networks = {network.name: network for network in self.networks}
        return {pod.name: claim_attachments(pod, networks, self.claimed) for pod in self.pods}

    @cached_property
    def _compiled(self) -> tuple[CompiledPolicy, ...]:
        return tuple(map(compile_policy, self.policies))

    @cached_property
    def _groups(self) -> Mapping[str, Group]:
        specs = {identity: spec for compiled in self._compiled for identity, spec in compiled.groups.items()}
        return {identity: self._group(identity, spec) for identity, spec in specs.items()}

    def _group(self, identity: str, spec: GroupSpec) -> Group:
        labels = {namespace.name: namespace.labels for namespace in self.namespaces}
        content: set[Address | Endpoint] = set()
        for pod in self.pods:
            content.update(members(spec, pod, self._claims[pod.name].peers, labels.get(pod.name.namespace, {})))
        if spec.port is None:
            return AddressGroup(id=identity, members=frozenset(m for m in content if not isinstance(m, Endpoint)))
        return EndpointGroup(id=identity, members=frozenset(m for m in content if isinstance(m, Endpoint)))
