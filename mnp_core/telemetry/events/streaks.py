"""Failures in a row, pod by pod."""

from collections import OrderedDict
from typing import Final

from mnp_core.api import Outcome, Result
from mnp_core.model import ObjectName

REPEATED: Final = 3  # so many are no passing trouble
_MANY: Final = 4096  # pods that are kept in mind, more than a node runs


class Streaks:
    """Counts them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._failures: OrderedDict[ObjectName, int] = OrderedDict()

    def long(self, outcome: Outcome) -> bool:
        """Take in an outcome, and say whether it is a failure after others."""
        before = self._failures.pop(outcome.pod, 0)
        if outcome.result is not Result.FAILED:
            return False
        self._failures[outcome.pod] = before + 1
        if len(self._failures) > _MANY:
            self._failures.popitem(last=False)
        return before + 1 >= REPEATED
