"""The plugin's service: answers to the runtime's calls, by the gatekeeper's decisions.

It knows no connection: `mnp_nri.session` reads requests, keeps the time and sends the answers.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

from attrs import evolve

from mnp_core.api import Gatekeeper
from mnp_nri.messages import MESSAGES
from mnp_nri.pods import Described, describe, running

GATE: Final = "nri"
DEFAULT_TIMEOUT: Final = 2.0
"""Seconds in which a plugin has to answer, by the runtime's default; then the runtime goes on without it."""


class Code(IntEnum):
    """Codes of gRPC. Never DEADLINE_EXCEEDED or UNAVAILABLE, which are for failures of the connection."""

    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13


class RefusedError(Exception):
    """The answer to a call that fails."""

    def __init__(self, message: str, code: Code = Code.FAILED_PRECONDITION) -> None:
        self.code = code
        super().__init__(message)


class Event(IntEnum):
    """Events to subscribe to; their bits count from 1."""

    RUN_POD_SANDBOX = 1
    STOP_POD_SANDBOX = 2
    REMOVE_POD_SANDBOX = 3
    CREATE_CONTAINER = 4


_MASK: Final = sum(1 << (event - 1) for event in Event)
_OF_NO_USE: Final = frozenset(
    {
        "Shutdown",
        "UpdatePodSandbox",
        "PostUpdatePodSandbox",
        "PostCreateContainer",
        "StartContainer",
        "PostStartContainer",
        "UpdateContainer",
        "PostUpdateContainer",
        "StopContainer",
        "RemoveContainer",
        "ValidateContainerAdjustment",
    }
)


class PluginService:
    """The methods of NRI's service Plugin, for one registration. Calls may come on many threads."""

    def __init__(self, keeper: Gatekeeper) -> None:
        self._keeper = keeper
        self._listed: list[Described] = []
        self._paths: dict[str, str] = {}  # of known sandboxes: at the removal the runtime has forgotten them
        self._methods: Mapping[str, Callable[[bytes, float], Any]] = {
            "Configure": self._configure,
            "Synchronize": self._synchronize,
            "RunPodSandbox": self._admit,
            "CreateContainer": self._admit_again,
            "StopPodSandbox": self._stopped,
            "RemovePodSandbox": self._stopped,
            "StateChange": self._state_change,
        }
        self.timeout = DEFAULT_TIMEOUT
        self.synchronized = False

    def call(self, method: str, payload: bytes, seconds: float) -> bytes:
        """Answer a call.

        Args:
            method: The method's name.
            payload: Its serialised argument.
            seconds: The longest wait for a decision.

        Raises:
            RefusedError: The call fails.
            google.protobuf.message.DecodeError: The payload cannot be read.
        """
        if method in _OF_NO_USE:
            return b""  # each answer without content
        if method not in self._methods:
            raise RefusedError(f"mnp does not know the method {method!r:.80}", Code.UNIMPLEMENTED)
        answer = self._methods[method](payload, seconds)
        return b"" if answer is None else bytes(answer.SerializeToString())

    def _configure(self, payload: bytes, _: float) -> Any:
        """Subscribe. A call that this plugin does not answer has to fail, where the runtime knows that policy."""
        asked = MESSAGES["ConfigureRequest"].FromString(payload)
        if asked.request_timeout > 0:  # in milliseconds
            self.timeout = asked.request_timeout / 1000
        policy = MESSAGES["FailurePolicy"](fail_request=True, keep_connected=True)
        return MESSAGES["ConfigureResponse"](events=_MASK, failure_policy=policy)

    def _synchronize(self, payload: bytes, _: float) -> Any:
        """Take the list of pods, or the next part of it."""
        part = MESSAGES["SynchronizeRequest"].FromString(payload)
        self._listed += map(describe, part.pods)
        if not part.more:
            self._paths = {each.id: each.start.netns for each in self._listed if each.start.netns}
            self._keeper.running(GATE, running(self._listed))
            self._listed = []
            self.synchronized = True
        return MESSAGES["SynchronizeResponse"](more=part.more)

    def _state_change(self, payload: bytes, seconds: float) -> None:
        """The events about pods, as NRI before 0.12 sends them."""
        event = MESSAGES["StateChangeEvent"].FromString(payload)
        if event.event == Event.RUN_POD_SANDBOX:
            self._hold(describe(event.pod), seconds)
        elif event.event in {Event.STOP_POD_SANDBOX, Event.REMOVE_POD_SANDBOX}:
            self._forget(describe(event.pod))

    def _admit_again(self, payload: bytes, seconds: float) -> None:
        """Hold a container: others of the pod may have run."""
        sandbox = describe(MESSAGES["PodRequest"].FromString(payload).pod)
        self._hold(evolve(sandbox, start=evolve(sandbox.start, fresh=False)), seconds)

    def _admit(self, payload: bytes, seconds: float) -> None:
        self._hold(describe(MESSAGES["PodRequest"].FromString(payload).pod), seconds)

    def _stopped(self, payload: bytes, _: float) -> None:
        self._forget(describe(MESSAGES["PodRequest"].FromString(payload).pod))

    def _hold(self, sandbox: Described, seconds: float) -> None:
        if not sandbox.namespaced:
            return  # on the host's network: none of its interfaces is a pod's
        if not sandbox.start.netns:
            raise RefusedError(
                f"pod {sandbox.start.pod!s:.200}: the container runtime gives neither path nor process of its network "
                "namespace: upgrade the runtime, or take nri out of the setting gates"
            )
        self._paths[sandbox.id] = sandbox.start.netns
        decision = self._keeper.admit(sandbox.start, seconds=seconds)
        if not decision.admitted:
            raise RefusedError(
                decision.reason or f"pod {sandbox.start.pod!s:.200}: its network policies are not in force"
            )

    def _forget(self, sandbox: Described) -> None:
        """Without a path of this very sandbox there is nothing to forget: a newer sandbox of the pod may be running."""
        path = self._paths.pop(sandbox.id, "") or sandbox.start.netns
        if path:
            self._keeper.stopped(sandbox.start.pod, sandbox.start.uid, path)
