"""From labels to the selectors that could match them, without trying them all.

A selector is filed under one label that it insists on, so that an object is only held against selectors that share a
label with it, and against the few that insist on none. What comes back are candidates: they still have to be matched.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from mnp_core.model import Operator, Selector

Item = TypeVar("Item", bound=Hashable)

Label = tuple[str, str]
_Key = tuple[str | None, Label | None]


def required_labels(selector: Selector) -> tuple[Label | None, ...]:
    """Labels of which a matching object has at least one; ``(None,)`` if there is no such promise."""
    if selector.never:
        return ()
    wanted = [r for r in selector.requirements if r.operator is Operator.IN]
    if not wanted:
        return (None,)
    narrowest = min(wanted, key=lambda requirement: len(requirement.values))
    return tuple((narrowest.key, value) for value in narrowest.values)


class SelectorIndex(Generic[Item]):
    """Items by their selector, and by namespace if they look into one only."""

    def __init__(self) -> None:
        self._buckets: dict[_Key, set[Item]] = defaultdict(set)

    def add(self, item: Item, namespace: str | None, selector: Selector) -> None:
        """File an item; a namespace of None stands for all of them."""
        for anchor in required_labels(selector):
            self._buckets[namespace, anchor].add(item)

    def discard(self, item: Item, namespace: str | None, selector: Selector) -> None:
        """Take an item out, with what it was filed under."""
        for anchor in required_labels(selector):
            bucket = self._buckets[namespace, anchor]
            bucket.discard(item)
            if not bucket:
                del self._buckets[namespace, anchor]

    def candidates(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Item]:
        """All items that could select an object; none of them twice unless a selector lists one label twice."""
        for place in (namespace, None):
            yield from self._buckets.get((place, None), ())
            for label in labels.items():
                yield from self._buckets.get((place, label), ())
