"""Classes of protobuf messages, made at run time from the few fields that are used.

Generated code is tied to a range of protobuf releases and registers its package for the whole process, where another
plugin that talks to the same runtime would collide with it.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Fields = Mapping[str, tuple[int, str]]
"""By name: the number, and the type: a scalar, ``map`` (string to string), or a message, maybe ``repeated``."""

_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,  # an enum looks on the wire as an int32 does
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}


def make_messages(package: str, messages: Mapping[str, Fields]) -> Mapping[str, Any]:
    """Make classes of messages, in a registry of their own.

    Args:
        package: Of the messages.
        messages: Their fields by name.

    Returns:
        By name. Their fields are known at run time only, therefore ``Any``: let none of them out of the module that
        talks to the other side.
    """
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        _describe(file.message_type.add(name=name), f".{package}.{name}", package, fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _describe(message: DescriptorProto, path: str, package: str, fields: Fields) -> None:
    for field, (number, kind) in fields.items():
        repeated = kind == "map" or kind.startswith("repeated ")
        label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        described = message.field.add(name=field, number=number, label=label)
        base = kind.removeprefix("repeated ")
        if base in _SCALARS:
            described.type = _SCALARS[base]
        else:
            entry = f"{path}.{_add_entry(message, field)}" if kind == "map" else f".{package}.{base}"
            described.type, described.type_name = FieldDescriptorProto.TYPE_MESSAGE, entry


def _add_entry(message: DescriptorProto, field: str) -> str:
    """The entry type of a map, as the compiler writes maps out: a message of key and value."""
    name = field.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _describe(entry, "", "", {"key": (1, "string"), "value": (2, "string")})
    return name
