"""The messages of ttrpc and NRI that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/api/api.proto`` in https://github.com/containerd/nri, ``request.proto`` in
https://github.com/containerd/ttrpc and ``google/rpc/status.proto``. The classes are made at run time, in a registry of
their own: generated code is tied to a range of protobuf releases and registers its names for the whole process, where
another plugin that talks to the runtime would collide with it.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

NRI: Final = "nri.pkg.api.v1alpha1"
PLUGIN_SERVICE: Final = f"{NRI}.Plugin"
RUNTIME_SERVICE: Final = f"{NRI}.Runtime"

Fields = Mapping[str, tuple[int, str]]
"""By name: the number, and the type: a scalar, ``map`` (string to string), or a message, maybe ``repeated``."""

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
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,  # an enum looks on the wire as an int32 does
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}


def _make_messages(messages: Mapping[str, Fields]) -> Mapping[str, Any]:
    file = FileDescriptorProto(name="nri.proto", package=NRI, syntax="proto3")
    for name, fields in messages.items():
        _describe(file.message_type.add(name=name), name, fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{NRI}.{name}")) for name in messages}


def _describe(message: DescriptorProto, name: str, fields: Fields) -> None:
    for field, (number, kind) in fields.items():
        repeated = kind == "map" or kind.startswith("repeated ")
        label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        described = message.field.add(name=field, number=number, label=label)
        base = f"{name}.{_add_entry(message, field)}" if kind == "map" else kind.removeprefix("repeated ")
        if base in _SCALARS:
            described.type = _SCALARS[base]
        else:
            described.type, described.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{NRI}.{base}"


def _add_entry(message: DescriptorProto, field: str) -> str:
    """The entry type of a map: a message of key and value, as the compiler writes maps out."""
    name = field.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _describe(entry, "", {"key": (1, "string"), "value": (2, "string")})
    return name


MESSAGES: Final = _make_messages(_MESSAGES)
"""Classes by name. Their fields are known at run time only, therefore ``Any``."""
