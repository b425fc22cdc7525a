"""A netlink socket: one request at a time, and dumps of limited size (netlink(7)).

A process in the pod decides how much a dump holds and how often it changes, so a dump is read as a stream and its size
is limited. A library with an object for every attribute of every message takes 80 KB for one interface.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator

from mnp_core.closing import Closing
from mnp_core.errors import ApplyError

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
REQUEST, ACKNOWLEDGE = 0x1, 0x4  # NLM_F_REQUEST, NLM_F_ACK
MOST_BYTES = 32 << 20
"""Size limit of all dumps over one socket: several times the largest policy."""

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ERROR, DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_DUMP = 0x300  # NLM_F_ROOT | NLM_F_MATCH
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: objects changed during the dump
_TIMEOUT = struct.pack("@ll", 10, 0)  # struct timeval; the kernel answers at once, unless the answer is lost
_KERNEL = (0, 0)  # port and groups; nobody else can send to a socket that is connected with it
_libc = ctypes.PyDLL(None, use_errno=True)
_BUFFER = 1 << 17  # the kernel sends at most 32 KiB of a dump at once, and cuts a message that does not fit


class InterruptedDumpError(Exception):
    """Objects changed during the dump, so that some may be missing: start again with a new socket."""


class OversizeError(ApplyError):
    """A dump exceeds `MOST_BYTES`: a process in the pod has made the objects."""

    def __init__(self) -> None:
        super().__init__(
            f"more than {MOST_BYTES >> 20} MiB to read: remove the entries that a process in the pod added, "
            "or restart the pod"
        )


class Netlink(Closing):
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self, protocol: int) -> None:
        """Open it.

        Args:
            protocol: `NETLINK_ROUTE` or `NETLINK_NETFILTER`.

        Raises:
            OSError: This kernel does not have it.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
            self._socket.connect(_KERNEL)
        except OSError:
            self._socket.close()
            raise
        self._sequence = 0
        self._left = MOST_BYTES

    def close(self) -> None:
        """Close it; may wait, see `mnp_core.netfilter.kept`."""
        self._socket.close()

    def fileno(self) -> int:
        """Its file descriptor."""
        return self._socket.fileno()

    def request(self, kind: int, body: bytes, *, flags: int = 0) -> bytes:
        """Send one request.

        Returns:
            The body of the answer; empty for an acknowledgement.

        Raises:
            OSError: Refused, or no answer.
        """
        self._send(kind, REQUEST | flags, body)
        return next(self._answers(), b"")

    def dump_bodies(self, kind: int, body: bytes) -> Iterator[bytes]:
        """List objects: the body of each message. A dump that is not read to its end blocks the next one.

        Raises:
            OSError: Refused, or no answer.
            InterruptedDumpError: They changed meanwhile.
            OversizeError: Too many.
        """
        self._send(kind, REQUEST | _DUMP, body)
        return self._answers()

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(packed(kind, flags, body, self._sequence))

    def _answers(self) -> Iterator[bytes]:
        """The body of each answer to the last request, up to the end of the dump or the acknowledgement."""
        while True:
            received = self._socket.recv(_BUFFER)
            self._left -= len(received)
            if self._left < 0:
                raise OversizeError
            for kind, flags, sequence, body in messages(received):
                if sequence != self._sequence:
                    continue  # the rest of a dump that was given up
                if flags & _INTERRUPTED:
                    raise InterruptedDumpError
                if kind in {ERROR, DONE}:
                    raise_error(body)
                    return
                yield body


def send_now(fd: int, message: bytes) -> None:
    """Send what takes the kernel microseconds, and keep the interpreter lock: it takes longer to get it back.

    Raises:
        OSError: As send(2).
    """
    _checked(_libc.send(fd, message, len(message), 0))


def receive_now(fd: int, most: int) -> bytes:
    """Receive what waits in a socket; otherwise as `send_now`.

    Raises:
        OSError: EAGAIN if nothing waits; others as recv(2).
    """
    buffer = ctypes.create_string_buffer(most)
    return bytes(memoryview(buffer)[: _checked(_libc.recv(fd, buffer, most, socket.MSG_DONTWAIT))])


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def packed(kind: int, flags: int, body: bytes, sequence: int) -> bytes:
    """A message."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Walk received bytes: type, flags, sequence number and body of each message."""
    offset = 0
    while offset + HEADER.size <= len(data):
        size, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if size < HEADER.size:
            return
        yield kind, flags, sequence, data[offset + HEADER.size : offset + size]
        offset += size + -size % 4


def error_code(body: bytes) -> int:
    """The error number in the body of an answer, 0 for an acknowledgement (struct nlmsgerr)."""
    return -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0


def raise_error(body: bytes) -> None:
    """Raise the error in the body of an answer, if it has one.

    Raises:
        InterruptedDumpError: EINTR.
        OSError: Any other.
    """
    code = error_code(body)
    if code == errno.EINTR:
        raise InterruptedDumpError
    if code:
        raise OSError(code, os.strerror(code))
