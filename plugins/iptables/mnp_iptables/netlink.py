"""Talk to netfilter over netlink: the little that is needed, on a socket of the calling thread's network namespace.

A request is sent and answered at once; nothing is kept between calls, so threads and namespaces cannot get in each
other's way. What a process in the pod may have put there can be of any size, so a dump has a limit: it is walked as it
comes, and only what its reader wants is kept.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from attrs import evolve, frozen

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
_SEND_BUFFER = 1 << 16  # what a socket takes at once without further ado, on any machine
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>
_PATIENCE = struct.pack("ll", 10, 0)  # struct timeval; the kernel answers at once, or an answer was lost

DUMP_LIMIT = 16 << 20  # bytes
"""What one dump may bring: some 100,000 rules, and far more than all of ours in the largest pod."""


class KernelError(OSError):
    """The kernel said no; errno may be a number of the subsystem's own."""


class OversizeError(KernelError):
    """There is more than one dump may bring: somebody in the pod has made it."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            errno.EFBIG,
            f"more than {limit >> 20} MiB in one list: remove what a process in the pod put there, or restart the pod",
        )


@frozen(kw_only=True)
class Message:
    """One message: its type, and what follows the header; `flags` besides those that all of a request have."""

    kind: int
    body: bytes
    flags: int = 0


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
    return ((kind, value) for kind, _, value in located(data))


def located(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The same with the place where each value begins."""
    offset, end = 0, len(data) - _ATTRIBUTE.size
    while offset <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        place = offset + _ATTRIBUTE.size
        yield kind & _TYPE_MASK, place, data[place : offset + size]
        offset += size + -size % 4


class Connection:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self, protocol: int = NETFILTER) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no such netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
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

    def dump(
        self, message: Message, *, wanted: Callable[[bytes], bool] = bool, limit: int = DUMP_LIMIT
    ) -> list[Message]:
        """Ask for all objects of a kind; from the start again if they change meanwhile.

        Args:
            message: What is asked for.
            wanted: Whether an answer, by its body, is worth keeping.
            limit: Bytes that all answers together may have.

        Raises:
            KernelError: Refused; EINTR if they change all the time.
            OversizeError: There is more than that.
        """
        for _ in range(_ATTEMPTS):
            try:
                self._send([message], DUMP)
                return [answer for answer in self._answers(self._sequence, limit=limit) if wanted(answer.body)]
            except KernelError as error:
                if error.errno != errno.EINTR:
                    raise
        raise KernelError(errno.EINTR, "somebody changes it all the time")

    def first(self, message: Message) -> list[Message]:
        """The first answers of a dump, at least one if there is any; the rest is left, and the socket with it."""
        first = self._send([message], DUMP)
        return list(self._answers(first, until_done=False))

    def ask_all(self, messages: list[Message], *, flags: int = 0) -> list[Message]:
        """Send requests together, as nf_tables wants its transactions, and wait for the answer to the last."""
        first = self._send(messages, flags)
        return list(self._answers(first, until_done=flags & (ACK | DUMP) != 0))

    def transact(self, begin: Message, changes: Sequence[Message], end: Message) -> None:
        """Run a transaction: all changes or none; the kernel acknowledges the last, and names whichever it refuses.

        Raises:
            KernelError: Refused.
        """
        last = evolve(changes[-1], flags=changes[-1].flags | ACK)
        first = self._send([begin, *changes[:-1], last, end], 0)
        list(self._answers(first, done_by=self._sequence - 1))

    def _send(self, messages: list[Message], flags: int) -> int:
        """Send requests together; returns the number of the first."""
        parts = []
        first = self._sequence + 1
        for message in messages:
            self._sequence += 1
            size = _HEADER.size + len(message.body)
            header = _HEADER.pack(size, message.kind, REQUEST | flags | message.flags, self._sequence, 0)
            parts.append(header + message.body + bytes(-size % 4))
        data = b"".join(parts)
        if len(data) > _SEND_BUFFER:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)
        return first

    def _answers(
        self, first: int, *, until_done: bool = True, limit: int = DUMP_LIMIT, done_by: int = 0
    ) -> Iterator[Message]:
        """What comes, until the end of a dump, a refusal, or the acknowledgement of `done_by` (of any, if it is 0).

        Without `until_done` it is enough to receive once.
        """
        received, interrupted = 0, False
        while True:
            data = self._socket.recv(_BUFFER)
            received += len(data)
            if received > limit:
                raise OversizeError(limit)
            for size, kind, flags, sequence, body in _messages(data):
                if size < _HEADER.size or not first <= sequence <= self._sequence:
                    continue
                interrupted = interrupted or flags & _INTERRUPTED != 0
                if kind in {_ERROR, _DONE}:
                    _raise_error(body)
                    if interrupted:  # at the end: until a dump was read to it, the socket takes no other one
                        raise KernelError(errno.EINTR, os.strerror(errno.EINTR))
                    if sequence >= done_by:
                        return
                    continue
                yield Message(kind=kind, body=body)
            if not until_done:
                return


def _messages(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Walk what was received: size, type, flags, sequence number and body of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield size, kind, flags, sequence, data[offset + _HEADER.size : offset + size]
        offset += max(size + -size % 4, _HEADER.size)


def _raise_error(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if code:
        raise KernelError(code, os.strerror(code))
