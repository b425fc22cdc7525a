"""The agent: keeps what is in force in every sandbox of this node equal to what policy says.

One thread calls it; what has to be written is written by a pool, many sandboxes at once. A failure of one sandbox is
an `Outcome`, never an exception, leaves in force what was there, and is tried again with the next pass.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from attrs import evolve

from mnp_core.agent.enforcement import Findings, InForce, enforce, inspect, remove, retire, update
from mnp_core.agent.failure import failure_of
from mnp_core.agent.world import Effect, World
from mnp_core.api import InterfaceDiscoverer, Outcome, Result, Sandbox, SandboxLocator, Sync
from mnp_core.backend import Backend
from mnp_core.errors import MnpError, SandboxNotFoundError
from mnp_core.model import (
    AddressSource,
    Attachment,
    Change,
    Delta,
    GroupDelta,
    Link,
    ObjectName,
    ObjectRef,
    Reason,
    Report,
    Ruleset,
)
from mnp_core.sandbox.links import read_links

Observer = Callable[[Outcome], None]


class BackendChoice(Protocol):
    """What the agent needs of `mnp_core.backend.Backends`."""

    def of(self, attachments: Iterable[Attachment], /) -> Backend:
        """The backend of one sandbox."""

    def others(self, chosen: Backend, /) -> Iterable[Backend]:
        """Backends that may have been in force in a sandbox before."""


class Pool(Protocol):
    """What the agent needs of `mnp_core.sandbox.pool.SandboxPool`."""

    def submit(self, sandbox: Sandbox, work: Callable[[], InForce]) -> "Future[InForce]":
        """Run work inside a sandbox, in the order of submission for each."""


class Agent:
    """Reconciles the sandboxes of one node with a `World`."""

    def __init__(
        self,
        *,
        world: World,
        backends: BackendChoice,
        locator: SandboxLocator,
        discoverers: Mapping[str, InterfaceDiscoverer],
        pool: Pool,
        read_links: Callable[[], Sequence[Link]] = read_links,
        observe: Observer = lambda _: None,
        own_addresses: AddressSource = AddressSource.KERNEL,
    ) -> None:
        """Put together what was chosen.

        Args:
            world: The state of the cluster; the agent owns it from now on.
            backends: Chooses renderer and applier for a sandbox by its attachments.
            locator: Finds a pod's network namespace.
            discoverers: By the CNI type that they claim.
            pool: Runs work inside sandboxes.
            read_links: Reads the interfaces of the sandbox that it is called in.
            observe: Told of each outcome.
            own_addresses: Who is believed about the addresses of a pod's own interfaces.
        """
        self.world = world
        self._backends = backends
        self._locator = locator
        self._discoverers = discoverers
        self._pool = pool
        self._read_links = read_links
        self._observe = observe
        self._own_addresses = own_addresses
        self._chosen: dict[ObjectName, Backend] = {}
        self._generations: dict[ObjectName, int] = {}
        self._findings: dict[ObjectName, Findings] = {}
        self._failed: dict[ObjectName, str] = {}

    def sync(self, changes: Iterable[Change]) -> Sync:
        """Take in changes and bring everything that they affect up to date.

        Returns when all is done. What failed in an earlier pass is tried again.
        """
        started = time.monotonic()
        effect = self.world.apply(changes)
        self._forget(effect.gone)
        whole = effect.sandboxes | self._failed.keys()
        jobs = [self._start(pod, partial(self._replace, pod)) for pod in sorted(whole)]
        jobs += self._start_deltas(effect, whole)
        outcomes = [job() for job in jobs]
        outcomes += self._repair(outcomes, whole)
        outcomes += self._follow(whole)
        return self._finish(outcomes, started)

    def look_again(self, pods: Iterable[ObjectName]) -> Sync:
        """Read the links of some pods again, because they have changed (`mnp_core.sandbox.monitor`)."""
        started = time.monotonic()
        here = sorted(pod for pod in pods if self.world.claims(pod))
        jobs = [self._start(pod, partial(self._look, pod)) for pod in here]
        outcomes = [job() for job in jobs]
        outcomes += self._follow(here)
        return self._finish((o for o in outcomes if o.result is not Result.UNCHANGED), started)

    def check_drift(self) -> Sync:
        """Look whether somebody changed our rules, and put them back (S63).

        Costs one netlink message for each sandbox whose packet filter nobody touched.
        """
        started = time.monotonic()
        known = sorted(self._generations.items())
        jobs = [self._start(pod, partial(self._mend, pod, generation)) for pod, generation in known]
        outcomes = [job() for job in jobs]
        return self._finish((o for o in outcomes if o.result is not Result.UNCHANGED), started)

    def attachments(self, pod: ObjectName) -> tuple[Attachment, ...]:
        """The attachments of a local pod: as the kernel has them, or as claimed, by the setting ``own-addresses``."""
        findings = self._findings.get(pod)
        believed = findings is not None and self._own_addresses is AddressSource.KERNEL
        return findings.attachments if findings is not None and believed else self.world.claims(pod)

    def ruleset(self, pod: ObjectName) -> Ruleset | None:
        """What is to be in force in a local pod, as it would be applied; None if nothing is."""
        policy = self.world.sandbox_policy(pod)
        return self._backend(pod).renderer.render(policy) if policy is not None else None

    def reports(self) -> tuple[Report, ...]:
        """Every problem that stands."""
        findings = (report for found in self._findings.values() for report in found.reports)
        failures = (_unenforced(pod, error) for pod, error in self._failed.items())
        return tuple(sorted({*self.world.reports(), *findings, *failures}))

    # --- work on one sandbox: made on the agent's thread, run inside the sandbox ---------------------------------

    def _replace(self, pod: ObjectName) -> Callable[[], InForce]:
        """Everything of ours, as a whole."""
        backend, policy, claims = self._backend(pod), self.world.sandbox_policy(pod), self.world.claims(pod)
        others = () if pod in self._generations else self._backends.others(backend)

        def work() -> InForce:
            if policy is None:
                return remove(backend.applier)
            done = enforce(backend.applier, backend.renderer.render(policy))
            for other in others:
                retire(other.applier)
            return self._inspected(done, claims)

        return work

    def _update(self, pod: ObjectName, change: GroupDelta, rendered: dict[str, Delta]) -> Callable[[], InForce]:
        """Membership alone; `rendered` keeps what other sandboxes of the same backend need too."""
        backend = self._backend(pod)
        if backend.name not in rendered:
            rendered[backend.name] = backend.renderer.render_delta(change)
        delta = rendered[backend.name]

        def work() -> InForce:
            return update(backend.applier, delta)

        return work

    def _mend(self, pod: ObjectName, generation: int) -> Callable[[], InForce]:
        """Whatever somebody else changed. The agent's thread waits meanwhile, so the World holds still."""
        applier = self._backend(pod).applier

        def work() -> InForce:
            if applier.generation() == generation:
                return InForce(result=Result.UNCHANGED, generation=generation)
            ruleset = self.ruleset(pod)
            done = enforce(applier, ruleset) if ruleset is not None else remove(applier)
            return evolve(done, drifted=done.result is not Result.UNCHANGED)

        return work

    def _look(self, pod: ObjectName) -> Callable[[], InForce]:
        """Read its links again, and write nothing."""
        claims, generation = self.world.claims(pod), self._generations.get(pod, 0)
        return lambda: self._inspected(InForce(result=Result.UNCHANGED, generation=generation), claims)

    def _inspected(self, done: InForce, claims: Sequence[Attachment]) -> InForce:
        return evolve(done, findings=inspect(claims, self._read_links, self._discoverers))

    # --- starting, waiting, remembering ---------------------------------------------------------------------------

    def _start(self, pod: ObjectName, prepare: Callable[[], Callable[[], InForce]]) -> Callable[[], Outcome]:
        """Prepare work and hand it to the pool; what comes back waits for the outcome."""
        started = time.monotonic()
        try:
            future: Future[InForce] = self._pool.submit(self._locate(pod), prepare())
        except Exception as error:  # noqa: BLE001 - plugins prepare it: whatever they raise concerns this pod alone
            failure = error
            return lambda: self._failure(pod, failure, started)
        return lambda: self._outcome(pod, future, started)

    def _start_deltas(self, effect: Effect, whole: AbstractSet[ObjectName]) -> list[Callable[[], Outcome]]:
        """One rendering for the node and dialect, one write for each sandbox that uses the group."""
        jobs = []
        for group_delta, users in effect.deltas:
            rendered: dict[str, Delta] = {}
            jobs += [
                self._start(pod, partial(self._update, pod, group_delta, rendered)) for pod in sorted(users - whole)
            ]
        return jobs

    def _repair(self, outcomes: list[Outcome], whole: AbstractSet[ObjectName]) -> list[Outcome]:
        """A refused difference means that the sandbox is not as expected: replace it as a whole."""
        refused = {outcome.pod for outcome in outcomes if outcome.result is Result.FAILED} - whole
        jobs = [self._start(pod, partial(self._replace, pod)) for pod in sorted(refused)]
        return [job() for job in jobs]

    def _follow(self, pods: Iterable[ObjectName]) -> list[Outcome]:
        """Let peers know by which addresses pods were found, if the settings believe the kernel."""
        found = [(pod, self._findings[pod].attachments) for pod in pods if pod in self._findings]
        effects = [self.world.found(pod, attachments) for pod, attachments in found]
        outcomes = [job() for effect in effects for job in self._start_deltas(effect, frozenset())]
        return outcomes + self._repair(outcomes, frozenset())

    def _backend(self, pod: ObjectName) -> Backend:
        """By its attachments; a pod that has lost them keeps the backend that it had."""
        claims = self.world.claims(pod)
        if claims or pod not in self._chosen:
            self._chosen[pod] = self._backends.of(claims)
        return self._chosen[pod]

    def _locate(self, pod: ObjectName) -> Sandbox:
        known = self.world.pod(pod)
        if known is None:
            raise SandboxNotFoundError(f"pod {pod} is not known any more")
        return self._locator.locate(known)

    def _outcome(self, pod: ObjectName, future: "Future[InForce]", started: float) -> Outcome:
        try:
            done = future.result()
        except Exception as error:  # noqa: BLE001 - and plugins do it
            return self._failure(pod, error, started)
        self._failed.pop(pod, None)
        self._generations[pod] = done.generation
        if done.findings is not None:
            self._findings[pod] = done.findings
        return self._tell(self._made(pod, done.result, started, drifted=done.drifted))

    def _failure(self, pod: ObjectName, error: Exception, started: float) -> Outcome:
        text = str(error) if isinstance(error, MnpError) else f"{type(error).__name__} in a plugin: {error}"
        self._failed[pod] = text
        failed = self._made(pod, Result.FAILED, started)
        return self._tell(evolve(failed, error=text, failure=failure_of(error)))

    def _made(self, pod: ObjectName, result: Result, started: float, *, drifted: bool = False) -> Outcome:
        chosen = self._chosen.get(pod)
        backend, seconds = chosen.name if chosen else "", time.monotonic() - started
        return Outcome(pod=pod, result=result, seconds=seconds, drifted=drifted, backend=backend)

    def _tell(self, outcome: Outcome) -> Outcome:
        self._observe(outcome)
        return outcome

    def _forget(self, pods: Iterable[ObjectName]) -> None:
        for pod in pods:
            for memory in (self._failed, self._chosen, self._generations, self._findings):
                memory.pop(pod, None)

    def _finish(self, outcomes: Iterable[Outcome], started: float) -> Sync:
        seconds = time.monotonic() - started
        return Sync(outcomes=tuple(outcomes), reports=self.reports(), seconds=seconds)


def _unenforced(pod: ObjectName, error: str) -> Report:
    return Report(
        about=ObjectRef("Pod", pod),
        field="",
        reason=Reason.UNENFORCEABLE,
        message=f"its rules could not be brought up to date, what was in force still is: {error.rstrip('.')}",
        remedy="It is tried again; if it stays, look at the cause named here",
    )
