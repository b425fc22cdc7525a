"""The messages of ttrpc and NRI that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/api/api.proto`` in https://github.com/containerd/nri, ``request.proto`` in
https://github.com/containerd/ttrpc and ``google/rpc/status.proto``.
"""

from collections.abc import Mapping
from typing import Final

from mnp_core.protobuf import Fields, make_messages

NRI: Final = "nri.pkg.api.v1alpha1"
PLUGIN_SERVICE: Final = f"{NRI}.Plugin"
RUNTIME_SERVICE: Final = f"{NRI}.Runtime"

_MESSAGES: Final[Mapping[str, Fields]] = {
    # ttrpc
    "Request": {
        "service": (1, "string"),
        "method": (2, "string"),
        "payload": (3, "bytes"),
        "timeout_nano": (4, "int64"),
    },
    "Status": {"code": (1, "int32"), "message": (2, "string")},
    "Response": {"status": (1, "Status"), "payload": (2, "bytes")},
    # NRI
    "RegisterPluginRequest": {"plugin_name": (1, "string"), "plugin_idx": (2, "string")},
    "ConfigureRequest": {
        "runtime_name": (2, "string"),
        "runtime_version": (3, "string"),
        "request_timeout": (5, "int64"),
    },
    "FailurePolicy": {"fail_request": (1, "bool"), "keep_connected": (2, "bool")},
    "ConfigureResponse": {"events": (2, "int32"), "failure_policy": (3, "FailurePolicy")},
    "LinuxNamespace": {"type": (1, "string"), "path": (2, "string")},
    "LinuxPodSandbox": {"namespaces": (5, "repeated LinuxNamespace")},
    "PodSandbox": {
        "id": (1, "string"),
        "name": (2, "string"),
        "uid": (3, "string"),
        "namespace": (4, "string"),
        "annotations": (6, "map"),
        "linux": (8, "LinuxPodSandbox"),
        "pid": (9, "uint32"),
    },
    "SynchronizeRequest": {"pods": (1, "repeated PodSandbox"), "more": (3, "bool")},
    "SynchronizeResponse": {"more": (2, "bool")},
    "PodRequest": {"pod": (1, "PodSandbox")},  # RunPodSandboxRequest, CreateContainerRequest and others begin so
    "StateChangeEvent": {"event": (1, "int32"), "pod": (2, "PodSandbox")},
    "Empty": {},
}

MESSAGES: Final = make_messages(NRI, _MESSAGES)
"""Classes by name. Their fields are known at run time only, therefore ``Any``."""
