"""The messages of CRI v1 that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/apis/runtime/v1/api.proto`` in https://github.com/kubernetes/cri-api. The
classes are made at run time rather than generated: generated code is tied to a range of protobuf releases and registers
``runtime.v1`` for the whole process, where a plugin that talks to the runtime too would collide with it.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE: Final = "runtime.v1"
SERVICE: Final = f"{PACKAGE}.RuntimeService"

Fields = Mapping[str, tuple[int, str]]
"""By name: the number, and the type: a scalar, ``map`` (string to string), or a message, maybe ``repeated``."""

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
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}


def make_messages(messages: Mapping[str, Fields]) -> Mapping[str, Any]:
    """Make classes of messages, in a registry of their own.

    Returns:
        By name. Their fields are known at run time only, therefore ``Any``: let none of them out of the module that
        talks to the runtime.
    """
    file = FileDescriptorProto(name="cri.proto", package=PACKAGE, syntax="proto3")
    for name, fields in messages.items():
        _describe(file.message_type.add(name=name), name, fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in messages}


def _describe(message: DescriptorProto, name: str, fields: Fields) -> None:
    for field, (number, kind) in fields.items():
        described = message.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if kind.startswith("repeated ") or kind == "map":
            described.label = FieldDescriptorProto.LABEL_REPEATED
        if kind == "map":
            kind = f"{name}.{_add_entry(message, field)}"  # noqa: PLW2901 # as the compiler writes maps out
        kind = kind.removeprefix("repeated ")  # noqa: PLW2901 # likewise
        if kind in _SCALARS:
            described.type = _SCALARS[kind]
        else:
            described.type, described.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


def _add_entry(message: DescriptorProto, field: str) -> str:
    """The entry type of a map: a message of key and value."""
    name = field.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _describe(entry, "", {"key": (1, "string"), "value": (2, "string")})
    return name


MESSAGES: Final = make_messages(_MESSAGES)
