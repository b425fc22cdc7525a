"""Our table as it is in the kernel, read in one piece.

Everything here is data that a process inside the pod may have written: names need not be text, and nothing that is
found raises anything.
"""

import errno
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes, text, text_attribute
from mnp_core.netfilter.kept import kept_socket
from mnp_core.netfilter.messages import GET_ELEMENTS, GET_SET, NFPROTO_INET
from mnp_core.netfilter.nf_tables import (
    comment_in,
    counter_values,
    dump_chains,
    dump_rules,
    number,
    read_settled,
    read_table,
)
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_nftables.content import (
    COUNTER,
    Content,
    anonymous_content,
    chain_content,
    found_rule_content,
    joined,
    set_content,
)
from mnp_nftables.sets import element_text

Found = Mapping[int, bytes]


@frozen(kw_only=True)
class Part:
    """A chain or a named set, with the handle and content that deletion of leftovers needs."""

    name: str
    handle: int
    content: bytes


@frozen(kw_only=True)
class Outline:
    """A table without rules and elements."""

    generation: int
    flags: bytes
    chains: tuple[Part, ...]
    sets: tuple[Part, ...]


@frozen(kw_only=True)
class Whole:
    """All of a table: content without the rules of custom chains, these by chain, and elements by set."""

    content: Content
    custom: Mapping[str, bytes]
    members: Mapping[str, frozenset[str]]


@frozen(kw_only=True)
class Counted:
    """A rule that counts."""

    chain: str
    comment: str
    packets: int
    bytes: int


@frozen(kw_only=True)
class Placed:
    """A rule by its place."""

    chain: str
    handle: int
    comment: str


@frozen(kw_only=True)
class Raw:
    """A table as the kernel dumps it.

    Attributes:
        chains: Their names.
        rules: By chain: expressions and user data.
        sets: By name: attributes and elements.
    """

    chains: tuple[str, ...]
    rules: Mapping[str, list[tuple[list[bytes], bytes]]]
    sets: Mapping[bytes, tuple[Found, list[bytes]]]


def read_outline(table: str, family: int = NFPROTO_INET) -> Outline | None:
    """Read a table without rules and elements; None if there is no such table.

    Raises:
        UnsettledError: It kept changing.
        OSError: The kernel does not answer.
        OversizeError: There is too much.
    """
    return read_settled(lambda kernel, number: _outline(kernel, table, family, number))


def read_whole(table: str, *, custom: str, family: int = NFPROTO_INET) -> Whole | None:
    """Read everything; None if there is no such table.

    Args:
        table: Its name.
        custom: Prefix of the chains with custom rules, which are not compared with ours.
        family: Of the table (NFPROTO_…).

    Raises:
        UnsettledError: As above, like OSError and OversizeError.
    """
    return read_settled(lambda kernel, _: _whole(kernel, table, family, custom))


def exists(table: str, family: int) -> bool:
    """Whether there is such a table; a kernel without the family has none.

    Raises:
        OSError: The kernel does not answer.
    """
    try:
        with kept_socket() as kernel:
            return read_table(kernel, table, family) is not None
    except OSError as error:
        if error.errno in {errno.EAFNOSUPPORT, errno.EOPNOTSUPP}:
            return False
        raise


def read_counters(table: str, family: int = NFPROTO_INET) -> tuple[Counted, ...]:
    """Read all counters, in the order in which packets meet them; errors as above."""
    return read_settled(lambda kernel, _: tuple(_counted(kernel, table, family)))


def read_places(table: str, family: int = NFPROTO_INET) -> tuple[Placed, ...]:
    """Read all rules by their places, in the order in which packets meet them; errors as above."""
    return read_settled(lambda kernel, _: tuple(map(_placed, dump_rules(kernel, table, family))))


def read_raw(table: str) -> Raw:
    """Read a table as it is, to recreate it elsewhere; errors as above."""
    return read_settled(lambda kernel, _: _raw(kernel, table, NFPROTO_INET))


def _outline(kernel: Nfnetlink, table: str, family: int, number: int) -> Outline | None:
    found = read_table(kernel, table, family)
    if found is None:
        return None
    return Outline(
        generation=number,
        flags=found.get(uapi.NFTA_TABLE_FLAGS, b""),
        chains=tuple(
            _part(each, uapi.NFTA_CHAIN_NAME, uapi.NFTA_CHAIN_HANDLE, chain_content(each))
            for each in dump_chains(kernel, table, family)
        ),
        sets=tuple(
            _part(each, uapi.NFTA_SET_NAME, uapi.NFTA_SET_HANDLE, set_content(each))
            for each in _named(_sets(kernel, table, family))
        ),
    )


def _whole(kernel: Nfnetlink, table: str, family: int, custom: str) -> Whole | None:
    found = read_table(kernel, table, family)
    if found is None:
        return None
    chains = [chain_content(each) for each in dump_chains(kernel, table, family)]
    rules = list(dump_rules(kernel, table, family))
    sets = _sets(kernel, table, family)
    anonymous = {
        each[uapi.NFTA_SET_NAME]: anonymous_content(each, _elements(kernel, table, family, each[uapi.NFTA_SET_NAME]))
        for each in sets
        if _is_anonymous(each) and uapi.NFTA_SET_NAME in each
    }
    contents = [(text(rule.get(uapi.NFTA_RULE_CHAIN, b"")), _rule_content(rule, anonymous)) for rule in rules]
    by_chain: defaultdict[str, list[bytes]] = defaultdict(list)
    for chain, content in contents:
        by_chain[chain].append(content)
    named = list(_named(sets))
    return Whole(
        content=Content(
            flags=found.get(uapi.NFTA_TABLE_FLAGS, b""),
            chains=tuple(chains),
            sets=tuple(map(set_content, named)),
            rules=tuple((chain, content) for chain, content in contents if not chain.startswith(custom)),
        ),
        custom={chain: joined(*found) for chain, found in by_chain.items() if chain.startswith(custom)},
        members={
            text(each[uapi.NFTA_SET_NAME]): _members(kernel, table, family, each[uapi.NFTA_SET_NAME]) for each in named
        },
    )


def _raw(kernel: Nfnetlink, table: str, family: int) -> Raw:
    chains = tuple(text(each.get(uapi.NFTA_CHAIN_NAME, b"")) for each in dump_chains(kernel, table, family))
    rules: defaultdict[str, list[tuple[list[bytes], bytes]]] = defaultdict(list)
    for rule in dump_rules(kernel, table, family):
        rules[text(rule.get(uapi.NFTA_RULE_CHAIN, b""))].append(
            (_expressions(rule), rule.get(uapi.NFTA_RULE_USERDATA, b""))
        )
    sets = {each.get(uapi.NFTA_SET_NAME, b""): each for each in _sets(kernel, table, family)}
    elements = {name: (each, list(_elements(kernel, table, family, name))) for name, each in sets.items()}
    return Raw(chains=chains, rules=rules, sets=elements)


def _sets(kernel: Nfnetlink, table: str, family: int) -> list[dict[int, bytes]]:
    return list(kernel.dump(GET_SET, text_attribute(uapi.NFTA_SET_TABLE, table), family=family))


def _named(sets: Iterable[Found]) -> Iterator[Found]:
    return (each for each in sets if not _is_anonymous(each) and uapi.NFTA_SET_NAME in each)


def _is_anonymous(found: Found) -> bool:
    return bool(number(found, uapi.NFTA_SET_FLAGS) & uapi.NFT_SET_ANONYMOUS)


def _members(kernel: Nfnetlink, table: str, family: int, name: bytes) -> frozenset[str]:
    return frozenset(map(_member, _elements(kernel, table, family, name)))


def _member(element: bytes) -> str:
    """An element as it is written; one that is more than a key, or no key, is written so that no member of ours is."""
    parts = dict(attributes(element))
    value = dict(attributes(parts.get(uapi.NFTA_SET_ELEM_KEY, b""))).get(uapi.NFTA_DATA_VALUE, b"")
    return element_text(value) if set(parts) == {uapi.NFTA_SET_ELEM_KEY} else f"0x{element.hex()}"


def _elements(kernel: Nfnetlink, table: str, family: int, name: bytes) -> Iterator[bytes]:
    request = text_attribute(uapi.NFTA_SET_ELEM_LIST_TABLE, table) + attribute(uapi.NFTA_SET_ELEM_LIST_SET, name)
    for answer in kernel.dump(GET_ELEMENTS, request, family=family):
        yield from (element for _, element in attributes(answer.get(uapi.NFTA_SET_ELEM_LIST_ELEMENTS, b"")))


def _rule_content(rule: Found, anonymous: Mapping[bytes, bytes]) -> bytes:
    return found_rule_content(_expressions(rule), rule.get(uapi.NFTA_RULE_USERDATA, b""), anonymous)


def _expressions(rule: Found) -> list[bytes]:
    return [element for _, element in attributes(rule.get(uapi.NFTA_RULE_EXPRESSIONS, b""))]


def _counted(kernel: Nfnetlink, table: str, family: int) -> Iterator[Counted]:
    for rule in dump_rules(kernel, table, family):
        counter = next((each for each in _expressions(rule) if each.startswith(COUNTER)), None)
        if counter is not None:
            packets, octets = counter_values(dict(attributes(counter)).get(uapi.NFTA_EXPR_DATA, b""))
            yield Counted(
                chain=text(rule.get(uapi.NFTA_RULE_CHAIN, b"")),
                comment=comment_in(rule.get(uapi.NFTA_RULE_USERDATA, b"")),
                packets=packets,
                bytes=octets,
            )


def _placed(rule: Found) -> Placed:
    return Placed(
        chain=text(rule.get(uapi.NFTA_RULE_CHAIN, b"")),
        handle=number(rule, uapi.NFTA_RULE_HANDLE),
        comment=comment_in(rule.get(uapi.NFTA_RULE_USERDATA, b"")),
    )


def _part(found: Found, name: int, handle: int, content: bytes) -> Part:
    return Part(name=text(found.get(name, b"")), handle=number(found, handle), content=content)
