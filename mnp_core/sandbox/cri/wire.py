"""The messages of CRI v1 that are used here, and of these the fields.

Names, numbers and types are those of ``pkg/apis/runtime/v1/api.proto`` in https://github.com/kubernetes/cri-api. Five
messages of few fields are read and written by hand: the library protobuf would take 3 MiB of the agent's memory for
them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

PACKAGE: Final = "runtime.v1"
SERVICE: Final = f"{PACKAGE}.RuntimeService"

_READY: Final = 0  # PodSandboxState.SANDBOX_READY
_BYTES: Final = 2  # a wire type: protobuf.dev/programming-guides/encoding


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
    entries = (_bytes(1, key.encode()) + _bytes(2, value.encode()) for key, value in labels.items())
    return _bytes(1, b"".join(_bytes(3, entry) for entry in entries))


def read_list(response: bytes) -> tuple[RuntimeSandbox, ...]:
    """``ListPodSandboxResponse``; raises ValueError if it is none."""
    return tuple(map(_sandbox, _Message(response).submessages(1)))


def status_request(sandbox: str) -> bytes:
    """``PodSandboxStatusRequest``, verbose."""
    return _bytes(1, sandbox.encode()) + b"\x10\x01"


def read_info(response: bytes) -> dict[str, str]:
    """The field ``info`` of ``PodSandboxStatusResponse``; raises ValueError if it is none."""
    return {entry.text(1): entry.text(2) for entry in _Message(response).submessages(2)}


def _sandbox(item: "_Message") -> RuntimeSandbox:
    metadata = item.submessage(2)
    return RuntimeSandbox(
        id=item.text(1),
        namespace=metadata.text(3),
        name=metadata.text(1),
        uid=metadata.text(2),
        ready=item.number(3) == _READY,
        created=item.number(4),
    )


class _Message:
    """The fields of a message by number, in their order."""

    def __init__(self, raw: bytes) -> None:
        self._values: defaultdict[int, list[int | bytes]] = defaultdict(list)
        for number, value in _fields(raw):
            self._values[number].append(value)

    def text(self, number: int) -> str:
        """A string; empty if it is not there."""
        found = self._parts(number)
        return found[-1].decode() if found else ""

    def number(self, number: int) -> int:
        """An integer; 0 if it is not there."""
        found = [value for value in self._values.get(number, ()) if isinstance(value, int)]
        return found[-1] if found else 0

    def submessage(self, number: int) -> "_Message":
        """A message; parts of one add up."""
        return _Message(b"".join(self._parts(number)))

    def submessages(self, number: int) -> "list[_Message]":
        """Each message of a repeated field."""
        return [_Message(part) for part in self._parts(number)]

    def _parts(self, number: int) -> list[bytes]:
        return [value for value in self._values.get(number, ()) if isinstance(value, bytes)]


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        match tag & 7:
            case 0:
                value, position = _varint(raw, position)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, position = _varint(raw, position)
            case 5:
                length = 4
            case kind:
                raise ValueError(f"a field has the unknown type {kind}")
        if position + length > len(raw):
            raise ValueError("a field is cut off")
        yield tag >> 3, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """A number, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            break
        byte, position = raw[position], position + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number is damaged")


def _bytes(number: int, value: bytes) -> bytes:
    """A field with a length."""
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
