"""A lab: pods from manifests, for the length of a block or until it is taken down."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import evolve

from mnp_core.api import Sandbox, Sync
from mnp_core.closing import Closing
from mnp_core.errors import InputError, MnpError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.offline.admission import index
from mnp_core.offline.probe import Probe, ProbeResult, ProbeSpec, ProbeVerdict
from mnp_core.signals import deferred
from mnp_core.sources.manifests import Document
from mnp_core.sources.placement import place
from mnp_lab.apply_result import ApplyResult
from mnp_lab.builder import Enforcement, LabBuilder
from mnp_lab.exec import Program, wait
from mnp_lab.expectations import Check, Expectation, Unjudged
from mnp_lab.namespaces import AnonymousNamespaces
from mnp_lab.plan import plan_lab
from mnp_lab.probe import plan_probes
from mnp_lab.prober import DEFAULT_TIMEOUT, Prober, Progress
from mnp_lab.reconciler import LabReconciler, Objects
from mnp_lab.state import LabDirectory, lab_names
from mnp_lab.topology import LabPlan
from mnp_lab.watch import watch_documents

__all__ = ["ApplyResult", "Enforcement", "Lab"]

_SECOND_CHANCE = 2  # times the timeout


class Lab(Closing):
    """One lab. Made by `run`, `up` or `open`; usable as a context manager, which closes it.

    Not thread-safe. A named lab may be used by several processes at once: each operation locks it and starts from the
    state that the others have left.
    """

    def __init__(
        self, enforcement: Enforcement | None, directory: LabDirectory | None, progress: Progress = lambda *_: None
    ) -> None:
        """Use `run`, `up` or `open`."""
        self._directory = directory
        self._builder = LabBuilder(directory.namespaces if directory else AnonymousNamespaces(), enforcement)
        self._reconciler = LabReconciler(self._builder, directory, enforced=enforcement is not None, progress=progress)
        self._progress = progress

    # --- coming and going -------------------------------------------------------------------------------------------

    @classmethod
    def run(
        cls,
        documents: Iterable[Document],
        *,
        enforcement: Enforcement | None = None,
        progress: Progress = lambda *_: None,
    ) -> "Lab":
        """Build a lab that is gone when it is closed, or when this process ends, even by SIGKILL.

        Args:
            documents: Manifests.
            enforcement: The enforcement; None leaves all pods open.
            progress: Called at each step.

        Raises:
            InputError: The manifests do not fit together.
            UnsupportedError: No root, or the kernel lacks something.
            SandboxError: The kernel refused.
        """
        given = index(documents)
        lab = cls(enforcement, None, progress)
        try:
            with deferred() as checkpoint:
                lab._reconciler.reconcile(given, plan_lab(given.values()), checkpoint)
        except BaseException:
            lab.close()
            raise
        return lab

    @classmethod
    def up(
        cls,
        name: str,
        documents: Iterable[Document],
        *,
        enforcement: Enforcement | None = None,
        options: Mapping[str, str] | None = None,
        run_dir: Path | None = None,
        progress: Progress = lambda *_: None,
    ) -> "Lab":
        """Build a lab that stays; if that fails or is interrupted, nothing of it does.

        Args:
            name: Of the lab.
            documents: Manifests.
            enforcement: The enforcement; None leaves all pods open.
            options: The choice of enforcement; see `options_of`.
            run_dir: See `LabDirectory`.
            progress: Called at each step.

        Raises:
            InputError: There is such a lab, or the manifests do not fit together.
            UnsupportedError: No root, or the kernel lacks something.
            SandboxError: The kernel refused.
        """
        given = index(documents)
        plan = plan_lab(given.values())
        directory = LabDirectory(name, run_dir)
        lab = cls(enforcement, directory, progress)
        lab._reconciler.options = options or {}
        with deferred() as checkpoint, directory.locked(create=True, checkpoint=checkpoint):
            if directory.exists():
                raise InputError(f"lab {name!r} is up already: change it with mnp lab apply, or take it down first")
            directory.clear()  # leftovers of a killed process
            lab._reconciler.reconcile(
                given, plan, checkpoint
            )  # if it fails there is no state, and the lock's end removes all
        return lab

    @classmethod
    def open(
        cls,
        name: str,
        *,
        enforcement: Enforcement | None = None,
        run_dir: Path | None = None,
        progress: Progress = lambda *_: None,
    ) -> "Lab":
        """Go on with a lab that is up.

        Raises:
            InputError: There is none of that name.
        """
        lab = cls(enforcement, LabDirectory(name, run_dir), progress)
        with lab._reconciler.held():
            return lab

    @staticmethod
    def options_of(name: str, run_dir: Path | None = None) -> Mapping[str, str]:
        """The `options` of `up`, for the same enforcement when the lab is opened again.

        Raises:
            InputError: There is no lab of that name.
        """
        directory = LabDirectory(name, run_dir)
        with directory.locked():
            state = directory.read()
        return state.options if state else {}

    @property
    def name(self) -> str:
        """Its name; empty for one that only lasts for a block."""
        return self._directory.name if self._directory else ""

    @property
    def options(self) -> Mapping[str, str]:
        """The `options` of `up`."""
        return self._reconciler.options

    @staticmethod
    def names(run_dir: Path | None = None) -> tuple[str, ...]:
        """Labs that are up."""
        return tuple(name for name in lab_names(run_dir) if LabDirectory(name, run_dir).exists())

    @staticmethod
    def down_named(name: str, run_dir: Path | None = None) -> tuple[str, ...]:
        """Remove a lab or its leftovers; raises InputError if there are none."""
        directory = LabDirectory(name, run_dir)
        with deferred() as checkpoint, directory.locked(checkpoint=checkpoint):
            directory.clear()
        return (name,)

    @classmethod
    def down_all(cls, run_dir: Path | None = None) -> tuple[str, ...]:
        """Remove all labs and all leftovers."""
        removed: list[str] = []
        for name in lab_names(run_dir):
            with suppress(InputError):  # another process was faster
                removed += cls.down_named(name, run_dir)
        return tuple(removed)

    def down(self) -> None:
        """Remove this lab."""
        self.close()
        if self._directory is not None:
            with deferred() as checkpoint, self._directory.locked(checkpoint=checkpoint):
                self._directory.clear()

    def close(self) -> None:
        """Close the lab: a named one stays up, another one is gone."""
        self._builder.close()

    # --- changing it ------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> LabPlan:
        """The plan that is built."""
        return self._reconciler.plan

    @property
    def last_sync(self) -> Sync | None:
        """The agent's result of the last change; None in a lab without one."""
        return self._reconciler.last_sync

    @property
    def unenforced(self) -> Mapping[ObjectName, str]:
        """Pods whose policies could not be enforced, with the reason."""
        return self._reconciler.unenforced

    @property
    def objects(self) -> Objects:
        """The objects as API server and meta-plugin would show them."""
        return self.plan.objects

    def apply(self, documents: Iterable[Document]) -> ApplyResult:
        """Create or replace objects, and leave the others as they are.

        Raises:
            InputError: It does not fit together; nothing has changed then.
            SandboxError: The kernel refused; the lab is as it was before.
        """
        changed = index(documents)
        return self._reconciler.change(lambda given: {**given, **changed})

    def replace(self, documents: Iterable[Document]) -> ApplyResult:
        """Have exactly these objects from now on; raises as `apply` does."""
        exactly = index(documents)
        return self._reconciler.change(lambda _: exactly)

    def delete(self, refs: Iterable[ObjectRef]) -> ApplyResult:
        """Delete objects; with a namespace all that is in it.

        Raises:
            InputError: One is not there, or is needed by another one; nothing has changed then.
        """
        unwanted = set(refs)

        def without(given: Objects) -> Objects:
            everything = unwanted | {ref for ref in given if _namespace_of(ref) in unwanted}
            for ref in sorted(unwanted - self.plan.objects.keys()):
                raise InputError(f"{ref} is not in the lab, nothing was deleted")
            return {ref: document for ref, document in given.items() if ref not in everything}

        return self._reconciler.change(without)

    def watch(
        self, paths: Sequence[Path], stop: threading.Event, namespace: str | None = None
    ) -> Iterator[ApplyResult | MnpError]:
        """Follow the manifests of the lab until `stop` is set.

        Objects removed from them are deleted; objects applied meanwhile from elsewhere stay.

        Args:
            paths: Files and folders.
            stop: Ends it.
            namespace: See `mnp_core.sources.placement.place`.

        Yields:
            The result of each change; or its error, and then the lab is as it was before.
        """
        watched = set(self._reconciler.given)
        for documents in watch_documents(paths, stop):
            try:
                if isinstance(documents, MnpError):
                    raise documents
                now = index(place(documents, namespace))
                done = self._reconciler.change(partial(_exchange, watched - now.keys(), now))
            except MnpError as error:
                yield error
            else:
                watched = set(now)
                if done.anything:
                    yield done

    # --- using it ---------------------------------------------------------------------------------------------------

    def exec(self, pod: ObjectName, argv: Sequence[str]) -> int:
        """Run a program of this machine in a pod's network namespace, with this process' terminal and streams.

        Returns:
            Its exit status; 128 and the signal's number if one ended it.

        Raises:
            InputError: There is no such pod or program.
        """
        with self._reconciler.held():
            process = self.program(pod, argv).start()
        return wait(process)

    def program(self, pod: ObjectName, argv: Sequence[str]) -> Program:
        """A program of this machine in a pod's network namespace, to be started in whichever way.

        Raises:
            InputError: There is no such pod.
        """
        return Program(sandbox=self.sandbox(pod), argv=argv)

    def plan_probes(
        self,
        specs: Sequence[ProbeSpec] = (),
        *,
        sources: frozenset[ObjectName] | None = None,
        destinations: frozenset[ObjectName] | None = None,
        network: ObjectName | None = None,
    ) -> tuple[Probe, ...]:
        """See `mnp_lab.probe.plan_probes`."""
        return plan_probes(self.plan, specs, sources=sources, destinations=destinations, network=network)

    def probe(
        self, probes: Iterable[Probe], timeout: float = DEFAULT_TIMEOUT, progress: Progress | None = None
    ) -> tuple[ProbeResult, ...]:
        """Send real packets; see `Prober.run`. To probe often, keep a `prober`.

        A pod whose policies could not be enforced (`unenforced`) shows nothing of them: that is an error.
        """
        with self._reconciler.held(), self.prober() as prober:
            return tuple(map(self._trusted, prober.run(probes, timeout, progress or self._progress)))

    def prober(self) -> Prober:
        """A prober that keeps its listeners open until it is closed."""
        return Prober(self._builder.find)

    def test(
        self,
        expectations: Iterable[Expectation],
        timeout: float = DEFAULT_TIMEOUT,
        progress: Progress | None = None,
    ) -> tuple[Check | Unjudged, ...]:
        """Compare expectations with packets. A lost packet is sent once more.

        An expectation without a pod in this lab affects itself alone; such ones come last.
        """
        with self._reconciler.held(), self.prober() as prober:
            questions = [(expectation, expectation.probes(self.plan)) for expectation in expectations]
            unjudged = [Unjudged(expectation=e, error=error) for e, found in questions for error in found.errors]
            asked = [(expectation, probe) for expectation, found in questions for probe in found.probes]
            results = prober.run([probe for _, probe in asked], timeout, progress or self._progress)
            checks = [Check(expectation=e, result=self._trusted(r)) for (e, _), r in zip(asked, results, strict=True)]
            doubtful = [number for number, check in enumerate(checks) if check.may_be_chance]
            again = prober.run([checks[number].result.probe for number in doubtful], _SECOND_CHANCE * timeout)
            for number, result in zip(doubtful, again, strict=True):
                checks[number] = evolve(checks[number], result=self._trusted(result))
            return (*checks, *unjudged)

    def _trusted(self, result: ProbeResult) -> ProbeResult:
        for pod in (result.probe.source, result.probe.destination):
            if pod in self.unenforced:
                detail = f"the policies of {pod} could not be enforced: {self.unenforced[pod]}"
                return evolve(result, verdict=ProbeVerdict.ERROR, detail=detail)
        return result

    def sandbox(self, pod: ObjectName) -> Sandbox:
        """The network namespace of a pod; raises InputError if there is no such pod."""
        if pod not in self.plan.pods:
            known = ", ".join(map(str, sorted(self.plan.pods))) or "none"
            raise InputError(f"there is no pod {pod} in the lab: its pods are {known:.500}")
        return self._builder.find(pod)


def _namespace_of(ref: ObjectRef) -> ObjectRef:
    return ObjectRef("Namespace", ObjectName("", ref.name.namespace))


def _exchange(gone: set[ObjectRef], now: Objects, given: Objects) -> Objects:
    return {ref: document for ref, document in given.items() if ref not in gone} | dict(now)
