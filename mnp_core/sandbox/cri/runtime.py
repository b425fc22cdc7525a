"""Client of a container runtime: few calls, each with a deadline."""

import os
import stat
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from mnp_core.errors import SandboxError, SandboxNotFoundError
from mnp_core.sandbox.cri.call import DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE, UNIMPLEMENTED, CallError, call
from mnp_core.sandbox.cri.info import SandboxInfo, parse_info
from mnp_core.sandbox.cri.wire import SERVICE, RuntimeSandbox, list_request, read_info, read_list, status_request

_Answer = TypeVar("_Answer")

_SECONDS: Final = 2.0  # for a call; a runtime answers within milliseconds
_REMEDY: Final = "see that the container runtime runs and the directory of its socket is mounted, or name another"


class Runtime:
    """A client of CRI's RuntimeService v1. Thread safe; each call connects."""

    def __init__(self, socket: str, *, seconds: float = _SECONDS) -> None:
        """Make a client.

        Args:
            socket: The path of the runtime's unix socket.
            seconds: How long a call may take.
        """
        self._socket = socket
        self._seconds = seconds

    def sandboxes(self, labels: Mapping[str, str]) -> tuple[RuntimeSandbox, ...]:
        """List sandboxes that have all of these labels, running or not.

        Raises:
            SandboxError: The runtime is unreachable, or its answer is invalid.
        """
        return self._call("ListPodSandbox", list_request(labels), read_list)

    def sandbox_info(self, sandbox: str) -> SandboxInfo:
        """The location of a sandbox, by the runtime's name for it.

        Raises:
            SandboxNotFoundError: It has gone.
            SandboxError: The runtime is unreachable, or its answer is invalid.
        """
        return parse_info(self._call("PodSandboxStatus", status_request(sandbox), read_info))

    def _call(self, method: str, request: bytes, read: Callable[[bytes], _Answer]) -> _Answer:
        try:
            return read(call(self._socket, f"/{SERVICE}/{method}", request, self._seconds))
        except CallError as error:
            raise self._explained(error) from None  # its traceback adds no information
        except ValueError as error:
            raise SandboxError(f"{self._socket}: the container runtime's answer cannot be read: {error}") from error

    def _explained(self, error: CallError) -> SandboxError:
        """The error, phrased for the node's operator."""
        details = f"{error!s:.200}" or "no reason given"
        match error.code:
            case code if code == NOT_FOUND:
                return SandboxNotFoundError(f"{self._socket}: the sandbox has gone: {details}")
            case code if code == UNAVAILABLE:
                return SandboxError(f"{self._socket}: {_fault(self._socket) or f'no answer: {details}'}: {_REMEDY}")
            case code if code == DEADLINE_EXCEEDED:
                return SandboxError(
                    f"{self._socket}: the container runtime did not answer within {self._seconds:g} s: look at its log"
                )
            case code if code == UNIMPLEMENTED:
                return SandboxError(
                    f"{self._socket}: no CRI v1 there: it takes a runtime that Kubernetes 1.26 takes, containerd 1.6 "
                    "or newer for one, with its CRI plugin switched on; name another socket, or use the locator 'proc'"
                )
        return SandboxError(f"{self._socket}: the container runtime refused (code {error.code}): {details}")


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
