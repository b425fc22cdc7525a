"""The objects that are looked at, with indexes that make each question cheap."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    Attachment,
    Cidr,
    Namespace,
    ObjectName,
    ObjectRef,
    Operator,
    Pod,
    PodPeer,
    Policy,
    SandboxPolicy,
    Selector,
)


@frozen(kw_only=True)
class NetworkFacts:
    """The configuration of a network, as far as it is known.

    Attributes:
        wire: The layer 2 that its attachments are on; networks with the same one are one.
        pool: The pool that its addresses come from, if others may use it, too: no address is given twice.
        subnets: Of its addresses.
        routes: Destinations that attachments get a route to, by a gateway.
        nameservers: Name servers that attachments are told.
    """

    wire: str = ""
    pool: str = ""
    subnets: tuple[Cidr, ...] = ()
    routes: tuple[Cidr, ...] = ()
    nameservers: tuple[Address, ...] = ()


def _nothing(_: ObjectName) -> SandboxPolicy | None:
    return None


@frozen(kw_only=True, slots=False)
class Snapshot:
    """Objects at one moment.

    Attributes:
        policies: All of them.
        pods: All of them; pods that stand for workloads, too.
        attachments: By pod, the attachments that count as a peer's (`Claims.peers`).
        namespaces: All of them, with their labels.
        networks: The networks that have a definition.
        facts: By network, its configuration; a missing one is unknown.
        nameservers: By pod, the name servers that it asks besides those of its networks (``spec.dnsConfig``).
        sandbox: The rules of a pod in force; None if it has none.
        written: By policy, the decoded object, which knows the positions of elements that could not be parsed.
        complete: Whether there are no other objects: else nothing is said about pods of namespaces without any.
    """

    policies: tuple[Policy, ...] = ()
    pods: tuple[Pod, ...] = ()
    attachments: Mapping[ObjectName, Collection[Attachment]] = field(factory=dict)
    namespaces: tuple[Namespace, ...] = ()
    networks: frozenset[ObjectName] = frozenset()
    facts: Mapping[ObjectName, NetworkFacts] = field(factory=dict)
    nameservers: Mapping[ObjectName, tuple[Address, ...]] = field(factory=dict)
    sandbox: Callable[[ObjectName], SandboxPolicy | None] = _nothing
    written: Mapping[ObjectRef, Mapping[str, object]] = field(factory=dict)
    complete: bool = False

    @cached_property
    def pods_on(self) -> Mapping[ObjectName, frozenset[ObjectName]]:
        """The pods on each network."""
        found: dict[ObjectName, set[ObjectName]] = defaultdict(set)
        for pod, attachments in self.attachments.items():
            for attachment in attachments:
                found[attachment.network].add(pod)
        return {network: frozenset(pods) for network, pods in found.items()}

    @cached_property
    def defaults(self) -> frozenset[ObjectName]:
        """Networks that are a pod's default one: policies that name them are reported (S3)."""
        return frozenset(pod.default_network for pod in self.pods if pod.default_network is not None)

    def on_any(self, networks: Iterable[ObjectName]) -> frozenset[ObjectName]:
        """The pods on any of these networks."""
        return frozenset().union(*(self.pods_on.get(network, frozenset()) for network in networks))

    @cached_property
    def _labelled(self) -> Mapping[str, "_Labelled"]:
        by_namespace: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            if pod.is_target:
                by_namespace[pod.name.namespace].append(pod)
        return {namespace: _Labelled(pods) for namespace, pods in by_namespace.items()}

    def is_known(self, namespace: str) -> bool:
        """Whether the pods of a namespace are here."""
        return self.complete or namespace in self._labelled

    def selected(self, namespace: str, selector: Selector) -> frozenset[ObjectName]:
        """The pods of a namespace that a selector matches, without those on the network of their host (S5)."""
        pods = self._labelled.get(namespace)
        return pods.matching(selector) if pods is not None else frozenset()

    @cached_property
    def _spaces(self) -> dict[Selector, tuple[str, ...]]:
        return {}

    def namespaces_of(self, peer: PodPeer) -> tuple[str, ...]:
        """The namespaces that a peer looks into (S20)."""
        if peer.namespace is not None:
            return (peer.namespace,)
        selector = peer.namespace_selector
        if selector is None:
            return ()
        if selector not in self._spaces:
            self._spaces[selector] = tuple(each.name for each in self.namespaces if selector.matches(each.labels))
        return self._spaces[selector]

    @cached_property
    def by_namespace(self) -> Mapping[str, tuple[Policy, ...]]:
        """The policies of each namespace."""
        found: dict[str, list[Policy]] = defaultdict(list)
        for policy in self.policies:
            found[policy.namespace].append(policy)
        return {namespace: tuple(policies) for namespace, policies in found.items()}


class _Labelled:
    """The pods of a namespace by their labels."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self._labels = {pod.name: pod.labels for pod in pods}
        self._by_label: dict[tuple[str, str], set[ObjectName]] = defaultdict(set)
        for name, labels in self._labels.items():
            for label in labels.items():
                self._by_label[label].add(name)
        self._known: dict[Selector, frozenset[ObjectName]] = {}

    def matching(self, selector: Selector) -> frozenset[ObjectName]:
        if selector not in self._known:
            candidates = self._candidates(selector)
            self._known[selector] = frozenset(name for name in candidates if selector.matches(self._labels[name]))
        return self._known[selector]

    def _candidates(self, selector: Selector) -> Collection[ObjectName]:
        """The smallest set that a single requirement leaves: most selectors name a value."""
        sets = [
            {name for value in requirement.values for name in self._by_label.get((requirement.key, value), ())}
            for requirement in selector.requirements
            if requirement.operator is Operator.IN
        ]
        return min(sets, key=len) if sets else self._labels.keys()
