"""The tables of iptables-nft as nf_tables knows them, read and written over netlink; nothing is made by looking.

What is read may have been made by somebody inside the pod: nothing of it raises anything, and a table that is too
large to be read is an error. What is written was made elsewhere (`mnp_iptables.compiler`), so no program ever parses
what is in a pod.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from mnp_core.model import Family
from mnp_iptables.extensions import comment_of, set_index
from mnp_iptables.installed import is_ours
from mnp_iptables.names import CHAIN_PREFIX
from mnp_iptables.netlink import (
    NESTED,
    Connection,
    KernelError,
    Message,
    attribute,
    attributes,
    located,
    text_attribute,
)

_SUBSYSTEM = 10 << 8
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _NEW_CHAIN, _GET_CHAIN, _DELETE_CHAIN = 0, 1, 2, 3, 4, 5
_NEW_RULE, _GET_RULE, _DELETE_RULE, _GET_GENERATION = 6, 7, 8, 16
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_CREATE, _APPEND = 0x400, 0x800  # NLM_F_CREATE, NLM_F_APPEND
_GENERIC = struct.Struct("=BB2s")  # struct nfgenmsg: family, version, resource (big endian)
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

# Attributes, <linux/netfilter/nf_tables.h>, nf_tables_compat.h; the name of the table is the first of each object.
_TABLE, _TABLE_FLAGS = 1, 2
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 3, 4, 5, 7
_RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_COMPAT, _RULE_USERDATA = 2, 3, 4, 5, 7
_NAME, _DATA = 1, 2  # of an expression, and of an extension of xtables in one
_MATCH_INFO = 3
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_IMMEDIATE_DATA, _VERDICT, _VERDICT_CHAIN = 2, 2, 2
_META_KEY, _META_L4PROTO = 2, struct.pack("!I", 16)
_CMP_OPERATION, _CMP_DATA, _CMP_NOT_EQUAL, _VALUE = 2, 3, struct.pack("!I", 1), 1
_COMPAT_PROTOCOL, _COMPAT_FLAGS, _COMPAT_INVERTED = 1, 2, 1 << 1
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, a convention of user space
_GENERATION = 1
_PREFIX = CHAIN_PREFIX.encode()
ACCEPT = b"\0\0\0\1"

TABLE_FLAGS = ""
"""Where the flags of a table stand beside what its built-in chains are, in `NftTable.frame`."""


@frozen(kw_only=True)
class NftRule:
    """A rule.

    Attributes:
        expressions: As the kernel gives and takes them.
        userdata: Likewise.
        content: Both without the values of counters and the numbers of sets.
        places: Where in the expressions these numbers are.
        indices: The numbers.
        first: Whether no rule of somebody else is in front of it in its chain.
    """

    chain: str
    handle: int
    expressions: bytes
    userdata: bytes
    content: bytes
    places: tuple[int, ...]
    indices: tuple[int, ...]
    target: str
    first: bool
    comment: str
    packets: int
    bytes: int


@frozen(kw_only=True)
class NftTable:
    """Everything in one table that is, or leads to, ours.

    Attributes:
        frame: For each built-in chain its type and hook, and its policy behind them; the flags of the table.
        chains: The names of all others.
        rules: Those that were wanted.
    """

    frame: Mapping[str, bytes]
    policies: Mapping[str, bytes]
    chains: tuple[str, ...]
    rules: tuple[NftRule, ...]


class NftKernel(Connection):
    """nf_tables in the network namespace of the calling thread; use it in a ``with``."""

    def generation(self) -> int:
        """The number that grows with every commit in this namespace, 32 bits.

        Raises:
            KernelError: EPERM without CAP_NET_ADMIN, EINVAL or EOPNOTSUPP without nf_tables.
        """
        (answer,) = self.ask(_message(_GET_GENERATION, socket.AF_UNSPEC))
        return int.from_bytes(_body(answer)[_GENERATION], "big")

    def read(self, family: Family, name: str) -> NftTable | None:
        """Read a table; None if it is not there.

        Raises:
            OversizeError: It is too large, or others of its family are.
        """
        try:
            (found,) = self.ask(_message(_GET_TABLE, _FAMILY[family], text_attribute(_TABLE, name)))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        chains = [body for body in self._dump(_GET_CHAIN, family, name) if _text(body.get(_TABLE, b"")) == name]
        hooked = {_text(body.get(_CHAIN_NAME, b"")): body for body in chains if _CHAIN_HOOK in body}
        frame = {chain: body.get(_CHAIN_TYPE, b"") + body[_CHAIN_HOOK] for chain, body in hooked.items()}
        return NftTable(
            frame={**frame, TABLE_FLAGS: _body(found).get(_TABLE_FLAGS, bytes(4))},
            policies={chain: body.get(_CHAIN_POLICY, b"") for chain, body in hooked.items()},
            chains=tuple(_text(body.get(_CHAIN_NAME, b"")) for body in chains if _CHAIN_HOOK not in body),
            rules=tuple(_ours(self._dump(_GET_RULE, family, name))),
        )

    def has_rules(self, family: Family, name: str) -> bool:
        """Whether there is any rule in a table, whosever it is."""
        request = _message(_GET_RULE, _FAMILY[family], text_attribute(_TABLE, name))
        return bool(self.dump(request))

    def commit(self, changes: Sequence[Message], generation: int) -> None:
        """Run a transaction on what is there in a generation.

        Raises:
            KernelError: Refused as a whole; ERESTART if that is not the generation any more.
        """
        subsystem = (_SUBSYSTEM >> 8).to_bytes(2, "big")
        begin = _GENERIC.pack(0, 0, subsystem) + attribute(_GENERATION, generation.to_bytes(4, "big"))
        end = Message(kind=_BATCH_END, body=_GENERIC.pack(0, 0, subsystem))
        self.transact(Message(kind=_BATCH_BEGIN, body=begin), changes, end)

    def _dump(self, kind: int, family: Family, table: str) -> list[dict[int, bytes]]:
        wanted = table.encode() + b"\0"
        request = _message(kind, _FAMILY[family], text_attribute(_TABLE, table))
        try:
            answers = self.dump(request, wanted=lambda body: wanted in body)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return []
            raise
        return [_body(answer) for answer in answers]


# --- writing ------------------------------------------------------------------------------------------------------


def new_table(family: Family, table: str) -> Message:
    """Make a table, or wake the one that is there."""
    flags = attribute(_TABLE_FLAGS, bytes(4))
    return _change(_NEW_TABLE, family, table, flags, flags=_CREATE)


def delete_table(family: Family, table: str) -> Message:
    """Delete a table with all that is in it."""
    return _change(_DELETE_TABLE, family, table)


def new_chain(family: Family, table: str, chain: str, frame: bytes = b"") -> Message:
    """Make a chain, built in if there is a frame for it; one that is there already has to have the same."""
    body = text_attribute(_CHAIN_NAME, chain)
    if frame:
        kind, hook = frame.split(b"\0", 1)
        body += attribute(_CHAIN_HOOK | NESTED, hook) + attribute(_CHAIN_POLICY, ACCEPT)
        body += attribute(_CHAIN_TYPE, kind, b"\0")
    return _change(_NEW_CHAIN, family, table, body, flags=_CREATE)


def delete_chain(family: Family, table: str, chain: str) -> Message:
    """Delete a chain that is empty and that nothing leads to."""
    return _change(_DELETE_CHAIN, family, table, text_attribute(_CHAIN_NAME, chain))


def flush_chain(family: Family, table: str, chain: str) -> Message:
    """Delete all rules of a chain."""
    return _change(_DELETE_RULE, family, table, text_attribute(_RULE_CHAIN, chain))


def delete_rule(family: Family, table: str, chain: str, handle: int) -> Message:
    """Delete one rule."""
    body = text_attribute(_RULE_CHAIN, chain) + attribute(_RULE_HANDLE, handle.to_bytes(8, "big"))
    return _change(_DELETE_RULE, family, table, body)


def new_rule(
    family: Family, table: str, chain: str, expressions: bytes, userdata: bytes, *, append: bool = True
) -> Message:
    """Add a rule at the end of a chain, or at its beginning."""
    body = text_attribute(_RULE_CHAIN, chain) + attribute(_RULE_EXPRESSIONS | NESTED, expressions)
    body += _compat(expressions)
    if userdata:
        body += attribute(_RULE_USERDATA, userdata)
    return _change(_NEW_RULE, family, table, body, flags=_CREATE | _APPEND if append else _CREATE)


def _compat(expressions: bytes) -> bytes:
    """The protocol that a rule is about, which extensions of xtables check but the kernel does not give back.

    The programs of iptables take it from the rule's own words; here it is read from the comparison that these became.
    """
    looks, found = False, b""
    for name, data in _expressions(expressions):
        inside = dict(attributes(data))
        if name == "meta" and inside.get(_META_KEY) == _META_L4PROTO:
            looks = True
        elif name == "cmp" and looks and not found:
            value = dict(attributes(inside.get(_CMP_DATA, b""))).get(_VALUE, b"")
            inverted = inside.get(_CMP_OPERATION) == _CMP_NOT_EQUAL
            found = attribute(_COMPAT_PROTOCOL, struct.pack("!I", value[0] if value else 0))
            found += attribute(_COMPAT_FLAGS, struct.pack("!I", _COMPAT_INVERTED if inverted else 0))
    return attribute(_RULE_COMPAT | NESTED, found) if found else b""


def _change(kind: int, family: Family, table: str, body: bytes = b"", *, flags: int = 0) -> Message:
    return _message(kind, _FAMILY[family], text_attribute(_TABLE, table) + body, flags=flags)


def _message(kind: int, family: int, body: bytes = b"", *, flags: int = 0) -> Message:
    return Message(kind=_SUBSYSTEM | kind, body=_GENERIC.pack(family, 0, b"\0\0") + body, flags=flags)


# --- reading ------------------------------------------------------------------------------------------------------


def _body(message: Message) -> dict[int, bytes]:
    return dict(attributes(message.body[_GENERIC.size :]))


def _ours(rules: Iterable[Mapping[int, bytes]]) -> Iterator[NftRule]:
    """Rules that are in our chains or lead to them; the others, of which there may be many, are not looked at."""
    taken: set[bytes] = set()
    for rule in rules:
        chain = rule.get(_RULE_CHAIN, b"")
        found = None
        if _PREFIX in chain or _PREFIX in rule.get(_RULE_EXPRESSIONS, b""):
            found = _rule(rule, first=chain not in taken)
        if found is not None and (is_ours(found.chain) or is_ours(found.target)):
            yield found
        else:
            taken.add(chain)


def _rule(found: Mapping[int, bytes], *, first: bool) -> NftRule:
    expressions, userdata = found.get(_RULE_EXPRESSIONS, b""), found.get(_RULE_USERDATA, b"")
    plain = bytearray(expressions)
    places: list[int] = []
    packets = octets = 0
    target, comment = "", _text(dict(_user_data(userdata)).get(_COMMENT, b""))
    for start, name, data in _places(expressions):
        inside = dict(attributes(data))
        if name == "counter":
            octets, packets = (
                int.from_bytes(inside.get(key, b""), "big") for key in (_COUNTER_BYTES, _COUNTER_PACKETS)
            )
            plain[start : start + len(data)] = bytes(len(data))
        elif name == "immediate":
            target = _verdict_chain(inside)
        elif name == "match":
            extension, info = _text(inside.get(_NAME, b"")), inside.get(_MATCH_INFO, b"")
            if extension == "comment":
                comment = comment_of(info)
            elif extension == "set" and len(info) >= 2:
                place = start + data.index(info)
                places.append(place)
                plain[place : place + 2] = b"\0\0"
    return NftRule(
        chain=_text(found.get(_RULE_CHAIN, b"")),
        handle=int.from_bytes(found.get(_RULE_HANDLE, b""), "big"),
        expressions=expressions,
        userdata=userdata,
        content=len(plain).to_bytes(4, "big") + bytes(plain) + userdata,
        places=tuple(places),
        indices=tuple(set_index(expressions[place:]) for place in places),
        target=target,
        first=first,
        comment=comment,
        packets=packets,
        bytes=octets,
    )


def _expressions(data: bytes) -> Iterator[tuple[str, bytes]]:
    return ((name, content) for _, name, content in _places(data))


def _places(data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Where the data of each expression begin, its name and they."""
    for _, at, expression in located(data):
        found = {kind: (place, value) for kind, place, value in located(expression)}
        place, content = found.get(_DATA, (0, b""))
        yield at + place, _text(found.get(_NAME, (0, b""))[1]), content


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
