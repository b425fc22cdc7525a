"""Pods by label and by label key: selectors evaluated by set operations, without a try of each pod."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from mnp_core.cluster.multimap import Multimap
from mnp_core.cluster.selector_index import Label
from mnp_core.model import ObjectName, Operator, Requirement, Selector


class LabelIndex:
    """The labels of pods."""

    def __init__(self) -> None:
        self._by_label: Multimap[Label, ObjectName] = Multimap()
        self._by_key: Multimap[str, ObjectName] = Multimap()

    def add(self, name: ObjectName, labels: Mapping[str, str]) -> None:
        """File a pod."""
        for label in labels.items():
            self._by_label.add(label, name)
            self._by_key.add(label[0], name)

    def discard(self, name: ObjectName, labels: Mapping[str, str]) -> None:
        """Remove a pod; the labels are those of `add`."""
        for label in labels.items():
            self._by_label.discard(label, name)
            self._by_key.discard(label[0], name)

    def select(self, names: AbstractSet[ObjectName], selector: Selector) -> AbstractSet[ObjectName]:
        """Those of these pods that a selector matches (meta/v1 LabelSelector, S10)."""
        if selector.never:
            return frozenset()
        for requirement in sorted(selector.requirements, key=_selectivity):
            if not names:
                break
            named = self._named(requirement)
            names = names & named if requirement.operator in _POSITIVE else names - named
        return names

    def _named(self, requirement: Requirement) -> AbstractSet[ObjectName]:
        """Pods with the key or with one of the values."""
        if not requirement.values:
            return self._by_key[requirement.key]
        found = [self._by_label[requirement.key, value] for value in requirement.values]
        return found[0] if len(found) == 1 else frozenset[ObjectName]().union(*found)


_POSITIVE = frozenset({Operator.IN, Operator.EXISTS})


def _selectivity(requirement: Requirement) -> tuple[bool, int]:
    """Positive requirements first, those with the fewest values before others."""
    return requirement.operator not in _POSITIVE, len(requirement.values)
