"""Talk to netfilter over netlink: the little that is needed, on a socket of the calling thread's network namespace.

A request is sent and answered at once; nothing is kept between calls, so threads and namespaces cannot get in each
other's way.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from attrs import frozen

NETFILTER = 12
ROUTE = 0
REQUEST, ACK, EXCLUSIVE, DUMP = 0x1, 0x4, 0x200, 0x300
NET_BYTE_ORDER = 0x4000
NESTED = 0x8000

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK = 0x3FFF  # without NESTED and NET_BYTE_ORDER
_ERROR, _DONE = 2, 3
_INTERRUPTED = 0x10
_ATTEMPTS = 10
_BUFFER = 1 << 20  # the kernel fills at most 32 KiB, but cuts a message that does not fit


class KernelError(OSError):
    """The kernel said no; errno may be a number of the subsystem's own."""


@frozen(kw_only=True)
class Message:
    """One message: its type, and what follows the header."""

    kind: int
    body: bytes


def attribute(kind: int, *values: bytes) -> bytes:
    """One attribute, padded as it is sent."""
    value = b"".join(values)
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def text_attribute(kind: int, value: str) -> bytes:
    """A name as the kernel takes it."""
    return attribute(kind, value.encode(), b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each."""
    offset, end = 0, len(data) - _ATTRIBUTE.size
    while offset <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += size + -size % 4


class Connection:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self, protocol: int = NETFILTER) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no such netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, message: Message, *, flags: int = 0) -> list[Message]:
        """Send a request and wait for all of the answer.

        Raises:
            KernelError: Refused.
        """
        return self.ask_all([message], flags=flags)

    def dump(self, message: Message) -> list[Message]:
        """Ask for all objects of a kind; from the start again if they change meanwhile.

        Raises:
            KernelError: Refused; EINTR if they change all the time.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self.ask(message, flags=DUMP)
            except KernelError as error:
                if error.errno != errno.EINTR:
                    raise
        raise KernelError(errno.EINTR, "somebody changes it all the time")

    def ask_all(self, messages: list[Message], *, flags: int = 0) -> list[Message]:
        """Send requests together, as nf_tables wants its transactions, and wait for the answer to the last."""
        parts = []
        first = self._sequence + 1
        for message in messages:
            self._sequence += 1
            size = _HEADER.size + len(message.body)
            header = _HEADER.pack(size, message.kind, REQUEST | flags, self._sequence, 0)
            parts.append(header + message.body + bytes(-size % 4))
        self._socket.send(b"".join(parts))
        return list(self._answers(first, until_done=flags & (ACK | DUMP) != 0))

    def _answers(self, first: int, *, until_done: bool) -> Iterator[Message]:
        while True:
            data = self._socket.recv(_BUFFER)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + size]
                offset += size + -size % 4
                if not first <= sequence <= self._sequence:
                    continue
                if flags & _INTERRUPTED:
                    raise KernelError(errno.EINTR, os.strerror(errno.EINTR))
                if kind in {_ERROR, _DONE}:
                    _raise_error(body)
                    return
                yield Message(kind=kind, body=body)
            if not until_done:
                return


def _raise_error(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if code:
        raise KernelError(code, os.strerror(code))
