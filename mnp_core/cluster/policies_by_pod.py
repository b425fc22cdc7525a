"""The policies of every local pod, kept up to date as pods and policies change.

A pod over a budget is settled when it is read: whatever the number of changes, that costs one pass over its policies.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.address_groups import AddressGroups
from mnp_core.cluster.affected import GroupChange
from mnp_core.cluster.blocks_changed import Replacement
from mnp_core.cluster.pod_budget import PodBudget
from mnp_core.cluster.pod_policies import Interface, PodPolicies, Selection
from mnp_core.cluster.pods import IndexedPod
from mnp_core.cluster.selection_reports import selection_reports
from mnp_core.model import Attachment, Direction, ObjectName, ObjectRef, Policy
from mnp_core.policy.compile import CompiledPolicy


class PoliciesByPod:
    """`PodPolicies` by the name of the pod."""

    def __init__(self, budget: PodBudget, groups: AddressGroups, standing: ActiveReports) -> None:
        """Start without pods; `budget` admits policies, `groups` are theirs, reports go to `standing`."""
        self._budget = budget
        self._groups = groups
        self._standing = standing
        self._pods: dict[ObjectName, PodPolicies] = {}
        self._stale: dict[ObjectName, None] = {}

    def of(self, name: ObjectName) -> Collection[CompiledPolicy]:
        """The policies of a local pod, in no particular order."""
        pod = self._pods.get(name)
        if pod is None:
            return ()
        self._settle(name)
        return pod.policies.values()

    def names_of(self, name: ObjectName) -> list[ObjectRef]:
        """The policies of a local pod, sorted."""
        pod = self._pods.get(name)
        covering = pod.covering.values() if pod is not None else ()
        return [compiled.policy.ref for compiled in sorted(covering, key=lambda each: each.order)]

    def isolation(self, name: ObjectName) -> Mapping[tuple[Interface, Direction], list[Policy]]:
        """The policies that select each direction of each interface of a local pod, sorted; no entry: none does."""
        found: defaultdict[tuple[Interface, Direction], list[Policy]] = defaultdict(list)
        pod = self._pods.get(name)
        for compiled in sorted(pod.covering.values(), key=lambda each: each.order) if pod is not None else ():
            policy = compiled.policy
            for interface in pod.coverage(policy.scope).interfaces if pod is not None else ():
                for direction in Direction:
                    if policy.rules(direction) is not None:
                        found[interface, direction].append(policy)
        return found

    def selection(self, name: ObjectName) -> Selection:
        """The policies that select a pod, with the number of interfaces of each."""
        pod = self._pods.get(name)
        return pod.selection() if pod is not None else Selection()

    def settle(self, most: int | None = None) -> None:
        """Determine the policies over budget of at most so many pods in which that is due; None for all."""
        for name in tuple(self._stale)[:most]:
            self._settle(name)

    def readmit(self, refs: frozenset[ObjectRef]) -> set[ObjectName]:
        """Try policies over budget again; return the pods that they select."""
        names = {name for name, pod in self._pods.items() if not refs.isdisjoint(pod.covering)}
        for name in names:
            self._pods[name].stale = True
            self._stale[name] = None
        return names

    def selects(self, name: ObjectName, attachment: Attachment | None) -> bool:
        """Whether an enforced policy selects an attachment of a pod; for None, whether one selects any."""
        pod = self._pods.get(name)
        if pod is None:
            return False
        return bool(pod.selected) if attachment is None else (attachment.network, attachment.interface) in pod.selected

    def refresh(self, name: ObjectName, pod: IndexedPod | None) -> None:
        """Recompute all policies of a pod, and the groups that they use; None removes the pod."""
        if pod is None:
            self._pods.pop(name, None)
            self._stale.pop(name, None)
            self._standing.put(("selection", name), ())
            self._standing.put(("no-address", name), ())
            self._budget.remove_pod(name)
            return
        self._stale.pop(name, None)
        policies = self._pods[name] = PodPolicies(pod)
        self._budget.fill(policies)
        self._report(policies)

    def change(self, name: ObjectName, refs: Iterable[ObjectRef]) -> list[Replacement] | None:
        """Replace some policies of a local pod by their present states.

        Returns:
            Each as it was enforced there, and as it is now; None if others may have changed, too.
        """
        pod, refs = self._pods[name], sorted(refs)
        before = [pod.policies.get(ref) for ref in refs]
        if not self._budget.change(pod, refs):
            self._stale[name] = None
            return None
        self._report(pod)
        return [(was, pod.policies.get(ref)) for was, ref in zip(before, refs, strict=True)]

    def refuse_grown(self, changes: Iterable[GroupChange]) -> set[ObjectName]:
        """Refuse the policies whose groups have grown beyond a limit; return the pods to refresh."""
        return self._budget.refuse_grown(changes, self._pods)

    def make_room(self) -> tuple[set[ObjectName], frozenset[ObjectRef]]:
        """See `PodBudget.make_room`."""
        return self._budget.make_room(self._pods)

    def report_addresses(self, name: ObjectName) -> None:
        """Report the selectors of a pod's policies whose pods have no address (S21)."""
        pod = self._pods.get(name)
        policies = pod.policies.values() if pod is not None else ()
        self._standing.put(("no-address", name), self._groups.unaddressed(name, policies))

    def _settle(self, name: ObjectName) -> None:
        if name in self._stale:
            del self._stale[name]
            self._budget.admit_all(self._pods[name])
            self._report(self._pods[name])

    def _report(self, pod: PodPolicies) -> None:
        reports = selection_reports(pod.pod.pod, pod.selecting.values(), pod.policies.values())
        self._standing.put(("selection", pod.pod.pod.name), reports)
        self.report_addresses(pod.pod.pod.name)
