"""Do work in many sandboxes at once, in each of them one thing after the other.

Some packet filters wait, for a program or for a grace period of the kernel (RCU), so many threads pay even on few
processors. But two changes of one sandbox must neither overlap nor overtake each other, and a sandbox that hangs must
not hold up the others.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.sandbox.netns import Identity, is_there, run_here

T = TypeVar("T")
_NOWHERE: Final = -1  # no device has this number


@frozen(kw_only=True, eq=False)
class _Task:
    future: Future[Any]
    sandbox: Sandbox | None
    work: Callable[[], Any]

    @property
    def identity(self) -> Identity:
        """Of the sandbox; a task outside of any is alone with its own."""
        return (self.sandbox.device, self.sandbox.inode) if self.sandbox is not None else (_NOWHERE, id(self))


class SandboxPool:
    """Threads that serve sandboxes; each task enters, is checked and comes back as in `run_inside`.

    Tasks of one sandbox (one device and inode, by any path) run one at a time in the order of submission.
    Sandboxes with tasks take turns, so none starves another. Threads are made when they are needed and
    do not keep the process alive. Any thread may use a pool but its own, which would wait for itself.
    """

    def __init__(self, workers: int = 32) -> None:
        """Make a pool of at most that many threads; there are none yet."""
        self._workers = workers
        self._changed = threading.Condition()  # guards all that follows
        self._tasks: dict[Identity, deque[_Task]] = {}  # never an empty queue; the first task is next, or running
        self._turns: deque[Identity] = deque()  # sandboxes that have a task and no thread yet
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def submit(self, sandbox: Sandbox | None, work: Callable[[], T]) -> Future[T]:
        """Submit work for the sandbox; None for work that enters none.

        Returns:
            The work's future; its errors are those of `run_inside`. It can be cancelled until the work starts.

        Raises:
            RuntimeError: The pool is closed.
        """
        task = _Task(future=Future(), sandbox=sandbox, work=work)
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool of sandbox threads is closed")
            if task.identity not in self._tasks:
                self._find_thread()  # first, as it may fail
                self._turns.append(task.identity)
            self._tasks.setdefault(task.identity, deque()).append(task)
        return task.future

    def is_there(self, sandbox: Sandbox) -> bool:
        """Whether its path still leads to it."""
        return is_there(sandbox)

    def run(self, sandbox: Sandbox, work: Callable[[], T]) -> T:
        """Run the work in the sandbox, wait, and return or raise its result."""
        if threading.current_thread() in self._threads:
            raise RuntimeError("work in a sandbox must not wait for the pool that it runs on")
        return self.submit(sandbox, work).result()

    def cancel(self) -> None:
        """Drop all tasks not yet started."""
        with self._changed:
            waiting = [task.future for tasks in self._tasks.values() for task in tasks]
        for future in waiting:
            future.cancel()

    def close(self) -> None:
        """Take no more tasks, do those that were submitted, end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while threads := tuple(self._threads):
            for thread in threads:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; after an error, drop the tasks not yet started."""
        if error is not None:
            self.cancel()
        self.close()

    def _find_thread(self) -> None:
        """See that a thread takes one turn more than there are. The lock is held."""
        if self._idle > len(self._turns):
            self._changed.notify()
        elif len(self._threads) < self._workers:
            self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)
        thread.start()
        self._threads.add(thread)

    def _serve(self) -> None:
        """A thread's main loop; it ends with the pool, or if the thread cannot come back from a sandbox."""
        try:
            while self._serve_one():
                pass
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())
                if self._turns:
                    self._leave_turns()

    def _leave_turns(self) -> None:
        """See that the turns of a thread that ends are taken. The lock is held.

        A new thread inherits the privileges of its parent, and this one may have lost them: it starts one only if there
        is no other. At worst the work is refused then, and its future fails.
        """
        if self._threads:
            self._changed.notify()
        else:
            self._start_thread()

    def _serve_one(self) -> bool:
        task = self._next()
        if task is None:
            return False
        try:
            return run_here(task.future, task.sandbox, task.work)
        finally:
            self._done(task)

    def _next(self) -> _Task | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._turns or self._closed)
            self._idle -= 1
            return self._tasks[self._turns.popleft()][0] if self._turns else None

    def _done(self, task: _Task) -> None:
        """Give the sandbox another turn if it has more to do; this thread is free to take it."""
        with self._changed:
            tasks = self._tasks[task.identity]
            tasks.popleft()
            if tasks:
                self._turns.append(task.identity)
            else:
                del self._tasks[task.identity]
