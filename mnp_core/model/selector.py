"""Label selectors (meta/v1 LabelSelector), without requirements that cannot be evaluated (S13)."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field

from mnp_core.classes import frozen


class Operator(StrEnum):
    """The operators of LabelSelectorRequirement; ``matchLabels`` becomes IN with one value."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@frozen(kw_only=True)
class Requirement:
    """One condition on one label. NotIn and DoesNotExist match objects that lack the label (S10)."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether an object with these labels fulfils the requirement."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None

    @property
    def sort_key(self) -> tuple[str, str, tuple[str, ...]]:
        """A total order: equal selectors compare equal in any order of writing."""
        return self.key, self.operator.value, tuple(sorted(self.values))


def _canonical(requirements: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    return tuple(sorted(set(requirements), key=lambda requirement: requirement.sort_key))


@frozen(kw_only=True)
class Selector:
    """All requirements must hold; none at all means everything.

    Attributes:
        requirements: In canonical order, without duplicates.
        never: Matches nothing at all: a peer's selector that could not be evaluated (S13).
    """

    requirements: tuple[Requirement, ...] = field(default=(), converter=_canonical)
    never: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether an object with these labels is selected."""
        return not self.never and all(r.matches(labels) for r in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(never=True)
