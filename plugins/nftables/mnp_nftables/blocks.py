"""Lists of blocks as named sets, so that a CIDR that comes or goes is an element, and no rule is written.

A list has one hash set for each length of a prefix, which the address is masked to: an element for each block, whatever
overlaps or touches it. So a block that stays keeps its element, and packets find it in every moment of a change. (An
interval set has disjoint intervals alone: a neighbour that comes would replace the interval of a block that stays.)

What is left stands in rules: ranges, as excepts leave them, and lists of too many lengths. A change of these, of the
lengths that there are, or from or to the whole family is one of the rules.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from weakref import WeakValueDictionary

from attrs import field, frozen

from mnp_core.model import AddressRange, Block, BlocksDelta, Family, address_ranges
from mnp_nftables.recent import Recent
from mnp_nftables.sets import FAMILIES, Elements, SetName, address_text

PREFIX_LENGTHS = 8
"""Up to this number of lengths, sets of prefixes cost a packet less than an interval set does."""

_LAST = {4: 2**32 - 1, 6: 2**128 - 1}
_SIZE = {4: 4, 6: 16}


@frozen(kw_only=True)
class BlockForm:
    """The blocks of one family of a list.

    Attributes:
        is_whole: Whether every address of the family is in one; then the rest is empty.
        elements: First addresses of prefixes, as nft writes them, by length, the longest first.
        ranges: The addresses that rules are written for.
    """

    is_whole: bool = False
    elements: Mapping[int, frozenset[str]] = field(factory=dict)
    ranges: Sequence[AddressRange] = ()

    @property
    def shape(self) -> tuple[bool, tuple[int, ...], tuple[AddressRange, ...]]:
        """The part of it that rules depend on."""
        return self.is_whole, tuple(self.elements), tuple(self.ranges)


def form_of(blocks: tuple[Block, ...], family: Family, *, is_named: bool) -> BlockForm:
    """The form of one family of the blocks of a rule; those that are not `is_named` stand in rules."""
    return _named_forms(blocks)[family] if is_named else _form(blocks, family, is_named=False)


def _forms(blocks: tuple[Block, ...]) -> Mapping[Family, BlockForm]:
    return {family: _form(blocks, family, is_named=True) for family in FAMILIES}


_named_forms = Recent(_forms, key=id)


def list_names(list_id: str, blocks: tuple[Block, ...]) -> Iterator[tuple[SetName, frozenset[str]]]:
    """The sets of a list, each with its elements."""
    for family in FAMILIES:
        for length, found in form_of(blocks, family, is_named=True).elements.items():
            yield SetName(family=family, endpoints=False, group=list_id, length=length), found


def list_changes(delta: BlocksDelta) -> tuple[Elements, Elements] | None:
    """Elements that come and elements that go, by name of the set; None if rules change."""
    for family in FAMILIES:
        before, after = (form_of(blocks, family, is_named=True) for blocks in (delta.before, delta.after))
        if before.shape != after.shape:
            return None
    old, new = (dict(list_names(delta.id, blocks)) for blocks in (delta.before, delta.after))
    added = {str(name): new[name] - old[name] for name in new if new[name] - old[name]}
    removed = {str(name): old[name] - new[name] for name in new if old[name] - new[name]}
    return added, removed


def _form(blocks: tuple[Block, ...], family: Family, *, is_named: bool) -> BlockForm:
    mine = [block for block in blocks if block.family == family]
    plain = [block.prefix for block in mine if not block.excepts]
    if any(not length for length, _ in plain):
        return BlockForm(is_whole=True)
    by_length = defaultdict[int, set[int]](set)
    for length, first in plain if is_named else ():
        by_length[length].add(first)
    if len(by_length) > PREFIX_LENGTHS:
        by_length.clear()
    rest = [block for block in mine if block.excepts] if by_length else mine
    ranges = address_ranges(rest, family)
    if any(int(span.first) == 0 and int(span.last) == _LAST[family] for span in ranges):
        return BlockForm(is_whole=True)
    return BlockForm(
        elements={length: _texts(family, by_length[length]) for length in sorted(by_length, reverse=True)},
        ranges=ranges,
    )


def _texts(family: Family, numbers: set[int]) -> frozenset[str]:
    return _shared(frozenset([address_text(family, number.to_bytes(_SIZE[family], "big")) for number in numbers]))


_in_use: WeakValueDictionary[int, frozenset[str]] = WeakValueDictionary()
_lock = threading.Lock()  # of _in_use


def _shared(elements: frozenset[str]) -> frozenset[str]:
    """The equal set that somebody has already: what is kept of rules in force has each list once for all pods."""
    with _lock:
        found = _in_use.setdefault(hash(elements), elements)
    return found if found == elements else elements
