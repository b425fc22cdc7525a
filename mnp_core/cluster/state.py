"""Everything that is known of the cluster, and what a change of it means for the sandboxes of this node.

State in, output out: what `sandbox_policy` says depends on the objects that are there now, never on the way that led
to them. What is kept besides the objects are indexes, so that the cost of a change follows what it affects.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from attrs import evolve, frozen

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_claims import AddressClaims
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.pod_budget import PodBudget
from mnp_core.cluster.pod_policies import Place, PodPolicies
from mnp_core.cluster.pods import IndexedPod, PodIndex
from mnp_core.cluster.policies import PolicyIndex
from mnp_core.cluster.policy_budget import PolicyBudget
from mnp_core.cluster.policy_reports import PolicyReports
from mnp_core.cluster.selection_reports import selection_reports
from mnp_core.lru import WeightedCache
from mnp_core.model import (
    OPEN_REASONS,
    AddressSource,
    Attachment,
    Change,
    CommonRules,
    ContainerPort,
    GroupDelta,
    Namespace,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    Report,
    SandboxPolicy,
    Severity,
)
from mnp_core.model.budget import Budgets
from mnp_core.policy.attachments import Problem, claim_attachments
from mnp_core.policy.compile import CompiledPolicy, compile_sandbox


@frozen(kw_only=True)
class Affected:
    """What has to be done after some changes.

    Attributes:
        sandboxes: Local pods whose rules may have changed as a whole, also those that have lost all attachments.
        gone: Local pods that are not there any more: their namespaces go with them, there is nothing to write.
        deltas: Changes of membership, each with the local pods that use the group and are not in `sandboxes`.
    """

    sandboxes: frozenset[ObjectName]
    gone: frozenset[ObjectName]
    deltas: tuple[tuple[GroupDelta, frozenset[ObjectName]], ...]


class ClusterState:
    """The state of the cluster as one node needs it. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        *,
        common: CommonRules,
        claimed: frozenset[str],
        node: str | None = None,
        peer_addresses: AddressSource = AddressSource.NETWORK_STATUS,
        budgets: Budgets = Budgets(),  # noqa: B008 # a frozen value
    ) -> None:
        """Start empty.

        Args:
            common: The node's settings.
            claimed: CNI types that loaded plugins claim (S4).
            node: Whose pods are policed here; None for all of them (the lab).
            peer_addresses: Who is believed about the addresses of this node's pods where they are peers; of pods
                elsewhere only network-status tells.
            budgets: How big policies may be.
        """
        self._believe_kernel = peer_addresses is AddressSource.KERNEL
        self._observed: dict[ObjectName, tuple[Attachment, ...]] = {}
        self._common = common
        self._claimed = claimed
        self._node = node
        self._known_pods: dict[ObjectName, Pod] = {}
        self._local_pods: set[ObjectName] = set()
        self._networks: dict[ObjectName, Network] = {}
        self.standing = ActiveReports()  # problems of all policies and networks, and of the pods of this node
        self._scopes = PolicyReports(self._networks, claimed, self.standing)
        self._attached: dict[ObjectName, set[ObjectName]] = defaultdict(set)
        self._pods = PodIndex()
        self._address_claims = AddressClaims()
        self._policies = PolicyIndex()
        self._policies_by_pod: dict[ObjectName, PodPolicies] = {}
        self._groups = AddressGroups(self._pods)
        self._budget = PolicyBudget(budgets, self.standing)
        self._pod_budget = PodBudget(budgets, self._policies, self._groups, self.standing)
        self._compiled_by_shape: WeightedCache[SandboxPolicy] = WeightedCache()
        self.version = 0  # another one after everything that is taken in

    def apply(self, changes: Iterable[Change]) -> Affected:
        """Take in changes and say what follows from them, all together: what cancels out leaves no trace."""
        dirty = _Dirty()
        for change in changes:
            self._take_in(change, dirty)
        for ref, enforced in self._budget.flush().items():
            self._put_policy(ref, enforced, dirty)
        return self._effect(dirty)

    def observe_attachments(self, pod: ObjectName, attachments: tuple[Attachment, ...]) -> Affected:
        """Take in what the kernel of a local pod's sandbox says of its attachments, and say what follows."""
        dirty = _Dirty()
        if self._believe_kernel and self._observed.get(pod) != attachments and self._local(pod) is not None:
            self._observed[pod] = attachments
            self._refresh_pod(pod, dirty)
        return self._effect(dirty)

    def reconsider(self) -> Affected:
        """Try again the policies whose groups had too many members; meant to be called every minute or so."""
        dirty = _Dirty()
        again = self._pod_budget.reconsider()
        if not again:
            return Affected(sandboxes=frozenset(), gone=frozenset(), deltas=())
        dirty.sandboxes.update(
            name for name, pod in self._policies_by_pod.items() if not again.isdisjoint(pod.in_force)
        )
        return self._effect(dirty)

    def weight(self, pod: ObjectName) -> int:
        """About how many lines the rules of a local pod are."""
        return self._pod_budget.weight(pod)

    def sandbox_policy(self, pod: ObjectName) -> SandboxPolicy | None:
        """What is to be in force in a local pod; None if it has no attachment that is policed."""
        member = self._local(pod)
        if member is None or not member.claims.policed:
            return None
        policies = self._policies_in(pod)
        shape = _shape(member, policies)
        alike = self._compiled_by_shape.get(shape)
        if alike is None:
            groups = self._groups.snapshot(pod)
            alike = compile_sandbox(member.pod, member.claims.policed, policies, groups, self._common)
            self._compiled_by_shape.keep(shape, alike, self.weight(pod) + 1)
        return evolve(alike, pod=pod)

    def pod(self, name: ObjectName) -> Pod | None:
        """A pod as its source tells of it."""
        return self._known_pods.get(name)

    def claims(self, name: ObjectName) -> tuple[Attachment, ...]:
        """The attachments of a local pod that are policed."""
        member = self._local(name)
        return member.claims.policed if member else ()

    def policies_of(self, name: ObjectName) -> list[ObjectRef]:
        """The policies that are about interfaces of a local pod."""
        return sorted(compiled.policy.ref for compiled in self._policies_in(name))

    @property
    def local_pods(self) -> frozenset[ObjectName]:
        """Pods of this node that count (S5), with attachments or without."""
        return frozenset(self._local_pods)

    @property
    def policies(self) -> int:
        """How many policies there are in the cluster."""
        return len(self._policies)

    @property
    def group_sizes(self) -> Mapping[str, int]:
        """How many members the address groups have that sandboxes of this node use."""
        return self._groups.sizes()

    def attached_pods(self) -> Iterator[ObjectName]:
        """Local pods that have attachments."""
        return (name for name in self._local_pods if self._pods.get(name) is not None)

    def reports(self) -> tuple[Report, ...]:
        """Every problem that stands: of all policies and networks, and of the pods of this node."""
        return self.standing.all()

    # --- taking in changes --------------------------------------------------------------------------------------

    def _take_in(self, change: Change, dirty: "_Dirty") -> None:
        name = change.ref.name
        self.standing.put(("object", change.ref), change.reports)
        match change.ref.kind:
            case "Pod":
                self._put_pod(name, change.object if isinstance(change.object, Pod) else None, dirty)
            case "Namespace":
                labels = change.object.labels if isinstance(change.object, Namespace) else None
                if self._pods.put_namespace(name.name, labels):
                    dirty.members.update(self._pods.in_namespace(name.name))
            case "NetworkAttachmentDefinition":
                self._put_network(name, change.object if isinstance(change.object, Network) else None, dirty)
            case _:
                policy = change.object if isinstance(change.object, Policy) else None
                self._budget.put(change.ref, policy)

    def _put_policy(self, ref: ObjectRef, policy: Policy | None, dirty: "_Dirty") -> None:
        self._scopes.put_policy(ref, policy)
        states = self._policies.put(ref, policy)
        if states:
            self._pod_budget.forget(ref)
        for state in states:
            for name in self._pods.selected(state.namespace, state.pod_selector):
                dirty.policies[name].add(ref)

    def _put_pod(self, name: ObjectName, pod: Pod | None, dirty: "_Dirty") -> None:
        before = self._known_pods.get(name)
        if before == pod:
            return
        if self._local(name) is not None:
            dirty.was_local.add(name)
        for network in _networks_of(before):
            self._attached[network].discard(name)
        if pod is None:
            del self._known_pods[name]
        else:
            self._known_pods[name] = pod
            if before is None or (before.uid, before.statuses) != (pod.uid, pod.statuses):
                self._observed.pop(
                    name, None
                )  # what was found was found of another sandbox, or before this was claimed
            for network in _networks_of(pod):
                self._attached[network].add(name)
        if pod is not None and pod.is_target and self._node in {None, pod.node}:
            self._local_pods.add(name)
        else:
            self._local_pods.discard(name)
        self._refresh_pod(name, dirty)

    def _put_network(self, name: ObjectName, network: Network | None, dirty: "_Dirty") -> None:
        if self._networks.get(name) == network:
            return
        if network is None:
            del self._networks[name]
        else:
            self._networks[name] = network
        self._scopes.network_changed(name)
        for pod in tuple(self._attached.get(name, ())):
            self._refresh_pod(pod, dirty)

    def _refresh_pod(self, name: ObjectName, dirty: "_Dirty") -> None:
        """Work out a pod's attachments anew."""
        now = self._member(name)
        peers, living = (now.claims.peers, not now.pod.terminating) if now is not None else ((), False)
        others = self._address_claims.put(name, peers, living=living)
        self._place(name, now, dirty)
        for other in others:  # an address may have become theirs, or somebody else's
            self._place(other, self._pods.get(other), dirty)

    def _place(self, name: ObjectName, member: IndexedPod | None, dirty: "_Dirty") -> None:
        before = self._pods.get(name)
        now = evolve(member, yielded=self._address_claims.yielded(name)) if member is not None else None
        self.standing.put(("address", name), self._address_claims.reports(name) if name in self._local_pods else ())
        if now != before:
            dirty.claims.add(name)
            self._pods.put(name, now)
            dirty.members.add(name)
            if now is None or before is None or now.is_another_target(before):
                dirty.sandboxes.add(name)

    def _member(self, name: ObjectName) -> IndexedPod | None:
        """A pod with its attachments, None if it has none."""
        pod = self._known_pods.get(name)
        if pod is None or not pod.is_target or (self._node is not None and not pod.node):
            self._observed.pop(name, None)  # whatever comes by that name is another pod
            return None
        claims = claim_attachments(pod, self._networks, self._claimed)
        looked_at = not self._believe_kernel or name in self._observed or name not in self._local_pods
        member = IndexedPod(pod=pod, claims=claims, looked_at=looked_at)
        if not (claims.peers or claims.policed or claims.problems or pod.default_network):
            return None
        return member.with_addresses(self._observed.get(name, ()))

    # --- what follows -------------------------------------------------------------------------------------------

    def _effect(self, dirty: "_Dirty") -> Affected:
        self.version += 1
        self._compiled_by_shape.clear()
        for name in dirty.members:
            self._groups.refresh(name)
        gone = dirty.was_local - self._local_pods
        sandboxes = {name for name in dirty.sandboxes if self._local(name)} | dirty.was_local - gone
        for name in sorted(dirty.sandboxes):
            self._refresh_policies(name)
        sandboxes |= self._change_policies(dirty)
        changes = tuple(self._groups.flush())
        crowded = {name for name in self._pod_budget.crowded(changes, self._policies_by_pod) if self._local(name)}
        for name in sorted(crowded):
            self._refresh_policies(name)
        sandboxes |= crowded
        for name in dirty.sandboxes | dirty.claims | sandboxes:
            self._report_claims(name)
        for name in dirty.sandboxes | sandboxes | self._groups.take_affected():
            with_groups = (compiled for compiled in self._policies_in(name) if compiled.groups)
            self.standing.put(("addresses", name), self._groups.unaddressed(with_groups))
        deltas = ((delta, users - sandboxes) for delta, users in changes)
        return Affected(
            sandboxes=frozenset(sandboxes),
            gone=frozenset(gone),
            deltas=tuple((delta, users) for delta, users in deltas if users),
        )

    def _refresh_policies(self, name: ObjectName) -> None:
        """Find all policies of a local pod anew, and the groups that their rules refer to."""
        member = self._local(name)
        if member is None:
            self._policies_by_pod.pop(name, None)
            self.standing.put(("selected", name), ())
            self._pod_budget.leave(name)
            return
        pod = self._policies_by_pod[name] = PodPolicies(member)
        self._pod_budget.fill(pod)
        self._report_selection(pod)

    def _change_policies(self, dirty: "_Dirty") -> set[ObjectName]:
        """Take in the policies that are others now, for each pod that they select or did; these pods."""
        names = {name for name in dirty.policies.keys() - dirty.sandboxes if self._local(name)}
        for name in sorted(names):
            pod = self._policies_by_pod[name]
            if self._pod_budget.change(pod, sorted(dirty.policies[name])):
                self._report_selection(pod)
            else:
                self._refresh_policies(name)
        return names

    def _report_selection(self, pod: PodPolicies) -> None:
        found = selection_reports(pod.member.pod, pod.selecting.values(), pod.in_force.values())
        self.standing.put(("selected", pod.member.pod.name), found)

    def _policies_in(self, name: ObjectName) -> Collection[CompiledPolicy]:
        """The policies about interfaces of a local pod, in no particular order."""
        pod = self._policies_by_pod.get(name)
        return pod.in_force.values() if pod is not None else ()

    def _report_claims(self, name: ObjectName) -> None:
        member = self._local(name)
        problems = member.claims.problems if member is not None else ()
        self.standing.put(("claims", name), (self.exposing(name, problem) for problem in problems))

    def exposing(self, pod: ObjectName, problem: Problem) -> Report:
        """The report of a problem in a local pod, which says whether a policy selects what it is about (S64)."""
        policies, about = self._policies_by_pod.get(pod), problem.attachment
        selected = policies.selected.keys() if policies is not None else set[Place]()
        opens = problem.report.reason in OPEN_REASONS and problem.report.severity is Severity.PROBLEM
        exposed = (about.network, about.interface) in selected if about is not None else bool(selected)
        return evolve(problem.report, exposed=opens and exposed)

    def _local(self, name: ObjectName) -> IndexedPod | None:
        """A pod of this node that has attachments and counts."""
        return self._pods.get(name) if name in self._local_pods else None


_Shape = tuple[tuple[tuple[str, ObjectName, str], ...], tuple[ContainerPort, ...], frozenset[int]]


def _networks_of(pod: Pod | None) -> set[ObjectName]:
    """Networks that the pod has, or asks for."""
    if pod is None:
        return set()
    return {status.network for status in pod.statuses} | {request.network for request in pod.requests}


def _shape(member: IndexedPod, policies: Iterable[CompiledPolicy]) -> _Shape:
    """All that tells apart what holds in two sandboxes at one moment: copies of a pod are alike, and compiled once."""
    attachments = tuple((a.interface, a.network, a.kind) for a in member.claims.policed)
    return attachments, member.pod.ports, frozenset(map(id, policies))


class _Dirty:
    """Names of what a batch of changes may concern."""

    def __init__(self) -> None:
        self.members: set[ObjectName] = set()  # pods that may have joined or left a group
        self.sandboxes: set[ObjectName] = set()  # pods whose rules may change as a whole
        self.policies: defaultdict[ObjectName, set[ObjectRef]] = defaultdict(set)  # those that are others now, by pod
        self.was_local: set[ObjectName] = set()
        self.claims: set[ObjectName] = set()  # pods whose own problems may be others now
