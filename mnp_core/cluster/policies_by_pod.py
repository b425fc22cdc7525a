"""The policies of every local pod, kept up to date as pods and policies change."""

from collections.abc import Collection, Iterable

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.affected import GroupChange
from mnp_core.cluster.pod_budget import PodBudget
from mnp_core.cluster.pod_policies import PodPolicies
from mnp_core.cluster.pods import IndexedPod
from mnp_core.cluster.selection_reports import selection_reports
from mnp_core.model import Attachment, ObjectName, ObjectRef
from mnp_core.policy.compile import CompiledPolicy


class PoliciesByPod:
    """`PodPolicies` by the name of the pod."""

    def __init__(self, budget: PodBudget, standing: ActiveReports) -> None:
        """Start without pods; `budget` admits policies, reports go to `standing`."""
        self._budget = budget
        self._standing = standing
        self._pods: dict[ObjectName, PodPolicies] = {}

    def of(self, name: ObjectName) -> Collection[CompiledPolicy]:
        """The policies of a local pod, in no particular order."""
        pod = self._pods.get(name)
        return pod.policies.values() if pod is not None else ()

    def pods_with(self, refs: frozenset[ObjectRef]) -> set[ObjectName]:
        """The pods that have one of several policies."""
        return {name for name, pod in self._pods.items() if not refs.isdisjoint(pod.policies)}

    def selects(self, name: ObjectName, attachment: Attachment | None) -> bool:
        """Whether a policy selects an attachment of a pod; for None, whether one selects any."""
        pod = self._pods.get(name)
        if pod is None:
            return False
        return bool(pod.selected) if attachment is None else (attachment.network, attachment.interface) in pod.selected

    def refresh(self, name: ObjectName, pod: IndexedPod | None) -> None:
        """Recompute all policies of a pod, and the groups that they use; None removes the pod."""
        if pod is None:
            self._pods.pop(name, None)
            self._standing.put(("selection", name), ())
            self._budget.remove_pod(name)
            return
        policies = self._pods[name] = PodPolicies(pod)
        self._budget.fill(policies)
        self._report(policies)

    def change(self, name: ObjectName, refs: Iterable[ObjectRef]) -> None:
        """Replace some policies of a local pod by their present states."""
        pod = self._pods[name]
        if self._budget.change(pod, sorted(refs)):
            self._report(pod)
        else:
            self.refresh(name, pod.pod)

    def refuse_grown(self, changes: Iterable[GroupChange]) -> set[ObjectName]:
        """Refuse the policies whose groups have grown beyond a limit; return the pods to refresh."""
        return self._budget.refuse_grown(changes, self._pods)

    def _report(self, pod: PodPolicies) -> None:
        reports = selection_reports(pod.pod.pod, pod.selecting.values(), pod.policies.values())
        self._standing.put(("selection", pod.pod.pod.name), reports)
