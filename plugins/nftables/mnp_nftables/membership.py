"""Membership as messages to nf_tables: whole sets, and deltas."""

from collections.abc import Iterable, Sequence
from functools import cache
from operator import is_not

from mnp_core.errors import ApplyError
from mnp_core.model import Delta
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested, text_attribute
from mnp_core.netfilter.batch import Batch, BatchWriter, joined
from mnp_core.netfilter.messages import CREATE, DELETE_ELEMENTS, EXCLUSIVE, NEW_ELEMENTS
from mnp_nftables.recent import Recent
from mnp_nftables.sets import TABLE, Elements, element_key

_AT_ONCE = 1000  # elements in a message: the length of an attribute has 16 bits, and the longest element takes 40 bytes


def change(delta: Delta) -> Batch:
    """Encode a delta, in the order of its text; the kernel refuses to add existing members or remove missing ones.

    Raises:
        ApplyError: An element is not in the form of this dialect's renderer.
    """
    writer = BatchWriter()
    write_changes(writer, delta.added, delta.removed)
    return writer.batch()


class SharedChanges:
    """Encodes deltas, which many pods have in common one after the other: the last ones are remembered."""

    def __init__(self) -> None:
        self._last: tuple[Sequence[Delta], Batch] = (), Batch()

    def __call__(self, deltas: Sequence[Delta]) -> Batch:
        """All deltas as one transaction; errors as `change`."""
        last, batch = self._last  # one read: another thread may replace it
        if len(last) != len(deltas) or any(map(is_not, last, deltas)):
            batch = change(deltas[0]) if len(deltas) == 1 else joined(map(change, deltas))
            self._last = tuple(deltas), batch
        return batch


def write_changes(writer: BatchWriter, added: Elements, removed: Elements) -> None:
    """Add elements that are not there, remove elements that are; errors as `change`."""
    _write(writer, NEW_ELEMENTS, CREATE | EXCLUSIVE, added)
    _write(writer, DELETE_ELEMENTS, 0, removed)


def add_elements(writer: BatchWriter, members: Elements) -> None:
    """Fill sets; existing elements are no error."""
    _write(writer, NEW_ELEMENTS, CREATE, members)


def _write(writer: BatchWriter, kind: int, flags: int, changed: Elements) -> None:
    for name in sorted(changed):
        for elements in _encoded(changed[name]):
            writer.add(
                kind,
                flags,
                text_attribute(uapi.NFTA_SET_ELEM_LIST_TABLE, TABLE),
                text_attribute(uapi.NFTA_SET_ELEM_LIST_SET, name),
                elements,
            )


def _encode(members: frozenset[str]) -> tuple[bytes, ...]:
    """Attributes with at most `_AT_ONCE` elements each."""
    batches = _batches(sorted(members))
    return tuple(nested(uapi.NFTA_SET_ELEM_LIST_ELEMENTS, b"".join(map(_element, some))) for some in batches)


_encoded = Recent(_encode)


@cache
def _head(size: int) -> bytes:
    """The heads of the attributes around a key of so many bytes: the same before each, and most of the work."""
    return nested(uapi.NFTA_LIST_ELEM, nested(uapi.NFTA_SET_ELEM_KEY, attribute(uapi.NFTA_DATA_VALUE, bytes(size))))[
        :-size
    ]


def _element(text: str) -> bytes:
    try:
        key = element_key(text)
        return _head(len(key)) + key
    except (OSError, ValueError, OverflowError) as error:
        raise ApplyError(f"{text!r} is no element of a set: address, or address . protocol . port") from error


def _batches(elements: list[str]) -> Iterable[list[str]]:
    return (elements[start : start + _AT_ONCE] for start in range(0, len(elements), _AT_ONCE))
