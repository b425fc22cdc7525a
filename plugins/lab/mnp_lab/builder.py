"""The built part of a lab: namespaces, links and rules, brought from one plan to the next.

The order makes it safe. Leaving pods are removed from all rules before their namespaces are; the rules of new pods
are in force before their links are up, so no packet ever passes a pod that is not enforced yet (S60, S64).
"""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, frozen

from mnp_core.api import Result, Sync
from mnp_core.errors import InputError
from mnp_core.model import Change, ObjectName, ObjectRef
from mnp_core.sources.decode import Decoder
from mnp_core.sources.manifests import Document
from mnp_lab.locator import LabLocator
from mnp_lab.namespaces import NamespaceStore
from mnp_lab.nodeview import NodeView
from mnp_lab.prober import Progress
from mnp_lab.topology import LabPlan, PodPlan, Switch

if TYPE_CHECKING:
    from mnp_lab.links import LinkBuilder

NOTHING = LabPlan(switches={}, pods={}, objects={}, leases={}, notices=())


class Enforcer(Protocol):
    """Brings policy into force: the agent."""

    def sync(self, changes: Iterable[Change]) -> Sync:
        """Take in changes and bring everything that they affect up to date."""


@frozen(kw_only=True)
class Enforcement:
    """The enforcement of a lab.

    Attributes:
        decoder: From manifests to the agent's objects.
        make_agent: From the lab's locator to an agent without state.
    """

    decoder: Decoder
    make_agent: Callable[[LabLocator], Enforcer]


@frozen(kw_only=True)
class PlanDiff:
    """The steps from one plan to another."""

    leaving: tuple[PodPlan, ...]
    coming: tuple[PodPlan, ...]
    new_switches: tuple[Switch, ...]
    old_switches: tuple[Switch, ...]

    @property
    def pods(self) -> frozenset[ObjectName]:
        """Pods that are leaving or coming."""
        return frozenset(pod.name for pod in self.leaving + self.coming)


def diff_plans(old: LabPlan, new: LabPlan, *, unfinished: frozenset[ObjectName] = frozenset()) -> PlanDiff:
    """Compute the steps from one plan to another.

    A pod whose links are unchanged is kept, despite other changes to it.

    Args:
        old: The present plan.
        new: The desired plan.
        unfinished: Pods in an unknown state, to be made anew.
    """
    stay = {name for name in old.pods if new.pods.get(name) == old.pods[name]} - unfinished
    left_over = (PodPlan(name=name) for name in sorted(unfinished - old.pods.keys()))
    return PlanDiff(
        leaving=(*(pod for name, pod in old.pods.items() if name not in stay), *left_over),
        coming=tuple(pod for name, pod in new.pods.items() if name not in stay),
        new_switches=tuple(switch for switch in new.switches.values() if old.switches.get(switch.wire) != switch),
        old_switches=tuple(switch for name, switch in old.switches.items() if name not in new.switches),
    )


class LabBuilder:
    """Namespaces, links and rules of one lab."""

    def __init__(self, namespaces: NamespaceStore, enforcement: Enforcement | None) -> None:
        self._namespaces = namespaces
        self._links = _link_builder(namespaces)
        self._enforcement = enforcement
        self._agent: Enforcer | None = None
        self._view = NodeView()
        self.find = self._links.sandbox

    def check(self, plan: LabPlan) -> None:
        """Validate every object before the first change; raises InputError."""
        self._decode(plan.documents)

    def change(
        self, old: LabPlan, new: LabPlan, steps: PlanDiff, *, progress: Progress, checkpoint: Callable[[], None]
    ) -> tuple[Sync | None, frozenset[ObjectName]]:
        """Bring the lab from one plan to another.

        Args:
            old: The present plan.
            new: The desired plan.
            steps: The result of `diff_plans`.
            progress: Called at each step.
            checkpoint: Called where an interruption may be raised.

        Returns:
            The agent's result for the new state, and the new pods that could not be enforced: they stay disconnected.

        Raises:
            UnsupportedError: No root, or the kernel lacks something.
            SandboxError: The kernel refused.
        """
        self._part_with(_refs(steps.leaving), old)
        for pod in steps.leaving:
            checkpoint()
            self._links.remove_pod(pod)
        self._links.remove_switches(steps.old_switches)
        self._links.add_switches(steps.new_switches)
        for number, pod in enumerate(steps.coming):
            checkpoint()
            progress("building pods", number, len(steps.coming))
            self._links.add_pod(pod)
        checkpoint()
        progress("enforcing", 0, 1)
        self._view.pods = new.pods
        sync = self._sync(self._differences(old, new, steps))
        checkpoint()
        return sync, self._connect(steps.coming, sync, progress)

    def forget_agent(self) -> None:
        """Discard the agent's state after a change by another process."""
        self._agent = None

    def close(self) -> None:
        """Release the resources of this process."""
        self._namespaces.close()

    def _part_with(self, leaving: Iterable[ObjectRef], old: LabPlan) -> None:
        """Provide an agent that knows the present pods except the leaving ones."""
        self._view.pods = old.pods
        if self._agent is None and old is not NOTHING:
            self._sync(self._decode(document for ref, document in old.objects.items() if ref not in set(leaving)))
        elif gone := _gone(self._decode(old.objects[ref] for ref in leaving if ref in old.objects)):
            self._sync(gone)

    def _connect(self, pods: Sequence[PodPlan], sync: Sync | None, progress: Progress) -> frozenset[ObjectName]:
        failed = failures(sync, {pod.name for pod in pods})
        connected = [pod for pod in pods if pod.name not in failed]
        for pod in connected:
            self._links.connect(pod)
        for pod in connected:
            self._links.settle(pod)
        progress("enforcing", 1, 1)
        return frozenset(pod.name for pod in pods if pod.name in failed)

    def _sync(self, changes: Sequence[Change]) -> Sync | None:
        if self._enforcement is None:
            return None
        if self._agent is None:
            self._agent = self._enforcement.make_agent(LabLocator(self._links.sandbox, self._view))
        return self._agent.sync(changes)

    def _decode(self, documents: Iterable[Document]) -> list[Change]:
        if self._enforcement is None:
            return []
        decoder = self._enforcement.decoder
        return [change for document in documents if (change := _decoded(decoder, document)) is not None]

    def _differences(self, old: LabPlan, new: LabPlan, steps: PlanDiff) -> list[Change]:
        """Changes for the agent: changed objects, deleted objects, and pods that were made anew."""
        before, anew = {ref: document.raw for ref, document in old.objects.items()}, set(_refs(steps.coming))
        fresh = (document for ref, document in new.objects.items() if ref in anew or before.get(ref) != document.raw)
        gone = (document for ref, document in old.objects.items() if ref not in new.objects)
        return _gone(self._decode(gone)) + self._decode(fresh)


def failures(sync: Sync | None, pods: Container[ObjectName]) -> dict[ObjectName, str]:
    """Which of the pods that are built could not be brought up to date, and why."""
    last = {outcome.pod: outcome for outcome in sync.outcomes if outcome.pod in pods} if sync else {}
    return {pod: outcome.error for pod, outcome in last.items() if outcome.result is Result.FAILED}


def _decoded(decoder: Decoder, document: Document) -> Change | None:
    try:
        return decoder.decode(document.raw)
    except InputError as error:
        raise InputError(error.message, where=document.where, field=error.field) from error


def _gone(changes: Iterable[Change]) -> list[Change]:
    return [evolve(change, object=None, reports=()) for change in changes]


def _refs(pods: Iterable[PodPlan]) -> list[ObjectRef]:
    return [ObjectRef("Pod", pod.name) for pod in pods]


def _link_builder(namespaces: NamespaceStore) -> "LinkBuilder":
    from mnp_lab.links import LinkBuilder  # noqa: PLC0415 # pyroute2 takes as long to import as all else that help needs

    return LinkBuilder(namespaces)
