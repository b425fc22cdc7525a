"""The messages of CRI v1 that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/apis/runtime/v1/api.proto`` in https://github.com/kubernetes/cri-api.
"""

from collections.abc import Mapping
from typing import Final

from mnp_core.protobuf import Fields, make_messages

PACKAGE: Final = "runtime.v1"
SERVICE: Final = f"{PACKAGE}.RuntimeService"

READY: Final = 0
"""PodSandboxState.SANDBOX_READY. An enum looks on the wire as an int32 does."""

_MESSAGES: Final[Mapping[str, Fields]] = {
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

MESSAGES: Final = make_messages(PACKAGE, _MESSAGES)
