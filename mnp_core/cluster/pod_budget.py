"""Which rules there is room for in one pod, and which policies have groups that are too big.

A policy that there is no room for isolates and allows nothing: in this pod, if the rules of all its policies are too
many for one pod; in all pods, if its groups have too many members. Those come first whose names sort first.
"""

from collections.abc import Iterable, Mapping

from attrs import evolve

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.pod_policies import PodPolicies
from mnp_core.cluster.policies import PolicyIndex
from mnp_core.model import GroupDelta, ObjectName, ObjectRef, Report
from mnp_core.model.budget import Budgets, Size, over_budget
from mnp_core.policy.compile import CompiledPolicy

_NO_ROOM = "in a pod that it selects, there is no room for its rules beside those of other policies, so there"
_MEMBERS = 8  # take as much as a rule
_Users = frozenset[ObjectName]
_Pods = Mapping[ObjectName, PodPolicies]


class PodBudget:
    """Shares out what a pod and a namespace may take."""

    def __init__(self, budgets: Budgets, policies: PolicyIndex, groups: AddressGroups, standing: ActiveReports) -> None:
        """Begin with everything free.

        Args:
            budgets: How much there is.
            policies: Knows their sizes.
            groups: Knows their members.
            standing: Where reports are put.
        """
        self._budgets = budgets
        self._policies = policies
        self._groups = groups
        self._standing = standing
        self._crowded: set[ObjectRef] = set()
        self._weights: dict[ObjectName, int] = {}

    def fill(self, pod: PodPolicies) -> None:
        """Find the policies of a pod, and out of them those that there is room for."""
        reports: list[Report] = []
        covering = [compiled for compiled in self._policies.selecting(pod.member.pod) if pod.select(compiled)]
        for compiled in sorted(covering, key=lambda each: each.order):
            ref, size = compiled.policy.ref, self._size(pod, compiled)
            if not self._fits(pod, compiled, size):
                reports.append(over_budget(ref, _NO_ROOM, "budget-per-pod"))
                pod.in_force[ref] = self._policies.closed(compiled)
            elif ref in self._crowded or not self._admit_groups(pod, compiled):
                self._refuse(compiled)
                pod.in_force[ref] = self._policies.closed(compiled)
            else:
                pod.add(compiled, size)
        name = pod.member.pod.name
        self._standing.put(("allotment", name), reports)
        self._groups.keep(name, pod.groups)
        self._weigh(pod)

    def change(self, pod: PodPolicies, refs: Iterable[ObjectRef]) -> bool:
        """Take in the present state of some policies; False if there is no room for all: then the order decides."""
        if not pod.has_room_for_all:
            return False
        unused = {identity for ref in refs for identity in pod.drop(ref)}
        for ref in refs:
            compiled = self._policies.selecting_as(ref, pod.member.pod)
            if compiled is not None and pod.select(compiled):
                size = self._size(pod, compiled)
                if not (self._fits(pod, compiled, size) and self._admit_groups(pod, compiled)):
                    return False
                pod.add(compiled, size)
        self._groups.release(pod.member.pod.name, unused - pod.groups.keys())
        self._weigh(pod)
        return True

    def leave(self, name: ObjectName) -> None:
        """A pod needs nothing any more."""
        self._standing.put(("allotment", name), ())
        self._groups.keep(name, ())
        self._weights.pop(name, None)

    def weight(self, name: ObjectName) -> int:
        """About how many lines the rules of a pod are."""
        return self._weights.get(name, 0)

    def forget(self, ref: ObjectRef) -> None:
        """A policy is not what it was."""
        self._crowded.discard(ref)
        self._standing.put(("crowd", ref), ())

    def reconsider(self) -> frozenset[ObjectRef]:
        """Let those try again whose groups had too many members."""
        again = frozenset(self._crowded)
        for ref in again:
            self.forget(ref)
        return again

    def crowded(self, changes: Iterable[tuple[GroupDelta, _Users]], pods: _Pods) -> set[ObjectName]:
        """The pods whose policies have to do without their rules, as groups have grown too big."""
        grown = ((delta.id, users) for delta, users in changes if len(delta.after.members) > len(delta.before.members))
        found: set[ObjectName] = set()
        for identity, users in grown:
            for name in users:
                if self._groups.crowd(name.namespace) > self._budgets.policy.members:  # else none can be over it
                    found |= self._refuse_grown(identity, name, pods)
        return found

    def _refuse_grown(self, identity: str, name: ObjectName, pods: _Pods) -> set[ObjectName]:
        together = self._groups.crowd(name.namespace) > self._budgets.namespace.members
        policies = pods[name].in_force.values() if name in pods else ()
        too_big = [
            compiled
            for compiled in policies
            if identity in compiled.groups
            and (together or self._groups.size(compiled.groups) > self._budgets.policy.members)
        ]
        if not too_big:
            return set()
        last = max(too_big, key=lambda each: each.order)
        self._refuse(last)
        return {other for other, pod in pods.items() if pod.in_force.get(last.policy.ref) is last}

    def _size(self, pod: PodPolicies, compiled: CompiledPolicy) -> Size:
        """The budget of a policy on all interfaces of a pod, without selectors: groups are counted once a pod."""
        interfaces = pod.reach(compiled.policy.scope).interfaces
        return evolve(self._policies.size(compiled).times(interfaces), selectors=0)

    def _fits(self, pod: PodPolicies, compiled: CompiledPolicy, size: Size) -> bool:
        """Whether there is room in a pod for the rules of a policy more."""
        selectors = len(pod.groups) + sum(identity not in pod.groups for identity in compiled.groups)
        return selectors <= self._budgets.pod.selectors and (pod.total + size).fits(self._budgets.pod)

    def _admit_groups(self, pod: PodPolicies, compiled: CompiledPolicy) -> bool:
        """Begin to use the groups of a policy, unless they are too big."""
        most = self._budgets
        return not compiled.groups or self._groups.admit(
            pod.member.pod.name, compiled.groups, most.policy.members, most.namespace.members
        )

    def _weigh(self, pod: PodPolicies) -> None:
        total, members = pod.total, self._groups.size(pod.groups) // _MEMBERS
        weight = total.rules + total.blocks + total.ports + 4 * len(pod.groups) + members
        self._weights[pod.member.pod.name] = weight

    def _refuse(self, compiled: CompiledPolicy) -> None:
        ref = compiled.policy.ref
        self._crowded.add(ref)
        wrong = (
            f"the groups behind its selectors have too many members (at most {self._budgets.policy.members} each"
            f" policy, {self._budgets.namespace.members} all of a namespace)"
        )
        self._standing.put(("crowd", ref), [over_budget(ref, wrong, "budget-per-policy or budget-per-namespace")])
