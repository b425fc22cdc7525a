"""From labels to the selectors that could match them, without a try of each.

A selector is filed under one label that it requires, so that an object is compared only with selectors that share a
label with it, and with the few that require none. The result are candidates: each is still to be matched.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from mnp_core.cluster.multimap import Multimap
from mnp_core.model import Operator, Selector

Item = TypeVar("Item", bound=Hashable)

Label = tuple[str, str]
_Key = tuple[str | None, Label | None]


def required_labels(selector: Selector) -> tuple[Label | None, ...]:
    """Labels of which a matching object has at least one; ``(None,)`` for a selector that requires none."""
    if selector.never:
        return ()
    wanted = [r for r in selector.requirements if r.operator is Operator.IN]
    if not wanted:
        return (None,)
    narrowest = min(wanted, key=lambda requirement: len(requirement.values))
    return tuple((narrowest.key, value) for value in narrowest.values)


class SelectorIndex(Generic[Item]):
    """Items by their selector, and by namespace if the selector is limited to one."""

    def __init__(self) -> None:
        self._items: Multimap[_Key, Item] = Multimap()

    def add(self, item: Item, namespace: str | None, selector: Selector) -> None:
        """File an item; a namespace of None stands for all namespaces."""
        for label in required_labels(selector):
            self._items.add((namespace, label), item)

    def discard(self, item: Item, namespace: str | None, selector: Selector) -> None:
        """Remove an item; the arguments are those of `add`."""
        for label in required_labels(selector):
            self._items.discard((namespace, label), item)

    def candidates(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Item]:
        """All items that could select an object; none of them twice unless a selector lists one label twice."""
        for filed_under in (namespace, None):
            yield from self._items[filed_under, None]
            for label in labels.items():
                yield from self._items[filed_under, label]
