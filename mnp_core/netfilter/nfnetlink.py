"""A netfilter netlink socket: objects of a subsystem, and the transactions of nf_tables."""

import errno
import os
import socket
from collections.abc import Callable, Iterator

from mnp_core.errors import ApplyError
from mnp_core.netfilter.attributes import attribute, attributes
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.messages import BATCH_BEGIN, BATCH_END, GENERIC, NFPROTO_INET, SUBSYSTEM
from mnp_core.netfilter.netlink import (
    ERROR,
    NETLINK_NETFILTER,
    REQUEST,
    InterruptedDumpError,
    Netlink,
    error_code,
    messages,
    packed,
    receive_now,
)

Found = dict[int, bytes]
"""The attributes of one object."""

_ATTEMPTS = 10
_BATCH_GENERATION = 1  # NFNL_BATCH_GENID: refused with ERESTART in any other generation
_SEND_BUFFER = 1 << 16  # size of a message that any socket takes
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>
_SOL_NETLINK, _CAP_ACK = 270, 10  # SOL_NETLINK, NETLINK_CAP_ACK: a refusal does not repeat the message
_ANSWERS = 1 << 14  # bytes; one takes 36


class SupersededError(Exception):
    """A commit came first: the ruleset is no longer the one that the batch was made for."""


class UnansweredError(Exception):
    """The kernel has done or refused a transaction, and the answer is lost: read what is in force."""


class RefusedError(Exception):
    """The kernel refused a transaction as a whole; the message says why.

    Attributes:
        code: The error number.
    """

    def __init__(self, about: str, code: int) -> None:
        self.code = code
        super().__init__(f"{about}: {os.strerror(code)}")


class UnsettledError(ApplyError):
    """Objects change faster than they can be read."""


class Nfnetlink(Netlink):
    """A netfilter netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no netfilter netlink.
        """
        super().__init__(NETLINK_NETFILTER)
        self._answers_briefly = False

    def call(self, kind: int, request: bytes = b"", *, family: int = NFPROTO_INET, flags: int = 0) -> Found:
        """Send one request: the object in the answer; no attributes for an acknowledgement (flag ACKNOWLEDGE).

        Raises:
            OSError: Refused, or no answer.
        """
        answer = self.request(kind, GENERIC.pack(family, 0, 0) + request, flags=flags)
        return dict(attributes(answer, GENERIC.size))

    def get(self, kind: int, request: bytes, *, family: int = NFPROTO_INET) -> Found | None:
        """Request one object; None if it does not exist. Errors as `call`."""
        try:
            return self.call(kind, request, family=family)
        except FileNotFoundError:
            return None

    def dump(self, kind: int, request: bytes, *, family: int = NFPROTO_INET, beginning: bytes = b"") -> Iterator[Found]:
        """List the objects that a request names; errors as `Netlink.dump_bodies`.

        Args:
            kind: Message type.
            request: Attributes.
            family: NFPROTO_…
            beginning: The first bytes of the attributes of a wanted object.
        """
        for body in self.dump_bodies(kind, GENERIC.pack(family, 0, 0) + request):
            if body.startswith(beginning, GENERIC.size):
                yield dict(attributes(body, GENERIC.size))

    def commit(self, batch: Batch, generation: int | None = None) -> None:
        """Run a transaction: all of it, or nothing.

        Args:
            batch: One message or more.
            generation: The generation that it was made for; None for any.

        Raises:
            SupersededError: Another generation is in force.
            RefusedError: Refused.
            UnansweredError: Done or refused, unknown.
            OSError: Not sent; nothing is done.
        """
        own = b"" if generation is None else attribute(_BATCH_GENERATION, generation.to_bytes(4, "big"))
        data = _mark(BATCH_BEGIN, 1, own) + batch.acknowledged() + _mark(BATCH_END, batch.next)
        if not self._answers_briefly:
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._answers_briefly = True
        if len(data) > _SEND_BUFFER:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)
        try:
            self._await_acknowledgement(batch)
        except OSError as error:
            raise UnansweredError(error.strerror) from error

    def _await_acknowledgement(self, batch: Batch) -> None:
        """Receive the answer to the last message, or to a refused one; send(2) returns when the kernel is done."""
        while True:
            for kind, _, sequence, body in messages(receive_now(self.fileno(), _ANSWERS)):
                code = error_code(body) if kind == ERROR else 0
                if code == errno.ERESTART:
                    raise SupersededError
                if code:
                    raise RefusedError(batch.about(sequence), code)
                if sequence == batch.next - 1:
                    return


def _mark(kind: int, sequence: int, attributes: bytes = b"") -> bytes:
    """The beginning or end of a batch, with its subsystem in place of a family."""
    return packed(kind, REQUEST, GENERIC.pack(0, 0, socket.htons(SUBSYSTEM >> 8)) + attributes, sequence)


def dump_settled(kind: int, request: bytes, *, family: int, wanted: Callable[[bytes], bool] = bool) -> list[Found]:
    """List objects, from the start again if they change meanwhile.

    Args:
        kind: Message type.
        request: Attributes.
        family: NFPROTO_…
        wanted: Whether to keep an object, by the body of its message.

    Raises:
        OSError: Refused, or no answer.
        OversizeError: Too many.
        UnsettledError: They change all the time.
    """
    for _ in range(_ATTEMPTS):
        try:
            with Nfnetlink() as kernel:
                bodies = kernel.dump_bodies(kind, GENERIC.pack(family, 0, 0) + request)
                return [dict(attributes(body, GENERIC.size)) for body in bodies if wanted(body)]
        except InterruptedDumpError:
            continue
    raise UnsettledError("a process in the pod changes the list all the time: stop it, or restart the pod")
