"""Has things done in sandboxes: the most urgent one of each pod, one at a time for each, many pods at once.

Namespaces take turns, and none has all places: a tenant whose pods take long to write to delays those alone. Work is
made when it begins, so that it is made of what holds then, and nothing big waits in memory.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

from mnp_core.agent.enforcement import InForce
from mnp_core.agent.jobs import Job, JobMaker
from mnp_core.agent.localpod import LocalPod, Task
from mnp_core.api import Sandbox, SandboxLocator
from mnp_core.errors import SandboxNotFoundError
from mnp_core.turns import Turns

_PLACES = 32  # pods that something is under way in
_FINDERS = 16  # of which the sandbox is being looked for
_SHARE = 7  # times as many places as are free may be taken by one namespace: 28 of 32, and there is always one free
BIG = 1000  # lines of rules; what is smaller is no matter
_MOST_AT_ONCE = 10_000  # lines of rules of all that is big
_FEW_BIG = 2  # namespaces with something bigger than that under way
_SLICE = 0.02  # seconds for which work is begun, until what has happened meanwhile is looked at


class Pool(Protocol):
    """What the agent needs of `mnp_core.sandbox.pool.SandboxPool`."""

    def submit(self, sandbox: Sandbox, work: Callable[[], InForce]) -> "Future[InForce]":
        """Run work inside a sandbox, in the order of submission for each."""

    def is_there(self, sandbox: Sandbox) -> bool:
        """Whether its path still leads to it."""


class Client(Protocol):
    """Who is told what became of it; `LocalPod.busy` is over by then, and what is wished next begins after it."""

    def located(self, local: LocalPod, future: "Future[Sandbox]") -> None:
        """A sandbox was found, or not."""

    def done(self, local: LocalPod, job: Job, future: "Future[InForce]") -> None:
        """Something was done, or failed."""

    def unprepared(self, local: LocalPod, task: Task | None, error: Exception) -> None:
        """Something could not even be begun: plugins prepare it."""


class Crew:
    """Works for a client; both belong to one thread."""

    def __init__(
        self,
        *,
        client: Client,
        post: Callable[[Callable[[], None]], None],
        jobs: JobMaker,
        locator: SandboxLocator,
        pool: Pool,
        errands: Executor,
    ) -> None:
        """Begin with nothing to do.

        Args:
            client: Told what becomes of everything.
            post: Has something called on the thread of the two; from any.
            jobs: Makes work of wishes.
            locator: Finds sandboxes.
            pool: Runs work in them.
            errands: Runs the locator, which may have to wait for others.
        """
        self._client = client
        self._post = post
        self._jobs = jobs
        self._locator = locator
        self._pool = pool
        self._errands = errands
        self._waiting: set[LocalPod] = set()
        self._ready: Turns[LocalPod] = Turns()
        self._under_way: Counter[str] = Counter()  # pods, by namespace
        self._finding = 0
        self._weights: dict[LocalPod, int] = {}  # of what is big and under way
        self._winding_down = False

    @property
    def busy(self) -> int:
        """How many pods have something under way, or to be begun as soon as there is a place."""
        return self._under_way.total() + len(self._ready)

    @property
    def can_begin(self) -> bool:
        """Whether `begin_due` has something to do at once."""
        return self._ready.has(self._has_place)

    def advance(self, local: LocalPod) -> None:
        """Have the next thing in a pod begun, if there is one, its time has come, and nothing is under way."""
        due = local.due() if self._may_begin(local) else None
        self._waiting.discard(local)
        if due is None:
            return
        if due > time.monotonic():
            self._waiting.add(local)
            return
        if not local.queued:
            local.queued = True
            self._ready.add(local.name.namespace, [local])

    def soonest(self) -> float | None:
        """When something is due next (time.monotonic)."""
        return min((due for local in self._waiting if (due := local.due()) is not None), default=None)

    def begin_due(self) -> None:
        """Begin everything whose time has come."""
        soonest = self.soonest()
        if soonest is not None and soonest <= time.monotonic():
            for local in tuple(self._waiting):
                self.advance(local)
        end = time.monotonic() + _SLICE
        while time.monotonic() < end:
            ready = self._ready.take_first(self._has_place)
            if ready is None:
                return
            ready.queued = False
            self._begin(ready)

    def _begin(self, local: LocalPod) -> None:
        if local.due() is None or not self._may_begin(local):  # it is gone, or there is nothing to do any more
            return
        local.busy = True
        local.begun = time.monotonic()
        self._under_way[local.name.namespace] += 1
        if local.sandbox is None:
            self._finding += 1
            self._find(local)
            return
        if local.wishes.next() in {Task.REPLACE, Task.FINISH} and (weight := self._weight(local)) > BIG:
            self._weights[local] = weight
        self._start(local, local.sandbox)

    def _weight(self, local: LocalPod) -> int:
        return self._jobs.cluster.weight(local.name)

    def _has_place(self, local: LocalPod) -> bool:
        """Whether something may be begun in a pod now."""
        total = self._under_way.total()
        if self._under_way[local.name.namespace] >= _SHARE * (_PLACES - total):
            return False
        if local.sandbox is None:
            return self._finding < _FINDERS
        if local.wishes.next() not in {Task.REPLACE, Task.FINISH}:
            return True
        weight = self._weight(local)
        if weight <= BIG or sum(self._weights.values()) + weight <= _MOST_AT_ONCE:
            return True
        spaces = {big.name.namespace for big in self._weights}
        return local.name.namespace not in spaces and len(spaces) < _FEW_BIG

    def wind_down(self) -> None:
        """Begin nothing any more but what completes something that was begun, and that at once."""
        self._winding_down = True
        for local in tuple(self._waiting):
            local.finish_at = 0.0
            self.advance(local)

    def _may_begin(self, local: LocalPod) -> bool:
        return not self._winding_down or local.wishes.next() is Task.FINISH

    def _find(self, local: LocalPod) -> None:
        pod = self._jobs.cluster.pod(local.name)
        if pod is None:
            future: Future[Sandbox] = Future()
            future.set_exception(SandboxNotFoundError(f"pod {local.name} is not known any more"))
        else:
            future = self._errands.submit(self._locator.locate, pod)
        future.add_done_callback(lambda future: self._post(partial(self._located, local, future)))

    def _start(self, local: LocalPod, sandbox: Sandbox) -> None:
        task = local.wishes.next()
        try:
            job = self._jobs.make(local, time.monotonic())
            future = self._pool.submit(sandbox, job.run)
        except Exception as error:  # noqa: BLE001 - plugins prepare it: whatever they raise concerns this pod alone
            self._release(local)
            self._client.unprepared(local, task, error)
            self.advance(local)
            return
        future.add_done_callback(lambda future: self._post(partial(self._done, local, job, future)))

    def _located(self, local: LocalPod, future: "Future[Sandbox]") -> None:
        self._finding -= 1
        self._release(local)
        self._client.located(local, future)
        self.advance(local)

    def _done(self, local: LocalPod, job: Job, future: "Future[InForce]") -> None:
        self._release(local)
        self._client.done(local, job, future)
        self.advance(local)

    def _release(self, local: LocalPod) -> None:
        local.busy = False
        self._weights.pop(local, None)
        self._under_way[local.name.namespace] -= 1
        if not self._under_way[local.name.namespace]:
            del self._under_way[local.name.namespace]
