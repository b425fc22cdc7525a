"""The tables of iptables-nft, read and written over netlink; reading creates none.

Nothing that a process in the pod may have written raises an error, and a table that is too large to read is refused.
The bytes that are written come from an empty namespace (`mnp_iptables.restore.compiler`).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping

from mnp_core.model import Family
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes, located, nested, text, text_attribute
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.messages import (
    APPEND,
    CREATE,
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_TABLE,
    NEW_CHAIN,
    NEW_RULE,
    NEW_TABLE,
    NFPROTO,
)
from mnp_core.netfilter.nf_tables import (
    comment_in,
    counter_values,
    dump_chains,
    dump_rules,
    expressions,
    number,
    read_table,
)
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_iptables.names import CHAIN_PREFIX
from mnp_iptables.restore.installed import FLAGS, SET_NUMBER_SIZE, InstalledRule, InstalledTable, is_ours

_META_L4PROTO = struct.pack("!I", 16)  # NFT_META_L4PROTO
_CMP_NEQ = struct.pack("!I", 1)  # NFT_CMP_NEQ
_COMPAT_INVERTED = 1 << 1  # NFT_RULE_COMPAT_F_INV
_PREFIX = CHAIN_PREFIX.encode()
_ACCEPT = b"\0\0\0\1"

# --- writing ------------------------------------------------------------------------------------------------------


class TableWriter:
    """Adds messages about one table to a transaction."""

    def __init__(self, writer: BatchWriter, family: Family, table: str) -> None:
        """Write about this table."""
        self._writer, self._family, self._table = writer, NFPROTO[family], text_attribute(uapi.NFTA_TABLE_NAME, table)

    def _add(self, kind: int, *parts: bytes, flags: int = 0) -> None:
        self._writer.add(kind, flags, self._table, *parts, family=self._family)

    def new_table(self) -> None:
        """Create the table, or wake it."""
        self._add(NEW_TABLE, attribute(uapi.NFTA_TABLE_FLAGS, bytes(4)), flags=CREATE)

    def delete_table(self) -> None:
        """Delete the table with its content."""
        self._add(DELETE_TABLE)

    def new_chain(self, chain: str, frame: bytes = b"") -> None:
        """Create a chain, a built-in one if it has a frame; refused if it exists with another frame."""
        body = text_attribute(uapi.NFTA_CHAIN_NAME, chain)
        if frame:
            kind, hook = frame.split(b"\0", 1)
            body += (
                nested(uapi.NFTA_CHAIN_HOOK, hook)
                + attribute(uapi.NFTA_CHAIN_POLICY, _ACCEPT)
                + attribute(uapi.NFTA_CHAIN_TYPE, kind, b"\0")
            )
        self._add(NEW_CHAIN, body, flags=CREATE)

    def delete_chain(self, chain: str) -> None:
        """Delete a chain that is empty and unreferenced."""
        self._add(DELETE_CHAIN, text_attribute(uapi.NFTA_CHAIN_NAME, chain))

    def flush_chain(self, chain: str) -> None:
        """Delete all rules of a chain."""
        self._add(DELETE_RULE, text_attribute(uapi.NFTA_RULE_CHAIN, chain))

    def delete_rule(self, chain: str, handle: int) -> None:
        """Delete one rule."""
        self._add(
            DELETE_RULE,
            text_attribute(uapi.NFTA_RULE_CHAIN, chain),
            attribute(uapi.NFTA_RULE_HANDLE, handle.to_bytes(8, "big")),
        )

    def new_rule(self, chain: str, code: bytes, userdata: bytes, *, append: bool = True) -> None:
        """Add a rule at the end of a chain, or at its beginning."""
        parts = [text_attribute(uapi.NFTA_RULE_CHAIN, chain), nested(uapi.NFTA_RULE_EXPRESSIONS, code), _compat(code)]
        if userdata:
            parts.append(attribute(uapi.NFTA_RULE_USERDATA, userdata))
        self._add(NEW_RULE, *parts, flags=CREATE | APPEND if append else CREATE)


def _compat(code: bytes) -> bytes:
    """The protocol of a rule, which extensions of xtables check but the kernel does not return.

    The programs of iptables take it from the rule's own words; here it is read from the comparison that they became.
    """
    looks, found = False, b""
    for name, _, data in expressions(code):
        inside = dict(attributes(data))
        if name == "meta" and inside.get(uapi.NFTA_META_KEY) == _META_L4PROTO:
            looks = True
        elif name == "cmp" and looks and not found:
            value = dict(attributes(inside.get(uapi.NFTA_CMP_DATA, b""))).get(uapi.NFTA_DATA_VALUE, b"")
            inverted = inside.get(uapi.NFTA_CMP_OP) == _CMP_NEQ
            found = attribute(uapi.NFTA_RULE_COMPAT_PROTO, struct.pack("!I", value[0] if value else 0))
            found += attribute(uapi.NFTA_RULE_COMPAT_FLAGS, struct.pack("!I", _COMPAT_INVERTED if inverted else 0))
    return nested(uapi.NFTA_RULE_COMPAT, found) if found else b""


# --- reading ------------------------------------------------------------------------------------------------------


def read(kernel: Nfnetlink, family: Family, name: str) -> InstalledTable | None:
    """Read our part of a table; None if there is none. Errors as `read_settled`, in which it has to run."""
    found = read_table(kernel, name, NFPROTO[family])
    if found is None:
        return None
    chains = [(text(body.get(uapi.NFTA_CHAIN_NAME, b"")), body) for body in dump_chains(kernel, name, NFPROTO[family])]
    rules = tuple(ours(dump_rules(kernel, name, NFPROTO[family])))
    own = tuple(chain for chain, body in chains if uapi.NFTA_CHAIN_HOOK not in body and is_ours(chain))
    frame = {
        chain: body.get(uapi.NFTA_CHAIN_TYPE, b"") + body[uapi.NFTA_CHAIN_HOOK]
        for chain, body in chains
        if uapi.NFTA_CHAIN_HOOK in body
    }
    if not own and not rules:
        return None
    return InstalledTable(
        family=family,
        name=name,
        frame={**frame, FLAGS: found.get(uapi.NFTA_TABLE_FLAGS, bytes(4))},
        chains=own,
        rules=tuple(rule for rule in rules if is_ours(rule.chain)),
        jumps=tuple(rule for rule in rules if not is_ours(rule.chain)),
    )


def is_vacant(kernel: Nfnetlink, family: Family, name: str) -> bool:
    """Whether a table has neither rules, nor chains that are not built in, nor a policy other than ACCEPT."""
    chains = list(dump_chains(kernel, name, NFPROTO[family]))
    idle = all(uapi.NFTA_CHAIN_HOOK in chain and chain.get(uapi.NFTA_CHAIN_POLICY) == _ACCEPT for chain in chains)
    return idle and not any(dump_rules(kernel, name, NFPROTO[family]))


def ours(rules: Iterable[Mapping[int, bytes]]) -> Iterator[InstalledRule]:
    """Rules in our chains or leading to them; foreign ones, of which there may be many, are not taken apart."""
    taken: set[bytes] = set()
    for found in rules:
        chain = found.get(uapi.NFTA_RULE_CHAIN, b"")
        rule = None
        if _PREFIX in chain or _PREFIX in found.get(uapi.NFTA_RULE_EXPRESSIONS, b""):
            rule = parse_rule(found, first=chain not in taken)
        if rule is not None and (is_ours(rule.chain) or is_ours(rule.target)):
            yield rule
        else:
            taken.add(chain)


def parse_rule(found: Mapping[int, bytes], *, first: bool) -> InstalledRule:
    """A rule from its attributes."""
    code = found.get(uapi.NFTA_RULE_EXPRESSIONS, b"")
    data, packets, octets = bytearray(code), 0, 0
    places: list[int] = []
    target, comment = "", comment_in(found.get(uapi.NFTA_RULE_USERDATA, b""))
    for name, start, content in expressions(code):
        inside = {kind: (place, value) for kind, place, value in located(content)}
        if name == "counter":
            packets, octets = counter_values(content)
            for place, value in inside.values():
                data[start + place : start + place + len(value)] = bytes(len(value))
        elif name == "immediate":
            target = _verdict_chain(inside.get(uapi.NFTA_IMMEDIATE_DATA, (0, b""))[1])
        elif name == "match":
            extension, (place, info) = (
                text(inside.get(uapi.NFTA_MATCH_NAME, (0, b""))[1]),
                inside.get(uapi.NFTA_MATCH_INFO, (0, b"")),
            )
            if extension == "comment":
                comment = text(info)
            elif extension == "set" and len(info) >= SET_NUMBER_SIZE:
                places.append(start + place)
    return InstalledRule(
        data=bytes(data),
        userdata=found.get(uapi.NFTA_RULE_USERDATA, b""),
        places=tuple(places),
        target=target,
        chain=text(found.get(uapi.NFTA_RULE_CHAIN, b"")),
        handle=number(found, uapi.NFTA_RULE_HANDLE),
        first=first,
        comment=comment,
        packets=packets,
        bytes=octets,
    )


def _verdict_chain(data: bytes) -> str:
    verdict = dict(attributes(data)).get(uapi.NFTA_DATA_VERDICT, b"")
    return text(dict(attributes(verdict)).get(uapi.NFTA_VERDICT_CHAIN, b""))
