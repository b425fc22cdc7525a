"""The state of the cluster as one node needs it, and the consequences of a change for the sandboxes of that node.

`sandbox_policy` depends on the present objects alone, never on the order of the changes that led to them. Everything
else in memory is an index, so that the cost of a change follows the pods and groups that it affects.
"""

from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.affected import Affected, Dirty, MembersChange
from mnp_core.cluster.attachments import AttachmentIndex
from mnp_core.cluster.blocks_changed import BlocksChanged
from mnp_core.cluster.known_policies import KnownPolicies
from mnp_core.cluster.logged_namespaces import LoggedNamespaces
from mnp_core.cluster.pod_budget import PodBudget
from mnp_core.cluster.pod_policies import Interface, Selection
from mnp_core.cluster.pods import IndexedPod, PodIndex
from mnp_core.cluster.policies import PolicyIndex
from mnp_core.cluster.policies_by_pod import PoliciesByPod
from mnp_core.cluster.policy_budget import PolicyBudget
from mnp_core.cluster.policy_reports import PolicyReports
from mnp_core.lru import WeightedCache
from mnp_core.model import (
    OPEN_REASONS,
    Address,
    AddressRecord,
    AddressSource,
    Attachment,
    Change,
    CommonRules,
    ContainerPort,
    Direction,
    InterfacePolicy,
    Isolated,
    LinkPath,
    Namespace,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    Reason,
    Report,
    SandboxPolicy,
    Severity,
)
from mnp_core.model.budget import Budgets
from mnp_core.model.gated import Gated
from mnp_core.policy.attachments import Problem
from mnp_core.policy.compile import CompiledPolicy, compile_sandbox

_SLICE_PODS = 500  # that change groups with the labels of their namespaces, some 5 ms


class ClusterState:
    """The state of the cluster as one node needs it. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        *,
        common: CommonRules,
        claimed: frozenset[str],
        node: str | None = None,
        peer_addresses: AddressSource = AddressSource.NETWORK_STATUS,
        record_labels: Mapping[str, str] = {},
        budgets: Budgets = Budgets(),  # noqa: B008 # a frozen value
        denies_unclaimed: bool = False,
        logs_annotated: bool = False,
    ) -> None:
        """Start empty.

        Args:
            common: The node's settings.
            claimed: CNI types that loaded plugins claim (S4).
            node: The node of local pods; None if all pods are local (the lab).
            peer_addresses: The source of local pods' addresses where they are peers; those of pods elsewhere always
                come from network-status.
            record_labels: Kinds of address record, see `AddressRecords`.
            budgets: Limits on the size of policies.
            denies_unclaimed: Whether interfaces that no entry claims are denied everything.
            logs_annotated: Whether only annotated namespaces have the log of denied packets in `common`.
        """
        self.standing = ActiveReports()  # problems of all policies and networks, and of local pods
        self.version = 0  # changes with every batch
        self._logged = LoggedNamespaces(common, only_annotated=logs_annotated)
        self.known = KnownPolicies()
        self.denies_unclaimed = denies_unclaimed
        pods = self._pods = PodIndex()
        self._attachments = AttachmentIndex(
            claimed=claimed,
            node=node,
            peer_addresses=peer_addresses,
            record_labels=record_labels,
            pods=pods,
            standing=self.standing,
        )
        self._policy_reports = PolicyReports(self._attachments.networks, claimed, self.standing)
        self._policies = PolicyIndex()
        self._policy_budget = PolicyBudget(budgets, self.standing)
        self._groups = AddressGroups(pods)
        self._pod_budget = PodBudget(budgets, self._policies, self._groups, self.standing)
        self._policies_by_pod = PoliciesByPod(self._pod_budget, self._groups, self.standing)
        self._compiled_by_shape: WeightedCache[SandboxPolicy] = WeightedCache()

    # --- changes ------------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> Affected:
        """Apply a batch of changes; those that cancel each other out have no effect."""
        dirty = Dirty()
        for change in changes:
            self.standing.put(("object", change.ref), change.reports)
            self._put(change, dirty)
        for ref, enforced in self._policy_budget.flush().items():
            self._put_policy(ref, enforced, dirty)
        return self._refresh(dirty)

    @property
    def unfinished(self) -> bool:
        """Whether pods of relabelled namespaces are still to change groups, see `resume`."""
        return self._groups.unfinished

    def resume(self) -> Affected:
        """Go on with a change that concerns very many pods: until nothing is `unfinished`, other changes may come."""
        return self._refresh(Dirty())

    def observe_sandbox(
        self, pod: ObjectName, attachments: tuple[Attachment, ...] | None, unclaimed: frozenset[str] = frozenset()
    ) -> Affected:
        """Record the interfaces of a local pod as the kernel of its sandbox shows them.

        Args:
            pod: The pod.
            attachments: Its attachments; None to leave them as they are.
            unclaimed: Interfaces that lead out of the pod and that no entry claims.
        """
        dirty = Dirty()
        if attachments is not None:
            self._attachments.observe(pod, attachments, dirty)
        if self.denies_unclaimed:
            self._attachments.deny(pod, unclaimed, dirty)
        return self._refresh(dirty)

    def put_gated(self, pod: ObjectName, gated: Gated | None) -> Affected:
        """Replace a gate's description of a pod's attachments; None removes it."""
        dirty = Dirty()
        self._attachments.put_gated(pod, gated, dirty)
        return self._refresh(dirty)

    def deny_unclaimed(self, pod: ObjectName, interfaces: frozenset[str]) -> Affected:
        """Deny everything on interfaces that lead out of a pod and that no entry claims, if the settings say so."""
        return self.observe_sandbox(pod, None, interfaces) if self.denies_unclaimed else Affected()

    def retry_oversized(self) -> Affected:
        """Try the policies with oversized groups again; to be called every minute or so."""
        refs = self._pod_budget.readmit_all()
        return Affected(sandboxes=frozenset(self._policies_by_pod.readmit(refs))) if refs else Affected()

    def settle(self, most: int | None = None) -> None:
        """Determine the policies over budget of at most so many pods, None for all.

        In a pod whose rules are read it is done then. This is for the others, as their reports wait for it.
        """
        self._policies_by_pod.settle(most)

    def _put(self, change: Change, dirty: Dirty) -> None:
        name = change.ref.name
        match change.ref.kind:
            case "Pod":
                self._attachments.put_pod(name, change.object if isinstance(change.object, Pod) else None, dirty)
            case "Namespace":
                self._put_namespace(name.name, change.object if isinstance(change.object, Namespace) else None, dirty)
            case "NetworkAttachmentDefinition":
                network = change.object if isinstance(change.object, Network) else None
                if self._attachments.put_network(name, network, dirty):
                    self._policy_reports.network_changed(name)
            case kind if kind in self._attachments.record_kinds:
                record = change.object if isinstance(change.object, AddressRecord) else None
                self._attachments.put_record(change.ref, record, dirty)
            case _:
                self.known.put(change.ref, change.token)
                self._policy_budget.put(change.ref, change.object if isinstance(change.object, Policy) else None)

    def _put_namespace(self, name: str, namespace: Namespace | None, dirty: Dirty) -> None:
        labels = namespace.labels if namespace is not None else None
        self._groups.relabel(name, self._pods.namespace_labels(name), labels)
        self._pods.put_namespace(name, labels)
        if self._logged.put(name, asks=namespace is not None and namespace.logs_denied):
            dirty.targets.update(self._pods.in_namespace(name))

    def _put_policy(self, ref: ObjectRef, policy: Policy | None, dirty: Dirty) -> None:
        self._policy_reports.put_policy(ref, policy)
        states = self._policies.put(ref, policy)
        if states:
            self._pod_budget.readmit(ref)
        for state in states:
            for name in self._pods.selected(state.namespace, state.pod_selector):
                dirty.policies.add(name, ref)

    def _refresh(self, dirty: Dirty) -> Affected:
        """Bring groups, policies of pods and reports up to date."""
        self.version += 1
        self._compiled_by_shape.clear()
        for name in dirty.peers:
            self._groups.refresh(name)
        if self._groups.unfinished:
            self._groups.resume(_SLICE_PODS)
        self._refresh_policies(dirty.targets)
        blocks = BlocksChanged()
        sandboxes = {name for name in dirty.targets if self._attachments.local(name)}
        sandboxes |= self._change_policies(dirty, blocks)
        changes = tuple(self._groups.flush())
        over_budget = {name for name in self._policies_by_pod.refuse_grown(changes) if self._attachments.local(name)}
        self._refresh_policies(over_budget)
        sandboxes |= over_budget | self._make_room()
        self._refresh_reports(dirty, sandboxes)
        return self._affected(dirty, sandboxes, (*changes, *blocks.changes()))

    def _make_room(self) -> set[ObjectName]:
        """Let enforced policies have the members that policies in audit mode took; return the pods concerned (S74)."""
        losing, hopeful = self._policies_by_pod.make_room()
        self._refresh_policies(losing)  # before others are admitted: it gives the members back
        for ref in hopeful:
            self._pod_budget.readmit(ref)
        return losing | self._policies_by_pod.readmit(hopeful) if hopeful else losing

    def _refresh_policies(self, names: Iterable[ObjectName]) -> None:
        for name in sorted(names):
            self._policies_by_pod.refresh(name, self._attachments.local(name))

    def _change_policies(self, dirty: Dirty, blocks: BlocksChanged) -> set[ObjectName]:
        """Replace changed policies in the local pods that they select or selected.

        Returns:
            These pods, but not those in which nothing but blocks changes: these are added to `blocks`.
        """
        names = {name for name in dirty.policies if name not in dirty.targets and self._attachments.local(name)}
        replaced = {name: self._policies_by_pod.change(name, dirty.policies[name]) for name in sorted(names)}
        return {name for name, each in replaced.items() if each is None or not blocks.add(name, each)}

    def _refresh_reports(self, dirty: Dirty, sandboxes: set[ObjectName]) -> None:
        for name in dirty.targets | dirty.problems | sandboxes:
            pod = self._attachments.local(name)
            problems = pod.claims.problems if pod is not None else ()
            self.standing.put(("attachments", name), (self.exposing(name, problem) for problem in problems))
        for name in self._groups.take_stale_reports():
            self._policies_by_pod.report_addresses(name)

    def _affected(self, dirty: Dirty, changed: set[ObjectName], changes: Iterable[MembersChange]) -> Affected:
        gone = dirty.were_local - self._attachments.local_pods
        sandboxes = changed | (dirty.were_local - gone)
        deltas: Iterator[MembersChange] = ((delta, users - sandboxes) for delta, users in changes)
        return Affected(
            sandboxes=frozenset(sandboxes),
            gone=frozenset(gone),
            deltas=tuple((delta, users) for delta, users in deltas if users),
        )

    # --- reading ------------------------------------------------------------------------------------------------

    def sandbox_policy(self, pod: ObjectName) -> SandboxPolicy | None:
        """The policy to enforce in a local pod; None for a pod without enforceable attachments."""
        indexed = self._attachments.local(pod)
        if indexed is None or not self.needs_rules(pod):
            return None
        policies = self._policies_by_pod.of(pod)
        common = self._logged.common(pod.namespace)
        shape = _shape(indexed, policies, common)
        compiled = self._compiled_by_shape.get(shape)
        if compiled is None:
            groups = self._groups.snapshot(pod)
            compiled = compile_sandbox(indexed.pod, indexed.claims.enforced, policies, groups, common)
            if indexed.denied:
                compiled = evolve(compiled, interfaces=(*compiled.interfaces, *map(denied, indexed.denied)))
            self._compiled_by_shape.keep(shape, compiled, self.weight(pod) + 1)
        return evolve(compiled, pod=pod)

    def needs_rules(self, pod: ObjectName) -> bool:
        """Whether `sandbox_policy` returns one."""
        indexed = self._attachments.local(pod)
        return indexed is not None and bool(indexed.claims.enforced or indexed.denied)

    def gated(self, name: ObjectName) -> Gated | None:
        """A gate's description of a pod's attachments."""
        return self._attachments.gated(name)

    def owner_of(self, network: ObjectName, address: Address) -> ObjectName | None:
        """The pod that has an address on a network; from any thread."""
        return self._attachments.owner_of(network, address)

    def weight(self, pod: ObjectName) -> int:
        """The approximate number of lines of a local pod's rules."""
        return self._pod_budget.weight(pod)

    def pod(self, name: ObjectName) -> Pod | None:
        """A pod as its source gave it."""
        return self._attachments.pod(name)

    def claims(self, name: ObjectName) -> tuple[Attachment, ...]:
        """The enforceable attachments of a local pod."""
        pod = self._attachments.local(name)
        return pod.claims.enforced if pod else ()

    def policies_of(self, name: ObjectName) -> list[ObjectRef]:
        """The policies of a local pod."""
        return self._policies_by_pod.names_of(name)

    def isolation(self, name: ObjectName) -> Mapping[tuple[Interface, Direction], list[Policy]]:
        """The policies that select each direction of each interface of a local pod, audited ones too."""
        return self._policies_by_pod.isolation(name)

    def peer_attachments(self, name: ObjectName) -> tuple[Attachment, ...] | None:
        """All attachments of a pod anywhere, as a peer; None for one without, or that does not count."""
        indexed = self._pods.get(name)
        return indexed.peers if indexed is not None else None

    def groups_of(self, name: ObjectName) -> Mapping[str, int]:
        """The number of members of each address group in the rules of a local pod."""
        return self._groups.sizes_of(name)

    def reports_of(self, name: ObjectName) -> tuple[Report, ...]:
        """The present problems of a local pod."""
        kinds = "pod", "attachments", "selection", "no-address", "duplicate-address"
        return self.standing.of((kind, name) for kind in kinds)

    def selection(self, name: ObjectName) -> Selection:
        """The policies that select a local pod, with the number of interfaces of each."""
        return self._policies_by_pod.selection(name)

    @property
    def local_pods(self) -> frozenset[ObjectName]:
        """Pods of this node that count (S5), with attachments or without."""
        return self._attachments.local_pods

    def attached_pods(self) -> Iterator[ObjectName]:
        """Local pods that have attachments."""
        return (name for name in self.local_pods if self._attachments.local(name) is not None)

    @property
    def policies(self) -> int:
        """The number of policies in the cluster."""
        return len(self._policies)

    @property
    def group_sizes(self) -> Mapping[str, int]:
        """The number of members of each address group that sandboxes of this node use."""
        return self._groups.sizes()

    def reports(self) -> tuple[Report, ...]:
        """All present problems of policies, networks and local pods."""
        self.settle()
        return self.standing.all()

    def exposing(self, pod: ObjectName, problem: Problem) -> Report:
        """The report of a problem in a local pod, exposed if the problem leaves open what a policy selects (S64)."""
        is_denied = problem.report.reason is Reason.UNCLAIMED_INTERFACE and self.denies_unclaimed
        opens = problem.report.reason in OPEN_REASONS and problem.report.severity is Severity.PROBLEM and not is_denied
        return evolve(problem.report, exposed=opens and self._policies_by_pod.selects(pod, problem.attachment))


def denied(interface: str) -> InterfacePolicy:
    """Nothing passes, in either direction."""
    return InterfacePolicy(interface=interface, ingress=Isolated(), egress=Isolated())


_Shape = tuple[
    tuple[tuple[str, ObjectName, str, LinkPath, str], ...],
    tuple[ContainerPort, ...],
    frozenset[int],
    frozenset[str],
    bool,
]


def _shape(pod: IndexedPod, policies: Iterable[CompiledPolicy], common: CommonRules) -> _Shape:
    """Everything by which the rules of two pods differ at one moment; pods of equal shape are compiled once."""
    attachments = tuple((a.interface, a.network, a.kind, a.path, a.carrier) for a in pod.claims.enforced)
    return attachments, pod.pod.ports, frozenset(map(id, policies)), pod.denied, common.denied_log is not None
