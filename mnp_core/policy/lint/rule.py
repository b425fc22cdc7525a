"""Rules, and their findings."""

from enum import StrEnum

import attrs

from mnp_core.classes import frozen
from mnp_core.model import ObjectRef


class Level(StrEnum):
    """The urgency of a finding."""

    ERROR = "error"  # something is not enforced as it looks
    WARNING = "warning"  # everything is enforced, and hardly as it was meant
    HINT = "hint"  # worth knowing

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return list(Level).index(self)


@frozen(kw_only=True)
class Rule:
    """A kind of finding.

    Attributes:
        id: Stable, for settings of other programs: ``MNP101``.
        name: Stable, for people: ``SelectsNothing``; for reports of objects the reason.
        level: Of its findings, unless a finding has another.
        meaning: One sentence.
        remedy: The usual fix, one sentence.
    """

    id: str
    name: str
    level: Level
    meaning: str
    remedy: str


@frozen(kw_only=True, order=True)
class Finding:
    """A finding about one field of one object.

    Attributes:
        about: The object at fault.
        field: Path of the field, as in ``spec.ingress[0].from[1].ipBlock.cidr``; empty for the whole object.
        rule: The kind of finding.
        message: The finding and its effect, one sentence.
        remedy: The fix, one sentence.
        level: Its urgency.
    """

    about: ObjectRef
    field: str
    rule: Rule = attrs.field(order=lambda rule: rule.id)
    message: str
    remedy: str
    level: Level
