"""Speak to nf_tables over a plain netlink socket.

Whatever comes back may have been written by a process in the pod, so no library parses it: libnftables ends the process
on some of what the kernel accepts (names that are no text, user data of an expression that does not exist), and where
it cannot open its socket. What is needed here is small: transactions made beforehand, and a few dumps, walked attribute
by attribute (<linux/netfilter/nf_tables.h>). A socket belongs to the network namespace of the thread that opened it.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from mnp_nftables.attributes import attribute, attributes
from mnp_nftables.batch import FAMILY, HEADER, NFPROTO_INET, REQUEST, SUBSYSTEM, Batch

NETLINK_NETFILTER = 12
MOST_BYTES = 32 << 20
"""As much as is read of one sandbox at once: several times what the largest policy takes."""

_BATCH_BEGIN, _BATCH_END = 16, 17  # NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END in <linux/netfilter/nfnetlink.h>
_BATCH_GENERATION = 1  # NFNL_BATCH_GENID: refused with ERESTART if that is not the generation
_DUMP = 0x300  # NLM_F_ROOT | NLM_F_MATCH
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the rules changed while they were dumped
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_SEND_BUFFER = 1 << 16  # what a socket takes at once without being told to, on any machine
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>
_SOL_NETLINK, _CAP_ACK = 270, 10  # SOL_NETLINK, NETLINK_CAP_ACK: a refusal does not repeat what it refuses
_PATIENCE = struct.pack("@ll", 10, 0)  # struct timeval: the kernel answers at once
_BUFFER = 1 << 17  # the kernel fills at most 32 KiB of a dump, and cuts a message that does not fit


class InterruptedDumpError(Exception):
    """The rules changed while they were read: start again."""


class TooMuchError(Exception):
    """More is there than anybody needs."""


class SupersededError(Exception):
    """Somebody else has committed: what was to be changed is not what is there."""


class UnansweredError(Exception):
    """A transaction was sent, and is done or refused by now; the answer is lost. Look at what is there."""


class RefusedError(Exception):
    """The kernel has refused a transaction, as a whole: the message says why.

    Attributes:
        code: The error's number.
    """

    def __init__(self, about: str, code: int) -> None:
        self.code = code
        super().__init__(f"{about}: {os.strerror(code)}")


class Connection:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no netfilter netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        except OSError:
            self._socket.close()
            raise
        self._sequence = 0
        self._left = MOST_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def get(self, kind: int, request: bytes) -> dict[int, bytes] | None:
        """One object by name; None if it is not there."""
        self._send(kind, request, flags=REQUEST)
        try:
            return dict(attributes(next(self._answers(b""))))
        except FileNotFoundError:
            return None

    def dump(self, kind: int, request: bytes, *, beginning: bytes = b"") -> Iterator[dict[int, bytes]]:
        """All objects that the request names, or those of them whose attributes begin in a certain way.

        Raises:
            InterruptedDumpError: They changed meanwhile.
            TooMuchError: There are too many.
        """
        self._send(kind, request, flags=REQUEST | _DUMP)
        for answer in self._answers(beginning):
            yield dict(attributes(answer))

    def commit(self, batch: Batch, generation: int | None = None) -> None:
        """Run a transaction: all of it, or nothing.

        Args:
            batch: The transaction, of one message or more.
            generation: Which generation it is for; None for any.

        Raises:
            SupersededError: That is not the generation any more.
            RefusedError: The kernel does not do it.
            UnansweredError: Whether it is done is not known.
            OSError: It cannot be asked; nothing is done.
        """
        own = b"" if generation is None else attribute(_BATCH_GENERATION, generation.to_bytes(4, "big"))
        data = _packed(_BATCH_BEGIN, REQUEST, own, 1) + batch.acknowledged()
        self._send_at_once(data + _packed(_BATCH_END, REQUEST, b"", batch.next))
        try:
            self._await_acknowledgement(batch)
        except OSError as error:
            raise UnansweredError(error.strerror) from error

    def _send_at_once(self, data: bytes) -> None:
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        if len(data) > _SEND_BUFFER:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)

    def _await_acknowledgement(self, batch: Batch) -> None:
        """Take in the answer to the last message, and to whichever is refused: all is done when the sending returns."""
        while True:
            for kind, _, sequence, body in _messages(self._socket.recv(_BUFFER, socket.MSG_DONTWAIT)):
                code = _error(body) if kind == _ERROR else 0
                if code == errno.ERESTART:
                    raise SupersededError
                if code:
                    raise RefusedError(batch.about(sequence), code)
                if sequence == batch.next - 1:
                    return

    def _send(self, kind: int, request: bytes, *, flags: int) -> None:
        self._sequence += 1
        self._socket.send(_packed(kind, flags, request, self._sequence))

    def _answers(self, beginning: bytes) -> Iterator[bytes]:
        """The attributes of each answer to the last request, until the kernel says that it is done."""
        while True:
            received = self._socket.recv(_BUFFER)
            self._left -= len(received)
            if self._left < 0:
                raise TooMuchError
            for kind, flags, sequence, body in _messages(received):
                if sequence != self._sequence:
                    continue  # the rest of a dump that was given up
                if flags & _INTERRUPTED:
                    raise InterruptedDumpError
                if kind in {_ERROR, _DONE}:
                    _raise_error(body)
                    return
                if body.startswith(beginning, FAMILY.size):
                    yield body[FAMILY.size :]


def request(kind: int, *, sequence: int) -> bytes:
    """A message that asks for what needs no name."""
    return _packed(kind, REQUEST, b"", sequence)


def first_answer(data: bytes) -> dict[int, bytes]:
    """The attributes of the first message of what was received; raises OSError if it is a refusal."""
    _, kind, *_ = HEADER.unpack_from(data)
    body = data[HEADER.size :]
    if kind == _ERROR:
        _raise_error(body)
    return dict(attributes(body[FAMILY.size :]))


def _packed(kind: int, flags: int, attributes: bytes, sequence: int) -> bytes:
    """A message; those that begin and end a batch say of which subsystem instead of which family it is."""
    batch = kind in {_BATCH_BEGIN, _BATCH_END}
    resource = socket.htons(SUBSYSTEM >> 8) if batch else 0
    body = FAMILY.pack(0 if batch else NFPROTO_INET, 0, resource) + attributes
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Walk what was received: type, flags, sequence number and body of each message."""
    offset = 0
    while offset + HEADER.size <= len(data):
        size, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if size < HEADER.size:
            return
        yield kind, flags, sequence, data[offset + HEADER.size : offset + size]
        offset += size + -size % 4


def _error(body: bytes) -> int:
    """The error that a message is about, 0 if it is an acknowledgement (struct nlmsgerr)."""
    return -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0


def _raise_error(body: bytes) -> None:
    code = _error(body)
    if code == errno.EINTR:
        raise InterruptedDumpError
    if code:
        raise OSError(code, os.strerror(code))
