"""Looks into the kernels of pods for those who ask: each within a limit of time, and a failure in words."""

from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import MnpError
from mnp_core.model import RuleCounter
from mnp_core.sandbox.pool import SandboxPool

T = TypeVar("T")

CounterKey = tuple[str, str, str]
"""Interface, direction and label."""


@frozen
class Kernels:
    """The way into pods' network namespaces, by the threads that write rules.

    Attributes:
        pool: Those threads.
        seconds: For one look; rules may be written just now.
    """

    pool: SandboxPool
    seconds: float

    def look(self, sandbox: Sandbox, work: Callable[[], T]) -> T:
        """Call a function inside of a sandbox.

        Raises:
            TimeoutError: It took too long; it may still run.
            Exception: As the function raises it.
        """
        future = self.pool.submit(sandbox, work)
        try:
            return future.result(self.seconds)
        finally:
            future.cancel()

    def words(self, error: Exception) -> str:
        """A failed look: a plugin may raise any exception."""
        if isinstance(error, FutureTimeoutError):
            return f"no answer in {self.seconds:g} s"
        return str(error) if isinstance(error, MnpError) else f"{type(error).__name__}: {error}"


def summed(counters: Iterable[RuleCounter]) -> dict[CounterKey, tuple[int, int]]:
    """Packets and bytes of each rule of a policy: backends may have several rules for it."""
    sums: dict[CounterKey, tuple[int, int]] = {}
    for counter in counters:
        key = counter.interface, counter.direction, counter.label
        packets, octets = sums.get(key, (0, 0))
        sums[key] = packets + counter.packets, octets + counter.bytes
    return sums
