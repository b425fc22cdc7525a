"""Which rules there is room for in one pod, and which policies have groups that are too big.

A policy that there is no room for isolates and allows nothing: in this pod, if the rules of all its policies are too
many for one pod; in all pods, if its groups have too many members. Those come first whose names sort first.
"""

from collections.abc import Iterable, Mapping

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.pods import IndexedPod
from mnp_core.cluster.policies import PolicyIndex
from mnp_core.model import GroupDelta, ObjectName, ObjectRef, Report
from mnp_core.model.budget import Budgets, Size, over_budget
from mnp_core.policy.compile import CompiledPolicy

_MEMBERS = 8  # take as much as a rule
_Users = frozenset[ObjectName]
_Covering = Mapping[ObjectName, tuple[CompiledPolicy, ...]]


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

    def of(self, member: IndexedPod, policies: Iterable[CompiledPolicy]) -> tuple[CompiledPolicy, ...]:
        """The policies of a pod, those without their rules that there is no room for."""
        name, most = member.pod.name, self._budgets.pod
        total, identities = Size(), set[str]()
        found: list[CompiledPolicy] = []
        reports: list[Report] = []
        for compiled in sorted(policies, key=lambda each: each.order):
            size = self._on(member, compiled)
            with_it = total + size - Size(selectors=size.selectors)
            selectors = len(identities | compiled.groups.keys())
            with_it += Size(selectors=selectors - with_it.selectors)
            if not with_it.fits(most):
                wrong = f"in a pod that it selects, its rules and those of other policies have {with_it.excess(most)}"
                reports.append(over_budget(compiled.policy.ref, f"{wrong}, so there", "budget-per-pod"))
                found.append(self._policies.closed(compiled))
            elif not self._has_room(name, compiled):
                found.append(self._policies.closed(compiled))
            else:
                found.append(compiled)
                total = with_it
                identities |= compiled.groups.keys()
        self._standing.put(("allotment", name), reports)
        members = self._groups.size(identities) // _MEMBERS
        self._weights[name] = total.rules + total.blocks + total.ports + 4 * total.selectors + members
        return tuple(found)

    def leave(self, name: ObjectName) -> None:
        """A pod needs nothing any more."""
        self._standing.put(("allotment", name), ())
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

    def crowded(self, changes: Iterable[tuple[GroupDelta, _Users]], covering: _Covering) -> set[ObjectName]:
        """The pods whose policies have to do without their rules, as groups have grown too big."""
        grown = ((delta.id, users) for delta, users in changes if len(delta.after.members) > len(delta.before.members))
        found: set[ObjectName] = set()
        for identity, users in grown:
            for name in users:
                if self._groups.crowd(name.namespace) > self._budgets.policy.members:  # else none can be over it
                    found |= self._refuse_grown(identity, name, covering)
        return found

    def _refuse_grown(self, identity: str, name: ObjectName, covering: _Covering) -> set[ObjectName]:
        together = self._groups.crowd(name.namespace) > self._budgets.namespace.members
        for compiled in reversed(covering.get(name, ())):
            if identity in compiled.groups and (
                together or self._groups.size(compiled.groups) > self._budgets.policy.members
            ):
                self._refuse(compiled)
                return {n for n, policies in covering.items() if any(each is compiled for each in policies)}
        return set()

    def _on(self, member: IndexedPod, compiled: CompiledPolicy) -> Size:
        """What a policy takes on all interfaces of a pod."""
        scope = compiled.policy.scope
        interfaces = {claim.interface for claim in member.claims.policed if scope.may_cover(claim)}
        return self._policies.size(compiled).times(len(interfaces))

    def _has_room(self, name: ObjectName, compiled: CompiledPolicy) -> bool:
        """Whether the groups of a policy are not too big; it uses them from now on."""
        if compiled.policy.ref in self._crowded:
            return False
        most = self._budgets
        if self._groups.admit(name, compiled.groups, most.policy.members, most.namespace.members):
            return True
        self._refuse(compiled)
        return False

    def _refuse(self, compiled: CompiledPolicy) -> None:
        ref = compiled.policy.ref
        self._crowded.add(ref)
        wrong = (
            f"the groups behind its selectors have too many members (at most {self._budgets.policy.members} each"
            f" policy, {self._budgets.namespace.members} all of a namespace)"
        )
        self._standing.put(("crowd", ref), [over_budget(ref, wrong, "budget-per-policy or budget-per-namespace")])
