"""Everything of ours in a sandbox as one transaction: as text to show, and as messages to send.

Neither depends on the installed state. Both name the same chains, sets and rules in the same order.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from attrs import field, frozen

from mnp_core.model import Direction
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, attributes, nested, number, text_attribute
from mnp_core.netfilter.batch import Batch, BatchWriter
from mnp_core.netfilter.batch import joined as in_one
from mnp_core.netfilter.messages import (
    APPEND,
    CREATE,
    DELETE_CHAIN,
    DELETE_ELEMENTS,
    DELETE_RULE,
    DELETE_SET,
    DELETE_TABLE,
    NEW_CHAIN,
    NEW_ELEMENTS,
    NEW_RULE,
    NEW_SET,
    NEW_TABLE,
)
from mnp_nftables.anonymous import AnonymousSet
from mnp_nftables.content import chain_content, joined, set_content
from mnp_nftables.expressions import lookup_in
from mnp_nftables.membership import add_elements
from mnp_nftables.rule import Chain
from mnp_nftables.sets import TABLE, Elements, SetName

STATE_CHAIN = "state"
"""Not reached by any packet: while a rule looks at connections, the kernel tracks them (S41)."""
BASE_CHAINS = {
    "ingress": ("prerouting", 0, -150, Direction.INGRESS),
    "output": ("output", 3, 0, Direction.EGRESS),
    "forward": ("forward", 2, 0, Direction.EGRESS),
}
"""Always there, with or without rules: name to hook, its number, priority and the direction that it judges."""

_ACCEPT = 1  # NF_ACCEPT
_OURS = text_attribute(uapi.NFTA_TABLE_NAME, TABLE)  # the same number in every object
_ELEMENTS_AT_ONCE = 1000  # the length of an attribute has 16 bits
_ANONYMOUS = "__set%d"
_SET_ID = number(uapi.NFTA_SET_ID, 1)


@frozen(kw_only=True)
class CustomChain:
    """A chain of rules that libnftables has compiled elsewhere; it is compared by its lines."""

    name: str
    lines: tuple[str, ...] = field(factory=tuple)

    def content(self) -> bytes:
        """Its lines, in place of its rules."""
        return joined(b"custom", *(line.encode(errors="surrogatepass") for line in self.lines))


def text_of(
    sets: Iterable[SetName], chains: Iterable[Chain], custom: Iterable[CustomChain], family: str = "inet"
) -> str:
    """The transaction as nft takes it, without membership."""
    sets, custom, table = tuple(sets), tuple(custom), f"{family} {TABLE}"
    return "".join((*_declarations(sets, table), *_flushes(sets, table), *_definitions(chains, custom, table)))


def _declarations(sets: Iterable[SetName], table: str) -> Iterator[str]:
    """Declare sets and base chains, which must exist before they are emptied and filled; existing ones stay."""
    yield f"table {table} {{\n"
    for name in sets:
        yield from _block(f"set {name}", [f"type {name.type}"])
    for chain, (hook, _, priority, _) in BASE_CHAINS.items():
        yield from _block(f"chain {chain}", [f"type filter hook {hook} priority {priority}; policy accept;"])
    yield "}\n"


def _flushes(sets: Iterable[SetName], table: str) -> Iterator[str]:
    yield f"flush table {table}\n"
    yield from (f"flush set {table} {name}\n" for name in sets)


def _definitions(chains: Iterable[Chain], custom: Iterable[CustomChain], table: str) -> Iterator[str]:
    """Custom rules as commands, not in a block: a line that is not a rule is refused, wherever its braces are."""
    yield f"table {table} {{\n"
    for chain in custom:
        yield from _block(f"chain {chain.name}", ())
    for each in chains:
        yield from _block(f"chain {each.name}", (rule.text for rule in each.rules))
    yield "}\n"
    yield from (f"add rule {table} {chain.name} {line}\n" for chain in custom for line in chain.lines)


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"\t{head} {{\n"
    yield from (f"\t\t{line}\n" for line in lines)
    yield "\t}\n"


def messages_of(
    sets: Iterable[SetName], chains: Iterable[Chain], custom: Iterable[CustomChain], members: Elements
) -> Batch:
    """The transaction as the kernel takes it; the rules of custom chains are to follow."""
    writer, sets, chains = BatchWriter(), tuple(sets), tuple(chains)
    writer.add(NEW_TABLE, 0, _OURS, number(uapi.NFTA_TABLE_FLAGS, 0))
    for each in sets:
        add_set(writer, each)
    for name in BASE_CHAINS:
        add_chain(writer, name)
    writer.add(DELETE_RULE, 0, _OURS)
    for each in sets:
        writer.add(DELETE_ELEMENTS, 0, _OURS, text_attribute(uapi.NFTA_SET_ELEM_LIST_SET, str(each)))
    for name in (*(chain.name for chain in custom), *(chain.name for chain in chains)):
        if name not in BASE_CHAINS:
            add_chain(writer, name)
    add_rules(writer, chains)
    add_elements(writer, members)
    return writer.batch()


def add_set(writer: BatchWriter, name: SetName, flags: int = 0) -> None:
    """Make a set; one that is there is no error without the flag EXCLUSIVE."""
    writer.add(NEW_SET, CREATE | flags, _set_body(name), _SET_ID)


def add_chain(writer: BatchWriter, name: str, flags: int = 0) -> None:
    """Make a chain; flags as above."""
    writer.add(NEW_CHAIN, CREATE | flags, _chain_body(name))


def add_rules(writer: BatchWriter, chains: Iterable[Chain]) -> None:
    """Add the rules of chains, once in a transaction: sets without names are numbered from 1 on."""
    identity = 1
    for chain in chains:
        identity = _add_rules(writer, chain, identity)


def with_rules(before: Batch, chains: Iterable[Chain]) -> Batch:
    """A transaction with the rules of more chains, which are there by then."""
    writer, identity = BatchWriter(before), 1 << 16
    for chain in chains:
        identity = _add_rules(writer, chain, identity)
    return writer.batch()


def after_removal(batch: Batch) -> Batch:
    """A transaction that deletes any tables of our name first, of the families that it is about, in the same commit."""
    return in_one((*(removal(create=True).in_family(family) for family in batch.families), batch))


def removal(*, create: bool = False) -> Batch:
    """Delete the table, which exists or is made before."""
    writer = BatchWriter()
    if create:
        writer.add(NEW_TABLE, 0, _OURS, number(uapi.NFTA_TABLE_FLAGS, 0))
    writer.add(DELETE_TABLE, 0, _OURS)
    return writer.batch()


def clearing(sets: Iterable[int], chains: Iterable[int]) -> Batch:
    """Delete sets, which may refer to chains, and then chains, by handle."""
    writer = BatchWriter()
    for handle in sets:
        writer.add(DELETE_SET, 0, _OURS, attribute(uapi.NFTA_SET_HANDLE, handle.to_bytes(8, "big")))
    for handle in chains:
        writer.add(DELETE_CHAIN, 0, _OURS, attribute(uapi.NFTA_CHAIN_HANDLE, handle.to_bytes(8, "big")))
    return writer.batch()


def chain_contents(names: Iterable[str]) -> frozenset[bytes]:
    """The canonical content of our chains."""
    return frozenset(map(_chain_content, names))


@lru_cache(maxsize=1 << 10)
def _chain_content(name: str) -> bytes:
    return chain_content(dict(attributes(_chain_body(name))))


def set_contents(sets: Iterable[SetName]) -> frozenset[bytes]:
    """The canonical content of our sets."""
    return frozenset(map(one_set_content, sets))


@lru_cache(maxsize=1 << 10)
def one_set_content(name: SetName) -> bytes:
    """The canonical content of one of our sets."""
    return set_content(dict(attributes(_set_body(name))))


@lru_cache(maxsize=1 << 10)
def _set_body(name: SetName) -> bytes:
    kind, size, order = name.kernel_type
    return b"".join(
        (
            _OURS,
            text_attribute(uapi.NFTA_SET_NAME, str(name)),
            number(uapi.NFTA_SET_FLAGS, 0),
            number(uapi.NFTA_SET_KEY_TYPE, kind),
            number(uapi.NFTA_SET_KEY_LEN, size),
            attribute(uapi.NFTA_SET_USERDATA, order),
        )
    )


def _chain_body(name: str) -> bytes:
    body = _OURS + text_attribute(uapi.NFTA_CHAIN_NAME, name)
    if name not in BASE_CHAINS:
        return body
    _, hook, priority, _ = BASE_CHAINS[name]
    hooked = number(uapi.NFTA_HOOK_HOOKNUM, hook) + number(uapi.NFTA_HOOK_PRIORITY, priority)
    policy, kind = number(uapi.NFTA_CHAIN_POLICY, _ACCEPT), text_attribute(uapi.NFTA_CHAIN_TYPE, "filter")
    return body + nested(uapi.NFTA_CHAIN_HOOK, hooked) + policy + kind


def _add_rules(writer: BatchWriter, chain: Chain, identity: int) -> int:
    """Add the rules of a chain; return the next identity for anonymous sets."""
    head = _OURS + text_attribute(uapi.NFTA_RULE_CHAIN, chain.name)
    for rule in chain.rules:
        if rule.prepared is not None:
            writer.add(NEW_RULE, CREATE | APPEND, head, rule.prepared[1])
            continue
        expressions = []
        for each in rule.code:
            if isinstance(each, AnonymousSet):
                identity += 1
                _add_anonymous(writer, each, identity)
                expressions.append(lookup_in(_ANONYMOUS, identity, each.use))
            else:
                expressions.append(each)
        writer.add(NEW_RULE, CREATE | APPEND, head, rule.body(b"".join(expressions)))
    return identity


def _add_anonymous(writer: BatchWriter, added: AnonymousSet, identity: int) -> None:
    name = text_attribute(uapi.NFTA_SET_NAME, _ANONYMOUS)
    writer.add(NEW_SET, CREATE, _OURS, name, number(uapi.NFTA_SET_ID, identity), added.attributes)
    target = (
        text_attribute(uapi.NFTA_SET_ELEM_LIST_SET, _ANONYMOUS),
        number(uapi.NFTA_SET_ELEM_LIST_SET_ID, identity),
    )
    for start in range(0, len(added.elements), _ELEMENTS_AT_ONCE):
        some = b"".join(added.elements[start : start + _ELEMENTS_AT_ONCE])
        writer.add(NEW_ELEMENTS, CREATE, _OURS, *target, nested(uapi.NFTA_SET_ELEM_LIST_ELEMENTS, some))
