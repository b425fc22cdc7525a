"""nf_tables as the kernel keeps it: generation, tables, chains, rules, user data (<linux/netfilter/nf_tables.h>)."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attributes, located, text, text_attribute
from mnp_core.netfilter.kept import kept_socket
from mnp_core.netfilter.messages import GENERIC, GET_CHAIN, GET_GENERATION, GET_RULE, GET_TABLE, NFPROTO_INET
from mnp_core.netfilter.netlink import (
    ERROR,
    HEADER,
    REQUEST,
    InterruptedDumpError,
    packed,
    raise_error,
    receive_now,
    send_now,
)
from mnp_core.netfilter.nfnetlink import Found, Nfnetlink, UnsettledError

T = TypeVar("T")

_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, a convention of user space

_ATTEMPTS = 10
_ASK_GENERATION = packed(GET_GENERATION, REQUEST, GENERIC.pack(NFPROTO_INET, 0, 0), 1)
_ANSWER = 256  # bytes; it takes 48


def generation() -> int:
    """The number that grows with every commit in the network namespace of the calling thread (NFTA_GEN_ID), 32 bits.

    Keeps the interpreter lock: each change of a sandbox asks three times and the kernel answers within microseconds,
    whereas a system call of Python's `socket` gives the lock to another thread and waits longer to get it back.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN, EINVAL, EOPNOTSUPP or EPROTONOSUPPORT without nf_tables.
    """
    with kept_socket() as kernel:
        send_now(kernel.fileno(), _ASK_GENERATION)
        answer = receive_now(kernel.fileno(), _ANSWER)
    _, kind, *_ = HEADER.unpack_from(answer)
    body = answer[HEADER.size :]
    if kind == ERROR:
        raise_error(body)
    return number(dict(attributes(body, GENERIC.size)), uapi.NFTA_GEN_ID)


def read_settled(read: Callable[[Nfnetlink, int], T]) -> T:
    """Read with a new socket and the generation, again until no commit comes between.

    Raises:
        OSError: The kernel does not answer.
        OversizeError: Too much to read.
        UnsettledError: Commits come all the time.
    """
    for _ in range(_ATTEMPTS):
        try:
            with Nfnetlink() as kernel:
                before = generation()
                found = read(kernel, before)
                if generation() == before:
                    return found
        except (InterruptedDumpError, FileNotFoundError):  # FileNotFoundError: a listed set is gone by now
            continue
    raise UnsettledError(
        "nf_tables cannot be read: a process in the pod changes it all the time: stop it, or restart the pod"
    )


def read_table(kernel: Nfnetlink, table: str, family: int = NFPROTO_INET) -> Found | None:
    """A table by name; None if it does not exist."""
    return kernel.get(GET_TABLE, text_attribute(uapi.NFTA_TABLE_NAME, table), family=family)


def dump_chains(kernel: Nfnetlink, table: str, family: int = NFPROTO_INET) -> Iterator[Found]:
    """The chains of a table. The kernel lists those of all tables of the family."""
    ours = text_attribute(uapi.NFTA_TABLE_NAME, table)
    return kernel.dump(GET_CHAIN, ours, family=family, beginning=ours)


def dump_rules(kernel: Nfnetlink, table: str, family: int = NFPROTO_INET) -> Iterator[Found]:
    """The rules of a table, chain by chain in the order in which packets meet them."""
    ours = text_attribute(uapi.NFTA_TABLE_NAME, table)
    return kernel.dump(GET_RULE, ours, family=family, beginning=ours)


def expressions(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Walk the expressions of a rule: name, offset of the data, and data."""
    for _, start, expression in located(data):
        parts = {kind: (offset, value) for kind, offset, value in located(expression)}
        offset, value = parts.get(uapi.NFTA_EXPR_DATA, (0, b""))
        yield text(parts.get(uapi.NFTA_EXPR_NAME, (0, b""))[1]), start + offset, value


def counter_values(counter: bytes) -> tuple[int, int]:
    """Packets and bytes in the data of a counter."""
    found = dict(attributes(counter))
    return number(found, uapi.NFTA_COUNTER_PACKETS), number(found, uapi.NFTA_COUNTER_BYTES)


def userdata_of(comment: str) -> bytes:
    """The user data of a rule with a comment: type and length in a byte each, then the text (libnftnl's udata)."""
    value = comment.encode() + b"\0"
    return bytes([_COMMENT, len(value)]) + value


def comment_in(userdata: bytes) -> str:
    """The comment in the user data of a rule; empty if there is none."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, size = userdata[offset], userdata[offset + 1]
        if kind == _COMMENT:
            return text(userdata[offset + 2 : offset + 2 + size])
        offset += 2 + size
    return ""


def number(found: Mapping[int, bytes], kind: int) -> int:
    """An attribute in network byte order; 0 if it is missing."""
    return int.from_bytes(found.get(kind, b""), "big")
