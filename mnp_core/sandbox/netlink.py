"""Read what the kernel lists over netlink, message by message, and keep nothing that is not needed.

A process in the pod decides how much there is to list and how often it changes. So a listing is read as a stream, each
message is looked at once, and a listing without end is an error; a library that makes an object of every attribute of
every message takes 80 KB for one interface. A socket belongs to the network namespace of the thread that opens it.
"""

import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from mnp_core.errors import SandboxError

MOST: Final = 1 << 14
"""Messages of one listing. No pod has so many interfaces, addresses or rules that are not there to do harm."""

_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR, see netlink(7)
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_BUFFER = 1 << 17  # the kernel fills at most 32 KiB of a dump


class InterruptedDumpError(Exception):
    """Something changed during the listing, so that entries may be missing: start again."""


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each."""
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += size + -size % 4


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded as it is sent."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def text(value: bytes) -> str:
    """A name: the kernel takes nearly any byte in one, and it need not be UTF-8."""
    return value.split(b"\0", 1)[0].decode(errors="backslashreplace")


class Reader:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self, protocol: int) -> None:
        """Open it.

        Args:
            protocol: NETLINK_ROUTE or NETLINK_NETFILTER.

        Raises:
            OSError: This kernel does not have it.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """List objects: the body of each message. Has to be read to its end before the next one begins.

        Raises:
            OSError: The kernel refuses.
            SandboxError: There are more than `MOST`.
            InterruptedDumpError: Something changed meanwhile.
        """
        self._sequence += 1
        self._socket.sendall(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, self._sequence, 0) + body)
        count, interrupted = 0, False
        while True:
            data = self._socket.recv(_BUFFER)
            for message_kind, flags, message in self._messages(data):
                interrupted |= bool(flags & _INTERRUPTED)
                if message_kind in {_DONE, _ERROR}:
                    self._check(message)
                    if interrupted:
                        raise InterruptedDumpError
                    return
                count += 1
                if count > MOST:
                    raise SandboxError(f"there are more than {MOST} of them, which is beyond all bounds")
                yield message

    def _messages(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        offset = 0
        while offset + _HEADER.size <= len(data):
            size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            if size < _HEADER.size:
                return
            if sequence == self._sequence:
                yield kind, flags, data[offset + _HEADER.size : offset + size]
            offset += size + -size % 4

    @staticmethod
    def _check(message: bytes) -> None:
        number = -struct.unpack_from("=i", message)[0] if len(message) >= 4 else 0
        if number > 0:
            raise OSError(number, os.strerror(number))
