"""The common base of conformance classes with packets: pods that the backend enforces on, and their reset."""

from collections.abc import Callable
from contextlib import ExitStack

from mnp_core.api import Sandbox
from mnp_core.model import Installed, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance.applier import ApplierConformance
from mnp_core.testing.conformance.renderer import RendererConformance
from mnp_core.testing.hosts import EnforcedHost, Wire
from mnp_core.testing.netns import forget_connections
from mnp_core.testing.wired import WiredPod

Pods = Callable[..., WiredPod]

_SHOWN = 12  # of many surprises


class PodConformance(RendererConformance, ApplierConformance, standard=True):
    """For a renderer and an applier together."""

    def make_pod(self, sandbox: Sandbox, cleanup: ExitStack) -> EnforcedHost:
        """A pod that this backend enforces policy on."""
        return EnforcedHost(sandbox, cleanup, self.make_renderer(), self.make_applier())

    def make_wire(self, cleanup: ExitStack) -> Wire:
        """A pod and its neighbour."""
        return Wire(cleanup, self.make_pod)

    def forget_connections(self) -> None:
        """Forget every connection of the network namespace that the thread is in, so that packets are first packets.

        By default the kernel's connections, and those of an applier that is a `mnp_core.api.ConnectionTracker`.
        """
        forget_connections(self.make_applier())

    def wired(self, pods: Pods, *interfaces: str) -> WiredPod:
        """A wired pod of the fixture ``mnp_wired_pods`` with this class's way of forgetting connections."""
        pod = pods(*interfaces)
        pod.forget_connections = self.forget_connections
        return pod

    def agree(self, pod: WiredPod, policy: SandboxPolicy, *, most: int | None = None) -> None:
        """Make sure that packets get the verdicts of the policy in force."""
        asked = pod.questions(policy)
        step = 1 if most is None else max(1, len(asked) // most)
        wrong = pod.surprises(asked[::step])
        assert not wrong, f"{len(wrong)} of {len(asked[::step])} packets: " + "; ".join(map(str, wrong[:_SHOWN]))

    def read(self, where: Sandbox) -> Installed | None:
        """The result of a fresh applier's `installed` in a sandbox."""
        return run_inside(where, self.make_applier().installed)
