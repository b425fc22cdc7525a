"""The tables of iptables-nft as nf_tables knows them, read over netlink: no fork, and nothing is made by looking.

What is read may have been made by somebody inside the pod: nothing of it raises anything.
"""

import errno
import socket
import struct
from collections.abc import Iterator, Mapping

from attrs import frozen

from mnp_core.model import Family
from mnp_iptables.found import FoundRule
from mnp_iptables.netlink import ACK, Connection, KernelError, Message, attribute, attributes, text_attribute

_SUBSYSTEM = 10 << 8
_DELETE_TABLE, _GET_CHAIN, _GET_RULE, _GET_GENERATION = 2, 4, 7, 16
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_GENERIC = struct.Struct("=BB2s")  # struct nfgenmsg: family, version, resource (big endian)
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

# Attributes, <linux/netfilter/nf_tables.h>, nf_tables_compat.h; the name of the table is the first of each object.
_TABLE = 1
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 3, 4, 5
_RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 3, 4, 7
_NAME, _DATA = 1, 2  # of an expression, and of an extension of xtables in one
_MATCH_INFO = 3
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_IMMEDIATE_DATA, _VERDICT, _VERDICT_CHAIN = 2, 2, 2
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, a convention of user space
_GENERATION = 1
_ACCEPT = b"\0\0\0\1"


@frozen(kw_only=True)
class Chain:
    """A chain; `plain` is a built-in one whose policy is to accept."""

    name: str
    built_in: bool
    plain: bool


@frozen(kw_only=True)
class NftTable:
    """Everything in one table, whosever it is."""

    chains: tuple[Chain, ...]
    rules: tuple[FoundRule, ...]

    @property
    def is_vacant(self) -> bool:
        """Whether it makes no difference that it is there."""
        return not self.rules and all(chain.plain for chain in self.chains)


class NftKernel(Connection):
    """nf_tables in the network namespace of the calling thread; use it in a ``with``."""

    def generation(self) -> int:
        """The number that grows with every commit in this namespace, 32 bits.

        Raises:
            KernelError: EPERM without CAP_NET_ADMIN, EINVAL or EOPNOTSUPP without nf_tables.
        """
        (answer,) = self.ask(_message(_GET_GENERATION, socket.AF_UNSPEC))
        return int.from_bytes(_body(answer)[_GENERATION], "big")

    def read(self, family: Family, name: str) -> NftTable:
        """Read a table; one that is not there is empty."""
        chains = self._read_all(_GET_CHAIN, family, name)
        rules = self._read_all(_GET_RULE, family, name)
        return NftTable(
            chains=tuple(_chain(found) for found in chains if _text(found.get(_TABLE, b"")) == name),
            rules=tuple(map(_rule, rules)),
        )

    def delete(self, family: Family, name: str, *, generation: int) -> bool:
        """Delete a table, unless anything has changed since that generation.

        Returns:
            Whether that was so.
        """
        subsystem = (_SUBSYSTEM >> 8).to_bytes(2, "big")
        begin = _GENERIC.pack(0, 0, subsystem) + attribute(_GENERATION, generation.to_bytes(4, "big"))
        batch = [
            Message(kind=_BATCH_BEGIN, body=begin),
            _message(_DELETE_TABLE, _FAMILY[family], text_attribute(_TABLE, name)),
            Message(kind=_BATCH_END, body=_GENERIC.pack(0, 0, subsystem)),
        ]
        try:
            self.ask_all(batch, flags=ACK)
        except KernelError as error:
            if error.errno in {errno.ERESTART, errno.ENOENT, errno.EBUSY}:
                return False
            raise
        return True

    def _read_all(self, kind: int, family: Family, table: str) -> list[dict[int, bytes]]:
        try:
            answers = self.dump(_message(kind, _FAMILY[family], text_attribute(_TABLE, table)))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return []
            raise
        return [_body(answer) for answer in answers]


def _message(kind: int, family: int, body: bytes = b"") -> Message:
    return Message(kind=_SUBSYSTEM | kind, body=_GENERIC.pack(family, 0, b"\0\0") + body)


def _body(message: Message) -> dict[int, bytes]:
    return dict(attributes(message.body[_GENERIC.size :]))


def _chain(found: Mapping[int, bytes]) -> Chain:
    return Chain(
        name=_text(found.get(_CHAIN_NAME, b"")),
        built_in=_CHAIN_HOOK in found,
        plain=found.get(_CHAIN_POLICY) == _ACCEPT,
    )


def _rule(found: Mapping[int, bytes]) -> FoundRule:
    content = [found.get(_RULE_HANDLE, b"")]
    packets = octets = 0
    target, comment = "", _text(dict(_user_data(found.get(_RULE_USERDATA, b""))).get(_COMMENT, b""))
    for name, data in _expressions(found.get(_RULE_EXPRESSIONS, b"")):
        inside = dict(attributes(data))
        if name == "counter":
            octets, packets = (
                int.from_bytes(inside.get(key, b""), "big") for key in (_COUNTER_BYTES, _COUNTER_PACKETS)
            )
            continue
        content += name.encode(errors="replace"), data
        if name == "immediate":
            target = _verdict_chain(inside)
        elif name == "match" and _text(inside.get(_NAME, b"")) == "comment":
            comment = _text(inside.get(_MATCH_INFO, b"").partition(b"\0")[0])
    return FoundRule(
        chain=_text(found.get(_RULE_CHAIN, b"")),
        content=b"".join(len(part).to_bytes(4, "big") + part for part in content),
        target=target,
        comment=comment,
        packets=packets,
        bytes=octets,
    )


def _expressions(data: bytes) -> Iterator[tuple[str, bytes]]:
    for _, expression in attributes(data):
        found = dict(attributes(expression))
        yield _text(found.get(_NAME, b"")), found.get(_DATA, b"")


def _verdict_chain(immediate: Mapping[int, bytes]) -> str:
    data = dict(attributes(immediate.get(_IMMEDIATE_DATA, b"")))
    return _text(dict(attributes(data.get(_VERDICT, b""))).get(_VERDICT_CHAIN, b""))


def _user_data(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value, a byte for the type and one for the length (libnftnl's udata)."""
    offset = 0
    while offset + 2 <= len(data):
        kind, size = data[offset], data[offset + 1]
        yield kind, data[offset + 2 : offset + 2 + size]
        offset += 2 + size


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")
