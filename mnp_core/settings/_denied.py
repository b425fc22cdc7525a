"""Settings of the log of denied packets."""

from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model import DeniedLog
from mnp_core.settings._values import Values

_USUAL = DeniedLog()
_LARGEST_GROUP, _LARGEST_RATE, _LARGEST_BURST = 65535, 1000, 1000


class LogDenied(StrEnum):
    """The pods whose denied packets are logged."""

    OFF = "off"
    ANNOTATED = "annotated"  # those in namespaces with the annotation
    ALL = "all"


@frozen(kw_only=True)
class DeniedSettings:
    """The log of denied packets.

    Attributes:
        pods: Whose are logged.
        log: How rules log them.
    """

    pods: LogDenied = LogDenied.OFF
    log: DeniedLog = _USUAL

    @property
    def only_annotated(self) -> bool:
        """Whether namespaces have to ask for it."""
        return self.pods is LogDenied.ANNOTATED

    @property
    def in_rules(self) -> DeniedLog | None:
        """The log of the pods that have one; None if no pod has."""
        return None if self.pods is LogDenied.OFF else self.log


def parse_denied_settings(values: Values) -> DeniedSettings:
    """Understand them; raises InputError."""
    off_in_yaml = values.is_false("log-denied")
    return DeniedSettings(
        pods=LogDenied.OFF if off_in_yaml else values.choice("log-denied", LogDenied, LogDenied.OFF),
        log=DeniedLog(
            group=values.whole_number("denied-log-group", _USUAL.group, _LARGEST_GROUP),
            rate=values.whole_number("denied-log-rate", _USUAL.rate, _LARGEST_RATE),
            burst=values.whole_number("denied-log-burst", _USUAL.burst, _LARGEST_BURST),
        ),
    )
