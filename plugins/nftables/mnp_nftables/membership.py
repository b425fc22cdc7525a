"""A change of membership as messages to nf_tables.

It is what most changes of a cluster come down to, in every pod at once, and small. libnftables would read the names of
all chains and sets before each of them, and takes some sixty system calls, each of which gives the interpreter lock
away: a dozen do (a third of the time, with many sandboxes at once). Any other change is left to libnftables.
"""

from collections.abc import Iterable, Iterator

from mnp_core.errors import ApplyError
from mnp_core.model import Delta
from mnp_nftables.netlink import DELETE_ELEMENTS, NEW_ELEMENTS, Message, attribute, nested, text_attribute
from mnp_nftables.renderer import TABLE
from mnp_nftables.sets import Elements, element_key

_CREATE, _EXCLUSIVELY = 0x400, 0x200  # NLM_F_CREATE, NLM_F_EXCL: refused where the element is there already
_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS in <linux/netfilter/nf_tables.h>
_ELEMENT, _KEY, _VALUE = 1, 1, 1  # NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
_AT_ONCE = 1000  # elements in a message: the length of an attribute has 16 bits, and the longest element takes 40 bytes


def messages(delta: Delta) -> Iterator[Message]:
    """What a delta says, in the order of its text.

    Raises:
        ApplyError: An element is not written as the renderer of this dialect does.
    """
    yield from _elements(NEW_ELEMENTS, _CREATE | _EXCLUSIVELY, delta.added)
    yield from _elements(DELETE_ELEMENTS, 0, delta.removed)


def _elements(kind: int, flags: int, changed: Elements) -> Iterator[Message]:
    for name in sorted(changed):
        head = text_attribute(_TABLE, TABLE) + text_attribute(_SET, name)
        for some in _batches(sorted(changed[name])):
            body = head + nested(_ELEMENTS, b"".join(map(_element, some)))
            yield Message(kind=kind, flags=flags, body=body, about=f"set {name}")


def _element(text: str) -> bytes:
    try:
        return nested(_ELEMENT, nested(_KEY, attribute(_VALUE, element_key(text))))
    except (OSError, ValueError, OverflowError) as error:
        raise ApplyError(f"{text!r} is no element of a set: address, or address . protocol . port") from error


def _batches(elements: list[str]) -> Iterable[list[str]]:
    return (elements[start : start + _AT_ONCE] for start in range(0, len(elements), _AT_ONCE))
