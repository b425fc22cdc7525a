"""Schedules operations: one at a time per pod, most urgent first, many pods in parallel.

Namespaces take turns, and none has all places: a tenant with slow pods delays only those. An operation is planned when
it starts, from the state of that moment, so no large object waits in memory.

What need not enter sandboxes is short, and a thread's turn takes longer: one place serves several pods of a namespace,
one after the other. If one of them holds it up, it does so for pods of its own namespace.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from itertools import count, repeat
from typing import Any, Final, Protocol, TypeVar

from mnp_core.agent.operations import Plan, Planner
from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import Attempt, Deadline, Located, Operation, OperationResult
from mnp_core.api import Sandbox, SandboxLocator
from mnp_core.classes import frozen
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import Pod
from mnp_core.turns import Turns

T = TypeVar("T")
Finished = OperationResult | BaseException | None
"""A result or an error; None for a step that has to enter its sandbox."""

_PLACES: Final = 32  # operations at once
_SLICE: Final = 16  # pods that one place serves
_LOCATING_PLACES: Final = 16  # of which locate a sandbox
_NAMESPACE_SHARE: Final = 7  # limit of one namespace, in multiples of the free places: 28 of 32, and one is always free
BIG_LINES: Final = 1000  # of rules; smaller rulesets are not counted
_MOST_LINES: Final = 10_000  # of all big rulesets written at once
_BIG_NAMESPACES: Final = 2  # with a bigger write than that under way
_WRITES: Final = frozenset({Operation.REPLACE, Operation.FINALIZE})


class Pool(Protocol):
    """The methods of `mnp_core.sandbox.pool.SandboxPool` used by the agent."""

    def submit(self, sandbox: Sandbox | None, work: Callable[[], T]) -> "Future[T]":
        """Run work inside a sandbox, in the order of submission for each; for None, outside of any."""

    def is_there(self, sandbox: Sandbox) -> bool:
        """Whether its path still leads to it."""


class InlineExecutor(Executor):
    """Runs each call at once, on the thread that submits it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Run it; the future is done already."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future carries it, as every executor's does
            future.set_exception(error)
        return future


@frozen(eq=False)
class Step:
    """An operation under way.

    Attributes:
        state: Its pod.
        attempt: The operation.
        plan: Its ways; None to locate the sandbox.
    """

    state: PodState
    attempt: Attempt
    plan: Plan | None = None


@frozen(eq=False)
class Job:
    """Operations in pods of one namespace that have one place, one after the other.

    Attributes:
        steps: The operations.
        results: As many results or errors, or one error for all; None for a step that has to enter its sandbox.
    """

    steps: Sequence[Step]
    results: "Future[Sequence[Finished]]"

    def finished(self) -> "Iterator[tuple[Step, Finished]]":
        """Each operation with its result; the job has ended."""
        error = self.results.exception()
        return zip(self.steps, repeat(error) if error is not None else self.results.result(), strict=False)


class Scheduler:
    """Starts due operations. One thread owns it; it reads no clock."""

    def __init__(
        self,
        *,
        planner: Planner,
        locator: SandboxLocator,
        pool: Pool,
        locator_executor: Executor,
        done: Callable[[Job], None],
    ) -> None:
        """Start empty.

        Args:
            planner: Makes callables of attempts.
            locator: Finds sandboxes.
            pool: Runs operations in them.
            locator_executor: Runs the locator, which may wait for a runtime.
            done: Called with each job that has ended, on any thread; the owner calls `release` for it.
        """
        self._planner = planner
        self._locator = locator
        self._pool = pool
        self._locator_executor = locator_executor
        self._done = done
        self._heap: list[tuple[float, int, PodState]] = []
        self._order = count()  # of equal deadlines: states have none
        self._deadlines: dict[PodState, float] = {}  # the valid entries of the heap
        self._ready: Turns[PodState] = Turns()
        self._queued: set[PodState] = set()
        self._running: Counter[str] = Counter()  # by namespace
        self._locating = 0
        self._weights: dict[PodState, int] = {}  # lines of the big rulesets that are written now, or not finalized
        self._slices: dict[str, list[Step]] = {}  # by namespace: jobs that are not full yet
        self._draining = False

    @property
    def busy(self) -> int:
        """The number of pods with an operation under way, or ready and waiting for a place."""
        return self._running.total() + len(self._ready)

    def can_start(self, now: float) -> bool:
        """Whether `start_one` would start an operation."""
        return self._ready.has(lambda state: self._has_place(state, now))

    def start_next(self, state: PodState, now: float) -> None:
        """Schedule the next operation of a pod, or its deadline; to be called after each change of its state."""
        if not state.awaits_finalization:
            self._weights.pop(state, None)
        upcoming = self._upcoming(state, now)
        if isinstance(upcoming, Deadline):
            if self._deadlines.get(state) != upcoming.at:
                self._deadlines[state] = upcoming.at
                heapq.heappush(self._heap, (upcoming.at, next(self._order), state))
            return
        self._deadlines.pop(state, None)
        if upcoming is not None and state not in self._queued:
            self._queued.add(state)
            self._ready.add(state.name.namespace, [state], urgent=state in self._weights)  # others may wait for it

    def next_deadline(self) -> float | None:
        """The next deadline (time.monotonic)."""
        while self._heap and self._deadlines.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def start_due(self, now: float) -> None:
        """Queue all operations past their deadline."""
        while (at := self.next_deadline()) is not None and at <= now:
            _, _, state = heapq.heappop(self._heap)
            del self._deadlines[state]
            self.start_next(state, now)

    def start_one(self, now: float) -> bool:
        """Start one ready operation; whether there was one with a place. `start_slices` is to follow the last."""
        state = self._ready.take_first(lambda state: self._has_place(state, now))
        if state is None:
            return False
        self._queued.discard(state)
        upcoming = self._upcoming(state, now)
        if isinstance(upcoming, Operation):
            self._start(state, upcoming, now)
        else:
            self.start_next(state, now)
        return True

    def start_slices(self) -> None:
        """Start what has been collected for one place each."""
        for namespace in tuple(self._slices):
            self._start_slice(namespace)

    def enter(self, step: Step) -> None:
        """Start an operation again inside of its sandbox, where alone it can go on."""
        self._occupy(step)
        self._submit([step], self._inside)

    def release(self, job: Job) -> None:
        """Free the place of a job that has ended; `start_next` frees a pod's share of big rulesets."""
        namespace = job.steps[0].state.name.namespace
        self._locating -= job.steps[0].attempt.operation is Operation.LOCATE
        self._running[namespace] -= 1
        if not self._running[namespace]:
            del self._running[namespace]

    def drain(self, now: float) -> None:
        """From now on start only finalizations, and those at once."""
        self._draining = True
        for state in tuple(self._deadlines):
            state.finalize_now()
            self.start_next(state, now)

    def _upcoming(self, state: PodState, now: float) -> Operation | Deadline | None:
        upcoming = state.next_operation(now)
        return None if self._draining and upcoming is not Operation.FINALIZE else upcoming

    def _has_place(self, state: PodState, now: float) -> bool:
        """Whether an operation may start in a pod now."""
        free = _PLACES - self._running.total()
        if self._running[state.name.namespace] >= _NAMESPACE_SHARE * free:
            return False
        operation = state.next_operation(now)
        if operation is Operation.LOCATE:
            return self._locating < _LOCATING_PLACES
        if operation not in _WRITES:
            return True
        weight = self._weight(state)
        if state in self._weights or weight <= BIG_LINES or sum(self._weights.values()) + weight <= _MOST_LINES:
            return True
        namespaces = {big.name.namespace for big in self._weights}
        return state.name.namespace not in namespaces and len(namespaces) < _BIG_NAMESPACES

    def _weight(self, state: PodState) -> int:
        return self._planner.cluster.weight(state.name)

    def _start(self, state: PodState, operation: Operation, now: float) -> None:
        attempt = state.start(operation, now)
        is_big = operation in _WRITES and (weight := self._weight(state)) > BIG_LINES
        if is_big:
            self._weights[state] = weight
        try:
            plan = self._planner.plan(state, attempt) if attempt.sandbox is not None else None
        except Exception as error:  # noqa: BLE001 - plugins plan it, too: their errors concern this pod alone
            step = Step(state, attempt)
            self._occupy(step)
            self._submit([step], partial(_failed, error))
            return
        step = Step(state, attempt, plan)
        if plan is None or plan.outside is None:
            self.enter(step)
            return
        if (namespace := state.name.namespace) not in self._slices:
            self._slices[namespace] = []
            self._occupy(step)
        self._slices[namespace].append(step)
        if is_big or len(self._slices[namespace]) == _SLICE:
            self._start_slice(namespace)

    def _start_slice(self, namespace: str) -> None:
        self._submit(self._slices.pop(namespace), self._outside)

    def _occupy(self, step: Step) -> None:
        self._running[step.state.name.namespace] += 1
        self._locating += step.attempt.operation is Operation.LOCATE

    def _submit(self, steps: Sequence[Step], submit: Callable[[Sequence[Step]], "Future[Sequence[Finished]]"]) -> None:
        try:
            results = submit(steps)
        except Exception as error:  # noqa: BLE001 - an executor that takes no work
            results = _failed(error)
        results.add_done_callback(lambda results: self._done(Job(steps, results)))

    def _outside(self, steps: Sequence[Step]) -> "Future[Sequence[Finished]]":
        return self._pool.submit(None, lambda: [self._tried(step) for step in steps])

    def _inside(self, steps: Sequence[Step]) -> "Future[Sequence[Finished]]":
        (step,) = steps
        if step.plan is None or step.attempt.sandbox is None:
            return self._locator_executor.submit(self._locate, step.state, self._planner.cluster.pod(step.state.name))
        inside = step.plan.inside
        return self._pool.submit(step.attempt.sandbox, lambda: [inside()])

    def _locate(self, state: PodState, pod: Pod | None) -> "Sequence[Finished]":
        if pod is None:
            raise SandboxNotFoundError(f"pod {state.name} is not known any more")
        return [Located(sandbox=self._locator.locate(pod))]

    def _tried(self, step: Step) -> Finished:
        """Go the way outside: an error is one pod's, not the whole job's. Inside, a sandbox that has gone is found."""
        sandbox, outside = step.attempt.sandbox, step.plan.outside if step.plan is not None else None
        if sandbox is None or outside is None or not self._pool.is_there(sandbox):
            return None
        try:
            return outside()
        except Exception as error:  # noqa: BLE001 - a plugin's; it belongs to the attempt
            return error


def _failed(error: Exception, _steps: Sequence[Step] = ()) -> "Future[Sequence[Finished]]":
    failed: Future[Sequence[Finished]] = Future()
    failed.set_exception(error)
    return failed
