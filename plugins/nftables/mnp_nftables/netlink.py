"""Speak to nf_tables over a plain netlink socket.

Reading is not left to libnftables: a process in a pod with CAP_NET_ADMIN can put objects into our table whose names are
not text, on which libnftables' JSON output aborts the whole process (an assertion, 1.0.6), and its text is made for
people. What is needed here is small: a few dumps, walked attribute by attribute (<linux/netfilter/nf_tables.h>). A
socket belongs to the network namespace of the thread that opened it.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from attrs import frozen

NETLINK_NETFILTER = 12
_NFPROTO_INET = 1
_NFTABLES = 10  # NFNL_SUBSYS_NFTABLES
_SUBSYSTEM = _NFTABLES << 8

GET_TABLE = _SUBSYSTEM | 1
GET_CHAIN = _SUBSYSTEM | 4
GET_RULE = _SUBSYSTEM | 7
GET_SET = _SUBSYSTEM | 10
NEW_ELEMENTS = _SUBSYSTEM | 12
GET_ELEMENTS = _SUBSYSTEM | 13
DELETE_ELEMENTS = _SUBSYSTEM | 14
NEW_GENERATION = _SUBSYSTEM | 15
GET_GENERATION = _SUBSYSTEM | 16

_BATCH_BEGIN, _BATCH_END = 16, 17  # NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END in <linux/netfilter/nfnetlink.h>
_BATCH_GENERATION = 1  # NFNL_BATCH_GENID: refused with ERESTART if that is not the generation

_REQUEST = 0x1  # NLM_F_REQUEST
_ACKNOWLEDGE = 0x4  # NLM_F_ACK
_DUMP = 0x300  # NLM_F_ROOT | NLM_F_MATCH
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the rules changed while they were dumped
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_NESTED = 0x8000  # NLA_F_NESTED
_SEND_BUFFER = 1 << 16  # what a socket takes at once without being told to, on any machine
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>
_BUFFER = 1 << 17  # the kernel fills at most 32 KiB of a dump, and cuts a message that does not fit


class InterruptedDumpError(Exception):
    """The rules changed while they were read: start again."""


class SupersededError(Exception):
    """Somebody else has committed: what was to be changed is not what is there."""


@frozen(kw_only=True)
class Message:
    """One change in a transaction.

    Attributes:
        kind: What is to be done, NFT_MSG_*.
        flags: How, NLM_F_*.
        body: Its attributes.
        about: What it changes, for people.
    """

    kind: int
    flags: int
    body: bytes
    about: str


class RefusedError(Exception):
    """The kernel has refused a transaction, as a whole: the message says why."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded as it is sent."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, attributes: bytes) -> bytes:
    """An attribute that is made of attributes."""
    return attribute(kind | _NESTED, attributes)


def text_attribute(kind: int, value: str) -> bytes:
    """A name as the kernel takes it."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a sequence of attributes: type and value of each."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]
        offset += size + -size % 4


class Connection:
    """A netlink socket in the network namespace of the calling thread; use it in a ``with``."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: This kernel has no netfilter netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def get(self, kind: int, request: bytes) -> dict[int, bytes] | None:
        """One object by name; None if it is not there."""
        self._send(kind, request, flags=_REQUEST)
        try:
            return dict(attributes(next(self._answers())))
        except FileNotFoundError:
            return None

    def dump(self, kind: int, request: bytes) -> Iterator[dict[int, bytes]]:
        """All objects that the request names.

        Raises:
            InterruptedDumpError: They changed meanwhile.
        """
        self._send(kind, request, flags=_REQUEST | _DUMP)
        for answer in self._answers():
            yield dict(attributes(answer))

    def commit(self, messages: Sequence[Message], generation: int) -> None:
        """Run all of them as one transaction, which leads to the next generation, or none.

        Raises:
            SupersededError: That is not the generation any more.
            RefusedError: The kernel does not do it.
            OSError: It cannot be asked.
        """
        about: dict[int, str] = {}
        own = attribute(_BATCH_GENERATION, generation.to_bytes(4, "big"))
        data = [self._message(_BATCH_BEGIN, _REQUEST, own)]
        for message in messages:
            flags = message.flags | _REQUEST | (_ACKNOWLEDGE if message is messages[-1] else 0)
            data.append(self._message(message.kind, flags, message.body))
            about[self._sequence] = message.about
        last = self._sequence
        data.append(self._message(_BATCH_END, _REQUEST, b""))
        self._send_at_once(b"".join(data))
        self._await_acknowledgement(about, last)

    def _send_at_once(self, data: bytes) -> None:
        if len(data) > _SEND_BUFFER:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data))
        self._socket.send(data)

    def _await_acknowledgement(self, about: Mapping[int, str], last: int) -> None:
        """Wait until the kernel has done it: it answers the last message, and whichever it refuses."""
        while True:
            for kind, _, sequence, body in _messages(self._socket.recv(_BUFFER)):
                code = _error(body) if kind == _ERROR else 0
                if code == errno.ERESTART:
                    raise SupersededError
                if code:
                    raise RefusedError(f"{about.get(sequence, 'the transaction')}: {os.strerror(code)}")
                if sequence == last:
                    return

    def _send(self, kind: int, request: bytes, *, flags: int) -> None:
        self._socket.send(self._message(kind, flags, request))

    def _message(self, kind: int, flags: int, attributes: bytes) -> bytes:
        self._sequence += 1
        return _packed(kind, flags, attributes, self._sequence)

    def _answers(self) -> Iterator[bytes]:
        """The attributes of each answer to the last request, until the kernel says that it is done."""
        while True:
            for kind, flags, sequence, body in _messages(self._socket.recv(_BUFFER)):
                if sequence != self._sequence:
                    continue  # the rest of a dump that was given up
                if flags & _INTERRUPTED:
                    raise InterruptedDumpError
                if kind in {_ERROR, _DONE}:
                    _raise_error(body)
                    return
                yield body[_FAMILY.size :]


def request(kind: int, *, sequence: int) -> bytes:
    """A message that asks for what needs no name."""
    return _packed(kind, _REQUEST, b"", sequence)


def first_answer(data: bytes) -> dict[int, bytes]:
    """The attributes of the first message of what was received; raises OSError if it is a refusal."""
    _, kind, *_ = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if kind == _ERROR:
        _raise_error(body)
    return dict(attributes(body[_FAMILY.size :]))


def _packed(kind: int, flags: int, attributes: bytes, sequence: int) -> bytes:
    """A message; those that begin and end a batch say of which subsystem instead of which family it is."""
    batch = kind in {_BATCH_BEGIN, _BATCH_END}
    body = _FAMILY.pack(0 if batch else _NFPROTO_INET, 0, socket.htons(_NFTABLES) if batch else 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Walk what was received: type, flags, sequence number and body of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size:
            return
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + size]
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
