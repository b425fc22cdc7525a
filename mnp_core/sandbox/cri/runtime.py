"""Client of a container runtime: one channel, few calls, each with a deadline."""

import os
import stat
from collections.abc import Mapping
from typing import Any, Final

import grpc
from attrs import frozen

from mnp_core.errors import SandboxError, SandboxNotFoundError
from mnp_core.sandbox.cri.info import SandboxInfo, parse_info
from mnp_core.sandbox.cri.wire import MESSAGES, READY, SERVICE

_SECONDS: Final = 2.0  # for a call; a runtime answers within milliseconds
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),  # as the kubelet has it
    ("grpc.initial_reconnect_backoff_ms", 100),  # the default grows to two minutes, and a restart takes a second
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_REMEDY: Final = "see that the container runtime runs and the directory of its socket is mounted, or name another"


@frozen(kw_only=True)
class RuntimeSandbox:
    """A pod's sandbox as the runtime lists it.

    Attributes:
        id: The runtime's name for it.
        namespace: Of the pod.
        name: Of the pod.
        uid: Of the pod, as the kubelet has it.
        ready: Whether it is running.
        created: When, in nanoseconds since 1970.
    """

    id: str
    namespace: str
    name: str
    uid: str
    ready: bool
    created: int


class Runtime:
    """A client of CRI's RuntimeService v1. Thread safe; it connects at the first call and reconnects as needed."""

    def __init__(self, socket: str, *, seconds: float = _SECONDS) -> None:
        """Make a client; it connects at the first call.

        Args:
            socket: The path of the runtime's unix socket.
            seconds: How long a call may take.
        """
        self._socket = socket
        self._seconds = seconds
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS)
        self._list = self._method("ListPodSandbox")
        self._status = self._method("PodSandboxStatus")

    def sandboxes(self, labels: Mapping[str, str]) -> tuple[RuntimeSandbox, ...]:
        """List sandboxes that have all of these labels, running or not.

        Raises:
            SandboxError: The runtime is unreachable.
        """
        request = MESSAGES["ListPodSandboxRequest"](filter={"label_selector": labels})
        return tuple(_sandbox(item) for item in self._call(self._list, request).items)

    def sandbox_info(self, sandbox: str) -> SandboxInfo:
        """The location of a sandbox, by the runtime's name for it.

        Raises:
            SandboxNotFoundError: It has gone.
            SandboxError: The runtime is unreachable, or its answer is invalid.
        """
        request = MESSAGES["PodSandboxStatusRequest"](pod_sandbox_id=sandbox, verbose=True)
        return parse_info(self._call(self._status, request).info)

    def close(self) -> None:
        """Disconnect."""
        self._channel.close()

    def _method(self, name: str) -> Any:
        request, response = MESSAGES[f"{name}Request"], MESSAGES[f"{name}Response"]
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def _call(self, method: Any, request: object) -> Any:
        try:
            return method(request, timeout=self._seconds)
        except grpc.RpcError as error:
            raise self._explained(error) from None  # gRPC's own traceback holds the call, and adds no information

    def _explained(self, error: Any) -> SandboxError:
        """The error, phrased for the node's operator."""
        details = f"{error.details() or error.code().name:.200}"
        match error.code():
            case grpc.StatusCode.NOT_FOUND:
                return SandboxNotFoundError(f"{self._socket}: the sandbox has gone: {details}")
            case grpc.StatusCode.UNAVAILABLE:
                return SandboxError(f"{self._socket}: {_fault(self._socket) or f'no answer: {details}'}: {_REMEDY}")
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return SandboxError(
                    f"{self._socket}: the container runtime did not answer within {self._seconds:g} s: look at its log"
                )
            case grpc.StatusCode.UNIMPLEMENTED:
                return SandboxError(
                    f"{self._socket}: no CRI v1 there: it takes a runtime that Kubernetes 1.26 takes, containerd 1.6 "
                    "or newer for one, with its CRI plugin switched on; name another socket, or use the locator 'proc'"
                )
        return SandboxError(f"{self._socket}: the container runtime refused ({error.code().name}): {details}")


def _sandbox(item: Any) -> RuntimeSandbox:
    return RuntimeSandbox(
        id=item.id,
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        uid=item.metadata.uid,
        ready=item.state == READY,
        created=item.created_at,
    )


def _fault(socket: str) -> str:
    """The fault of a socket, as far as its file shows."""
    try:
        mode = os.stat(socket).st_mode  # noqa: PTH116 # as in the rest of this package
    except FileNotFoundError:
        return "there is no such socket"
    except OSError as error:
        return f"the socket cannot be reached ({error.strerror})"
    if not stat.S_ISSOCK(mode):
        return "not a socket"
    return "" if os.access(socket, os.W_OK) else "this process may not open the socket, only root may"
