"""Denies everything on interfaces of a sandbox whose policies are not known yet."""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Protocol

from mnp_core.api import Sandbox
from mnp_core.backend import Backend
from mnp_core.classes import frozen
from mnp_core.cluster.state import denied
from mnp_core.model import CommonRules, ObjectName, SandboxPolicy


class Pool(Protocol):
    """The method of `mnp_core.sandbox.pool.SandboxPool` used here."""

    def submit(self, sandbox: Sandbox, work: Callable[[], None]) -> Future[None]:
        """Run work inside a sandbox, in the order of submission for each."""


@frozen(kw_only=True)
class Denial:
    """Denies everything, until the agent's own rules replace these.

    Attributes:
        backend: Of sandboxes without known attachments.
        pool: Runs work inside sandboxes.
        common: The node's settings.
    """

    backend: Backend
    pool: Pool
    common: CommonRules

    def submit(self, sandbox: Sandbox, interfaces: Collection[str]) -> Future[None]:
        """Deny everything on these interfaces; the future raises the errors of `RuleApplier.apply`."""
        policy = SandboxPolicy(
            pod=ObjectName("", ""), interfaces=tuple(map(denied, sorted(interfaces))), common=self.common
        )
        return self.pool.submit(sandbox, lambda: self.backend.applier.apply(self.backend.renderer.render(policy)))
