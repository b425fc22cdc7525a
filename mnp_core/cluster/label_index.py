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
        self._labels_by_key: Multimap[str, Label] = Multimap()

    def add(self, name: ObjectName, labels: Mapping[str, str]) -> None:
        """File a pod."""
        for label in labels.items():
            self._by_label.add(label, name)
            self._labels_by_key.add(label[0], label)

    def discard(self, name: ObjectName, labels: Mapping[str, str]) -> None:
        """Remove a pod; the labels are those of `add`."""
        for label in labels.items():
            self._by_label.discard(label, name)
            if not self._by_label[label]:
                self._labels_by_key.discard(label[0], label)

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
        labels = ((requirement.key, value) for value in requirement.values) if requirement.values else None
        return self._by_label.union(labels or self._labels_by_key[requirement.key])


_POSITIVE = frozenset({Operator.IN, Operator.EXISTS})


def _selectivity(requirement: Requirement) -> tuple[bool, int]:
    """Positive requirements first, those with the fewest values before others."""
    return requirement.operator not in _POSITIVE, len(requirement.values)
