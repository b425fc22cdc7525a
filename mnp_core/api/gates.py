"""Gates: a pod's containers start when its rules are in force.

A gate stands where the container runtime or CNI makes a pod's sandbox, for instance at NRI or behind a CNI plugin. It
describes each new sandbox to the agent's `Gatekeeper` and holds the pod's start until the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import Address, ObjectName


@frozen(kw_only=True)
class GateInterface:
    """An interface in a new sandbox, from the result of its CNI plugin.

    Attributes:
        name: In the sandbox.
        network: The network attachment definition, ``namespace/name`` or a name in the pod's namespace; empty if
            unknown.
        addresses: All of its IP addresses.
        mac: Lower case; empty if unknown.
    """

    name: str
    network: str = ""
    addresses: tuple[Address, ...] = ()
    mac: str = ""


@frozen(kw_only=True)
class PodStart:
    """A pod with a sandbox, whose containers have not started yet, or a running one.

    Attributes:
        pod: Namespace and name, as the runtime has them from the kubelet.
        uid: The pod's UID, from the same source; empty if unknown.
        netns: Absolute path of its network namespace on the host.
        interfaces: Interfaces made so far, if the gate knows them.
        annotations: The pod's annotations at the creation of the sandbox; None if the gate does not see them.
        fresh: Whether no container of the pod can have started yet. Then connections that the pod's network namespace
            tracks are forgotten: some may be older than its rules.
    """

    pod: ObjectName
    uid: str
    netns: str
    interfaces: tuple[GateInterface, ...] = ()
    annotations: Mapping[str, str] | None = field(default=None, hash=False)
    fresh: bool = True


class Admission(StrEnum):
    """The state of a pod's interfaces at the end of the wait."""

    IN_FORCE = "InForce"  # the pod's rules are in force, or it needs none
    DENIED = "Denied"  # all its secondary interfaces deny everything, until its policies are known
    OPEN = "Open"  # the limit is over and a setting opens the gate: reported
    REFUSED = "Refused"  # the pod must not start; the kubelet retries


@frozen(kw_only=True)
class Decision:
    """The answer to a gate.

    Attributes:
        admission: See Admission.
        reason: For `Admission.REFUSED` and `Admission.OPEN`, the problem and the remedy; else empty.
    """

    admission: Admission
    reason: str = ""

    @property
    def admitted(self) -> bool:
        """Whether the pod may start."""
        return self.admission is not Admission.REFUSED


class Gatekeeper(Protocol):
    """The agent's side of a gate. All methods may be called on any thread, many at once, and never raise."""

    def admit(self, start: PodStart, *, seconds: float | None = None) -> Decision:
        """Wait until the pod's rules are in force, or the limit is over.

        Args:
            start: The pod. A later call for the same sandbox adds to earlier ones, for instance one interface each.
            seconds: The longest wait that the gate can afford, shorter than the node's limit; None if any.
        """

    def running(self, gate: str, pods: Sequence[PodStart]) -> None:
        """Replace the list of all pods that a runtime has now; for gates that get it when they connect.

        Args:
            gate: The gate's name, for instance ``nri``.
            pods: All running pods.
        """

    def stopped(self, pod: ObjectName, uid: str, netns: str = "") -> None:
        """Forget a sandbox that has ended; one that is unknown is no error. Without a path, every one of the pod."""


class Gate(Protocol):
    """Describes new sandboxes to the agent and holds their pods.

    It works on threads of its own, connects again by itself, and never lets a failure of its own end the process.
    """

    def open(self, keeper: Gatekeeper) -> None:
        """Begin, and return at once.

        Raises:
            InputError: A setting cannot be used.
            UnsupportedError: This machine lacks a requirement for good.
        """

    def close(self) -> None:
        """End: stop all threads, close all sockets. Waiting starts are refused by the gate's own means."""

    @property
    def problem(self) -> str:
        """Why starts pass the gate by at present, with the remedy; empty if all are held."""


@frozen(kw_only=True)
class GateSpec:
    """Registers a `Gate`; the factory gets the settings that are meant for it."""

    name: str
    factory: Callable[[Mapping[str, str]], Gate]
