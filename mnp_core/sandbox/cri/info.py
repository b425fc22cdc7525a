"""The location of a sandbox, from the verbose part of the runtime's status.

CRI leaves that part to the runtime: JSON under the key ``info``. containerd gives ``pid``, ``netNamespaceClosed`` and
``runtimeSpec`` (SandboxInfo in its CRI plugin), CRI-O ``runtimeSpec``, and ``pid`` where the sandbox has a process
(``server/sandbox_status.go``); ``runtimeSpec`` is the OCI's. cri-dockerd gives nothing.
"""

from collections.abc import Mapping

import msgspec

from mnp_core.classes import frozen
from mnp_core.errors import SandboxError

INFO = "info"


class _Namespace(msgspec.Struct):
    type: str = ""
    path: str = ""


class _Linux(msgspec.Struct):
    namespaces: list[_Namespace] | None = None


class _Spec(msgspec.Struct):
    linux: _Linux | None = None


class _Info(msgspec.Struct, rename="camel"):
    pid: int = 0
    net_namespace_closed: bool = False
    runtime_spec: _Spec | None = None


_info = msgspec.json.Decoder(_Info)  # at import: two threads that decode to a new type at once crash msgspec


@frozen(kw_only=True)
class SandboxInfo:
    """Where a sandbox is, as the host has it.

    Attributes:
        path: Of its network namespace; empty if it is not known.
        pid: Of its first process; 0 if there is none, or it is not known.
        closed: Whether the runtime has let go of the network namespace.
    """

    path: str
    pid: int
    closed: bool = False


def parse_info(info: Mapping[str, str]) -> SandboxInfo:
    """Read the runtime's information about a sandbox; missing fields stay empty.

    Raises:
        SandboxError: It is not JSON of that form.
    """
    try:
        known = _info.decode(info.get(INFO) or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise SandboxError(f"the container runtime describes the sandbox in an unknown form:  {error}") from error
    spec = known.runtime_spec or _Spec()
    namespaces = (spec.linux or _Linux()).namespaces or []
    path = next((space.path for space in namespaces if space.type == "network"), "")
    return SandboxInfo(path=path, pid=max(known.pid, 0), closed=known.net_namespace_closed)
