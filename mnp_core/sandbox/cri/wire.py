"""The messages of CRI v1 that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/apis/runtime/v1/api.proto`` in https://github.com/kubernetes/cri-api.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from mnp_core.classes import frozen
from mnp_core.protobuf import Fields, make_messages

PACKAGE: Final = "runtime.v1"
SERVICE: Final = f"{PACKAGE}.RuntimeService"

_READY: Final = 0  # PodSandboxState.SANDBOX_READY; an enum looks on the wire as an int32 does
_FIELDS: Final[Mapping[str, Fields]] = {
    "PodSandboxFilter": {"label_selector": (3, "map")},
    "ListPodSandboxRequest": {"filter": (1, "PodSandboxFilter")},
    "PodSandboxMetadata": {"name": (1, "string"), "uid": (2, "string"), "namespace": (3, "string")},
    "PodSandbox": {
        "id": (1, "string"),
        "metadata": (2, "PodSandboxMetadata"),
        "state": (3, "int32"),
        "created_at": (4, "int64"),
    },
    "ListPodSandboxResponse": {"items": (1, "repeated PodSandbox")},
    "PodSandboxStatusRequest": {"pod_sandbox_id": (1, "string"), "verbose": (2, "bool")},
    "PodSandboxStatusResponse": {"info": (2, "map")},
}
_MESSAGES: Final = make_messages(PACKAGE, _FIELDS)


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


def list_request(labels: Mapping[str, str]) -> bytes:
    """``ListPodSandboxRequest`` with these labels in its filter."""
    return bytes(_MESSAGES["ListPodSandboxRequest"](filter={"label_selector": labels}).SerializeToString())


def read_list(response: bytes) -> tuple[RuntimeSandbox, ...]:
    """``ListPodSandboxResponse``; raises ValueError if it is none."""
    return tuple(map(_sandbox, _read("ListPodSandboxResponse", response).items))


def status_request(sandbox: str) -> bytes:
    """``PodSandboxStatusRequest``, verbose."""
    return bytes(_MESSAGES["PodSandboxStatusRequest"](pod_sandbox_id=sandbox, verbose=True).SerializeToString())


def read_info(response: bytes) -> dict[str, str]:
    """The field ``info`` of ``PodSandboxStatusResponse``; raises ValueError if it is none."""
    return dict(_read("PodSandboxStatusResponse", response).info)


def _read(message: str, response: bytes) -> Any:
    try:
        return _MESSAGES[message].FromString(response)
    except DecodeError as error:
        raise ValueError(f"no {message}: {error}") from None


def _sandbox(item: Any) -> RuntimeSandbox:
    return RuntimeSandbox(
        id=item.id,
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        uid=item.metadata.uid,
        ready=item.state == _READY,
        created=item.created_at,
    )
