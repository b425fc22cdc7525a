"""Brings a lab to its manifests, and keeps the state that other processes go on from."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import evolve

from mnp_core.api import Sync
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.offline.admission import index
from mnp_core.signals import deferred
from mnp_core.sources.manifests import Document
from mnp_lab.apply_result import ApplyResult, compare_plans
from mnp_lab.builder import NOTHING, LabBuilder, diff_plans, failures
from mnp_lab.plan import plan_lab
from mnp_lab.prober import Progress
from mnp_lab.state import LabDirectory, LabState
from mnp_lab.topology import LabPlan

Objects = Mapping[ObjectRef, Document]


class LabReconciler:
    """The manifests of a lab, the plan built from them, and its record on disk if the lab has a name.

    Attributes:
        given: The manifests.
        plan: The plan that is built.
        options: The `options` of `Lab.up`.
        last_sync: The agent's result of the last change; None in a lab without one.
        unenforced: Pods whose policies could not be enforced, with the reason.
    """

    def __init__(
        self, builder: LabBuilder, directory: LabDirectory | None, *, enforced: bool, progress: Progress
    ) -> None:
        self._builder = builder
        self._directory = directory
        self._enforced = enforced
        self._progress = progress
        self._serial = -1
        self._unfinished: frozenset[ObjectName] = frozenset()
        self.given: Objects = {}
        self.options: Mapping[str, str] = {}
        self.plan: LabPlan = NOTHING
        self.last_sync: Sync | None = None
        self.unenforced: Mapping[ObjectName, str] = {}

    def change(self, edit: Callable[[Objects], Objects]) -> ApplyResult:
        """Edit the manifests and bring the lab to them; the lab is unchanged if that fails.

        Raises:
            InputError: The manifests do not fit together.
            SandboxError: The kernel refused.
        """
        with self.held():
            before = self.plan
            given = edit(self.given)
            plan = plan_lab(given.values(), leases=self.plan.leases)
            for name in sorted(plan.left_out.keys() & before.pods.keys()):  # a mistake does not remove a running pod
                raise plan.left_out[name]
            with deferred() as checkpoint:
                disconnected = self.reconcile(given, plan, checkpoint)
        return compare_plans(before, self.plan, disconnected, self.last_sync)

    def reconcile(self, given: Objects, plan: LabPlan, checkpoint: Callable[[], None]) -> frozenset[ObjectName]:
        """Bring the lab to the plan; if that fails, back to its former state.

        Returns:
            Pods that could not be enforced: they stay disconnected.
        """
        self._builder.check(plan)
        steps = diff_plans(self.plan, plan, unfinished=self._unfinished)
        if self.plan is not NOTHING:  # else there is no lab yet, and nothing to go back to
            self._record(steps.pods)
        try:
            sync, disconnected = self._builder.change(
                self.plan, plan, steps, progress=self._progress, checkpoint=checkpoint
            )
        except BaseException:
            if self.plan is not NOTHING:
                self._rebuild(steps.pods)
            raise
        self.given, self.plan, self.last_sync = given, plan, sync
        self.unenforced = failures(sync, plan.pods)
        self._record(disconnected)
        return disconnected

    def _rebuild(self, unfinished: frozenset[ObjectName]) -> None:
        """Build pods in an unknown state anew."""
        self._builder.forget_agent()
        steps = diff_plans(self.plan, self.plan, unfinished=unfinished)
        steps = evolve(steps, new_switches=tuple(self.plan.switches.values()))
        sync, disconnected = self._builder.change(
            self.plan, self.plan, steps, progress=self._progress, checkpoint=lambda: None
        )
        self.unenforced = failures(sync, self.plan.pods)
        self._record(disconnected)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the lab, and catch up with the changes of other processes."""
        if self._directory is None:
            yield
            return
        with self._directory.locked():
            self._catch_up(self._directory)
            yield

    def _catch_up(self, directory: LabDirectory) -> None:
        state = directory.read()
        if state is None:
            raise InputError(f"lab {directory.name!r} is not there (any more): mnp lab up makes one")
        if state.serial != self._serial:
            self._builder.forget_agent()
            self.given = index(state.documents)
            self.plan = plan_lab(self.given.values(), leases=state.leases)
            self._serial = state.serial
            self.options = state.options
            self._unfinished = state.unfinished
        if state.unfinished and self._enforced:
            with deferred():
                self._rebuild(state.unfinished)

    def _record(self, unfinished: frozenset[ObjectName]) -> None:
        """Record the pods in an unknown state; the next change makes them anew."""
        self._unfinished = unfinished
        if self._directory is None:
            return
        self._serial += 1
        self._directory.write(
            LabState(
                documents=tuple(self.given.values()),
                leases=self.plan.leases,
                options=self.options,
                unfinished=unfinished,
                serial=self._serial,
            )
        )
