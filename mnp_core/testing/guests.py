"""A `Wire` whose pod may have a guest behind its interface: rules are in the pod, sockets in the guest."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from mnp_core.api import PolicyRenderer, RuleApplier
from mnp_core.model import Ruleset, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.hosts import INSIDE, OUTSIDE, EnforcedHost, Host, Wire
from mnp_core.testing.netns import End, private_namespace
from mnp_core.testing.wiring import WiredSandbox, Wiring

T = TypeVar("T")


class EnforcedGuest(EnforcedHost):
    """The sockets of a guest, and the rules of its pod."""

    def __init__(
        self,
        sandbox: WiredSandbox,
        cleanup: ExitStack,
        renderer: PolicyRenderer,
        applier: RuleApplier,
        locate: Callable[[SandboxPolicy], SandboxPolicy],
    ) -> None:
        """Take over both namespaces; a policy gets its interfaces from `locate`, as `Wiring.located` does."""
        super().__init__(sandbox.packets, cleanup, renderer, applier)
        self.outside = sandbox.pod
        self._locate = locate

    def in_pod(self, work: Callable[[], T]) -> T:
        """Do something in the pod."""
        return run_inside(self.outside, work)

    def enforce(self, policy: SandboxPolicy) -> Ruleset:
        """Bring a policy into force."""
        return super().enforce(self._locate(policy))


class GuestWire(Wire):
    """A `Wire` in any `Wiring`."""

    pod: EnforcedGuest

    def __init__(self, cleanup: ExitStack, wiring: Wiring, renderer: PolicyRenderer, applier: RuleApplier) -> None:
        """Build it.

        Args:
            cleanup: Ends its life.
            wiring: Of the pod's interface.
            renderer: Of the backend that enforces.
            applier: Of the same.
        """
        self._cleanup = cleanup
        sandbox = wiring.make_pod(cleanup)
        self.pod = EnforcedGuest(sandbox, cleanup, renderer, applier, wiring.located)
        self.peer = Host(cleanup.enter_context(private_namespace()), cleanup)
        wiring.connect(End(self.peer.sandbox, "out", OUTSIDE), sandbox, "net1", INSIDE)
