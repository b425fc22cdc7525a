"""The budget of each pod, and policies whose groups are too big.

A policy over budget isolates and allows nothing: in one pod, if the rules of all policies there exceed the budget of a
pod; in all pods, if its groups have too many members. Policies are admitted in the order of their names, those in
audit mode last.
"""

from collections.abc import Iterable, Mapping

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.affected import GroupChange
from mnp_core.cluster.pod_policies import PodPolicies
from mnp_core.cluster.policies import PolicyIndex
from mnp_core.model import ObjectName, ObjectRef, Report
from mnp_core.model.budget import UNLIMITED, Budgets, over_budget
from mnp_core.policy.compile import CompiledPolicy

_NO_ROOM = "in a pod that it selects, there is no room for its rules beside those of other policies, so there"
_MEMBERS_PER_LINE = 8  # so many members of a group weigh as much as one rule
_LINES_PER_SELECTOR = 4


class PodBudget:
    """Admits policies to pods as far as budgets allow."""

    def __init__(self, budgets: Budgets, policies: PolicyIndex, groups: AddressGroups, standing: ActiveReports) -> None:
        """Start without pods.

        Args:
            budgets: The limits.
            policies: The policies, with their sizes.
            groups: The groups, with their sizes.
            standing: The destination of the reports.
        """
        self._budgets = budgets
        self._policies = policies
        self._groups = groups
        self._standing = standing
        self._oversized: set[ObjectRef] = set()
        self._crowded: set[ObjectRef] = set()  # enforced policies that a namespace has no room for
        self._gave_way: set[str] = set()  # namespaces in which policies in audit mode were refused
        self._weights: dict[ObjectName, int] = {}

    def fill(self, pod: PodPolicies) -> None:
        """Add all policies that select a pod, those over budget without their rules."""
        for compiled in self._policies.selecting(pod.pod.pod):
            self._select(pod, compiled)
        self.admit_all(pod)

    def admit_all(self, pod: PodPolicies) -> None:
        """Determine the policies of a pod that are over budget."""
        name, reports = pod.pod.pod.name, list[Report]()
        pod.start_admission()
        for compiled in sorted(pod.covering.values(), key=lambda each: each.order):
            ref = compiled.policy.ref
            if not self._fits(pod, compiled):
                reports.append(over_budget(ref, _NO_ROOM, "budget-per-pod"))
                pod.policies[ref] = self._policies.closed(compiled)
            elif ref in self._oversized or not self._use_groups(pod, compiled):
                self._refuse(compiled)
                pod.policies[ref] = self._policies.closed(compiled)
            else:
                pod.admit(compiled)
        self._standing.put(("pod-budget", name), reports)
        self._groups.keep(name, pod.groups)
        self._weigh(pod)

    def change(self, pod: PodPolicies, refs: Iterable[ObjectRef]) -> bool:
        """Replace some policies of a pod by their present states.

        Returns:
            False if a budget is exceeded, before or now: the order of all policies decides then, see `admit_all`.
        """
        was_within = pod.within_budget
        pod.stale = not was_within
        unused = {identity for ref in refs for identity in pod.remove(ref)}
        found = (self._policies.get_selecting(ref, pod.pod.pod) for ref in refs)
        covering = [compiled for compiled in found if compiled is not None and self._select(pod, compiled)]
        pod.stale = not (was_within and all(self._try_to_admit(pod, compiled) for compiled in covering))
        if not pod.stale:
            self._groups.release(pod.pod.pod.name, unused - pod.groups.keys())
        self._weigh(pod)
        return not pod.stale

    def remove_pod(self, name: ObjectName) -> None:
        """Forget a pod."""
        self._standing.put(("pod-budget", name), ())
        self._groups.keep(name, ())
        self._weights.pop(name, None)

    def weight(self, name: ObjectName) -> int:
        """The approximate number of lines of a pod's rules."""
        return self._weights.get(name, 0)

    def readmit(self, ref: ObjectRef) -> None:
        """Let a policy with oversized groups try again: it has changed, or some time has passed."""
        self._oversized.discard(ref)
        self._standing.put(("group-size", ref), ())

    def readmit_all(self) -> frozenset[ObjectRef]:
        """Let all policies with oversized groups try again; return them."""
        refs = frozenset(self._oversized)
        for ref in refs:
            self.readmit(ref)
        return refs

    def refuse_grown(
        self, changes: Iterable[GroupChange], policies_by_pod: Mapping[ObjectName, PodPolicies]
    ) -> set[ObjectName]:
        """Refuse the policies whose groups have grown beyond a limit; return the pods that have such a policy."""
        limit, refused = self._budgets.policy.members, dict[ObjectRef, CompiledPolicy]()
        for delta, users in changes:
            if len(delta.after.members) > len(delta.before.members):
                crowded = (name for name in users if self._groups.size_in_namespace(name.namespace) > limit)
                found = (self._refuse_last(delta.id, policies_by_pod[name]) for name in crowded)
                refused |= {compiled.policy.ref: compiled for compiled in found if compiled is not None}
        pods = policies_by_pod.items() if refused else ()
        return {name for name, pod in pods if any(_has(pod, each) for each in refused.values())}

    def make_room(self, pods: Mapping[ObjectName, PodPolicies]) -> tuple[set[ObjectName], frozenset[ObjectRef]]:
        """Refuse policies in audit mode where enforced ones lack members (S74).

        Returns:
            The pods to refresh, which lose policies in audit mode, and the enforced policies to admit again after that.
        """
        crowded, namespaces = frozenset(self._crowded), {ref.name.namespace for ref in self._crowded}
        found = {name: _audited(pod) for name, pod in pods.items() if name.namespace in namespaces} if crowded else {}
        for compiled in {each.policy.ref: each for some in found.values() for each in some}.values():
            self._refuse(compiled)
        hopeful = frozenset(ref for ref in crowded if ref.name.namespace in self._gave_way)
        self._crowded, self._gave_way = set(), set()
        return {name for name, some in found.items() if some}, hopeful

    def _refuse_last(self, identity: str, pod: PodPolicies) -> CompiledPolicy | None:
        """Refuse the last policy of a pod that uses a group, if a limit is exceeded; return it."""
        limits, namespace = self._budgets, pod.pod.pod.name.namespace
        namespace_exceeds = self._groups.size_in_namespace(namespace) > limits.namespace.members
        oversized = [
            compiled
            for compiled in pod.policies.values()
            if identity in compiled.groups
            and (namespace_exceeds or self._groups.size(compiled.groups) > limits.policy.members)
        ]
        last = max(oversized, key=lambda each: each.order, default=None)
        if last is not None:
            self._refuse(last)
            if namespace_exceeds and not last.policy.is_audited:
                self._crowded.add(last.policy.ref)
        return last

    def _select(self, pod: PodPolicies, compiled: CompiledPolicy) -> bool:
        """Add a policy that selects a pod; return whether it covers an enforceable interface."""
        if not pod.select(compiled):
            return False
        pod.cover(compiled, self._policies.size(compiled).on(pod.coverage(compiled.policy.scope).enforceable))
        return True

    def _try_to_admit(self, pod: PodPolicies, compiled: CompiledPolicy) -> bool:
        """Admit one more policy, if there is room for it."""
        if not (self._fits(pod, compiled) and self._use_groups(pod, compiled)):
            return False
        pod.admit(compiled)
        return True

    def _fits(self, pod: PodPolicies, compiled: CompiledPolicy) -> bool:
        """Whether the budget of a pod has room for the rules of one more policy."""
        selectors = len(pod.groups) + sum(identity not in pod.groups for identity in compiled.groups)
        total = pod.total + pod.sizes[compiled.policy.ref]
        return selectors <= self._budgets.pod.selectors and total.fits(self._budgets.pod)

    def _use_groups(self, pod: PodPolicies, compiled: CompiledPolicy) -> bool:
        """Use the groups of a policy from now on; False if they are too big."""
        limits, name = self._budgets, pod.pod.pod.name
        if not compiled.groups:
            return True
        if self._groups.are_too_many(compiled.groups.items(), limits.policy.members):
            return False
        if self._groups.try_use(name, compiled.groups, limits.policy.members, limits.namespace.members):
            return True
        if not compiled.policy.is_audited and self._groups.try_use(
            name, compiled.groups, limits.policy.members, UNLIMITED
        ):
            self._groups.keep(name, pod.groups)
            self._crowded.add(compiled.policy.ref)
        return False

    def _weigh(self, pod: PodPolicies) -> None:
        size, most = pod.wanted if pod.stale else pod.total, self._budgets.pod
        lines = min(size.rules, most.rules) + min(size.blocks, most.blocks) + min(size.ports, most.ports)
        lines += _LINES_PER_SELECTOR * len(pod.groups)
        self._weights[pod.pod.pod.name] = lines + self._groups.size(pod.groups) // _MEMBERS_PER_LINE

    def _refuse(self, compiled: CompiledPolicy) -> None:
        ref, limits = compiled.policy.ref, self._budgets
        self._oversized.add(ref)
        if compiled.policy.is_audited:
            self._gave_way.add(ref.name.namespace)
        wrong = (
            f"the groups behind its selectors have too many members (at most {limits.policy.members} each"
            f" policy, {limits.namespace.members} all of a namespace)"
        )
        self._standing.put(("group-size", ref), [over_budget(ref, wrong, "budget-per-policy or budget-per-namespace")])


def _audited(pod: PodPolicies) -> list[CompiledPolicy]:
    return [each for each in pod.policies.values() if each.policy.is_audited and each.groups]


def _has(pod: PodPolicies, compiled: CompiledPolicy) -> bool:
    return pod.policies.get(compiled.policy.ref) is compiled
