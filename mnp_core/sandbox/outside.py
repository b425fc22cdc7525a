"""State that appliers keep outside of network namespaces: removed when a namespace is gone, swept at start.

Netfilter's rules go with their namespace; pins, files and daemons do not. A namespace counts as gone when its path
leads to it no longer, never because its pod went: containers of a pod that was deleted by force may still run.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import structlog

from mnp_core.api import NodeState, Sandbox
from mnp_core.errors import UnsupportedError

_RETRY_SECONDS: Final = 60.0
_POSTPONED_SECONDS: Final = 5.0
SandboxList = Callable[[Callable[[UnsupportedError], None]], Iterable[Sandbox]]
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


class OutsideState:
    """Abandoned sandboxes that may still exist, and the appliers to call when they are gone."""

    def __init__(self, appliers: Mapping[str, NodeState], list_sandboxes: SandboxList) -> None:
        """Start with a sweep due.

        Args:
            appliers: By the name of the backend; may be empty.
            list_sandboxes: Every network namespace of this machine; calls its argument for each that is hidden.
        """
        self._appliers = appliers
        self._list_sandboxes = list_sandboxes
        self._left: set[Sandbox] = set()
        self._sweep_at: float | None = 0.0

    def leave(self, sandbox: Sandbox) -> None:
        """Take over a sandbox without a pod, as far as known to the agent."""
        if self._appliers:
            self._left.add(sandbox)

    def tend(
        self,
        used: Iterable[Sandbox | None],
        is_there: Callable[[Sandbox], bool],
        now: float | None = None,
    ) -> None:
        """Remove the state of deleted namespaces; to be called about every second, on the agent's thread.

        Args:
            used: The sandboxes of the agent's current pods, None for each that is not found yet. Their state is never
                touched: with a pod missing and a namespace hidden, the sweep waits.
            is_there: Whether a sandbox's path still leads to it.
            now: time.monotonic().
        """
        if not self._appliers:
            return
        now = time.monotonic() if now is None else now
        pods = tuple(used)
        kept = {_identity(sandbox): sandbox for sandbox in pods if sandbox is not None}
        for sandbox in tuple(self._left):
            if not is_there(sandbox):
                self._left.discard(sandbox)
                if _identity(sandbox) not in kept:  # else another one has its numbers by now, and its rules
                    self._each(now, partial(_forget, sandbox))
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep(kept, now, all_found=None not in pods)

    def _sweep(self, kept: Mapping[tuple[int, int], Sandbox], now: float, *, all_found: bool) -> None:
        hidden: list[UnsupportedError] = []
        seen = {_identity(sandbox): sandbox for sandbox in (*self._list_sandboxes(hidden.append), *self._left)}
        known = {**seen, **kept}
        if hidden and not all_found:  # a pod without a located sandbox may be in the hidden one
            self._sweep_at = now + _POSTPONED_SECONDS
            return
        self._sweep_at = None
        self._each(now, lambda applier: applier.sweep(tuple(known.values())))

    def _each(self, now: float, call: Callable[[NodeState], None]) -> None:
        for name, applier in self._appliers.items():
            try:
                call(applier)
            except Exception as error:  # noqa: BLE001 - a plugin's failure here concerns deleted namespaces, no pod
                self._failed(name, now, error)

    def _failed(self, backend: str, now: float, error: Exception) -> None:
        self._sweep_at = now + _RETRY_SECONDS
        problem = f"{type(error).__name__}: {error}"
        _log.warning("state outside of sandboxes not removed", backend=backend, error=problem)


def _forget(sandbox: Sandbox, applier: NodeState) -> None:
    applier.forget(sandbox)


def _identity(sandbox: Sandbox) -> tuple[int, int]:
    return sandbox.device, sandbox.inode
