"""What changed, a line for each change: neither for each event of the API nor for each attempt.

Membership updates touch many pods at once and happen all the time, so those of one pass are one line. A failure that
repeats itself is said again ever more rarely, with how often it happened.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import structlog
from attrs import frozen

from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.telemetry.repeats import Repeats

_FEW: Final = 8  # names in one line
_LINES: Final = 5  # for reports of one object with one reason

_log = structlog.stdlib.get_logger(__name__)


@frozen(kw_only=True)
class PodContext:
    """What is worth knowing in a line about a pod.

    Attributes:
        interfaces: Names of its policed interfaces.
        policies: Names of the policies that select it.
    """

    interfaces: Sequence[str] = ()
    policies: Sequence[str] = ()


class Journal:
    """Told by the node's loop, on one thread; source observers may call from others."""

    def __init__(
        self,
        *,
        context: Callable[[ObjectName], PodContext] = lambda _: PodContext(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without memory.

        Args:
            context: Finds what is worth knowing of a pod; called for each line about one.
            clock: Seconds, monotonic.
        """
        self._context = context
        self._updated: list[Outcome] = []
        self._repeats = Repeats(clock=clock)

    def outcome(self, outcome: Outcome) -> None:
        """Say what became of a pod, if anything changed."""
        if outcome.result is Result.FAILED:
            self._failed(outcome)
            return
        if attempts := self._repeats.over(outcome.pod):
            self._say("info", "recovered", outcome, attempts=attempts)
        elif outcome.drifted:
            self._say("warning", "drift mended", outcome)
        elif outcome.result is Result.UPDATED:
            self._updated.append(outcome)
        elif outcome.result is not Result.UNCHANGED:
            self._say("info", f"rules {outcome.result.value}", outcome)

    def flush(self) -> None:
        """Say what was updated since the last time, in one line."""
        updated, self._updated = self._updated, []
        pods = {outcome.pod for outcome in updated}
        if len(pods) == 1:
            self._say("info", "members updated", updated[-1])
        elif pods:
            longest = max(outcome.seconds for outcome in updated)
            _log.info("members updated", pods=len(pods), updates=len(updated), longest_seconds=round(longest, 4))

    def reports(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Say which problems are new, and which are gone."""
        for report, more in _first(appeared):
            if report.severity is Severity.HINT:
                _log.info("hint", **_fields(report), **more)
            else:
                _log.warning("problem", **_fields(report), **more)
        for report, more in _first(gone for gone in vanished if gone.severity is Severity.PROBLEM):
            _log.info("problem gone", object=str(report.about), field=report.field, reason=report.reason.value, **more)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """A watch was begun anew."""
        if times := self._repeats.again(("watch", kind, cause)):
            _log.info("watch restarted", kind=kind, cause=cause, times=times)

    def listed(self, kind: str, count: int) -> None:
        """All objects of a kind were read."""
        _log.info("listed", kind=kind, objects=count)

    def refused(self, kind: str, sentence: str) -> None:
        """The API server does not let us read a kind."""
        if times := self._repeats.again(("refused", kind, sentence)):
            _log.error("refused by the API server", kind=kind, error=sentence, times=times)

    def _failed(self, outcome: Outcome) -> None:
        reason = (outcome.failure or Failure.OTHER).value
        if outcome.passing:
            self._say("debug", "not yet", outcome, reason=reason, error=outcome.error)
        elif attempts := self._repeats.again(outcome.pod, reason):
            self._say("error", "failed", outcome, reason=reason, error=outcome.error, attempts=attempts)

    def _say(self, level: str, message: str, outcome: Outcome, **more: object) -> None:
        context = self._context(outcome.pod)
        fields: dict[str, object] = {
            "pod": str(outcome.pod),
            "interfaces": _names(context.interfaces),
            "policies": _names(context.policies),
            "backend": outcome.backend,
            **more,
            "seconds": round(outcome.seconds, 4),
        }
        getattr(_log, level)(message, **{key: value for key, value in fields.items() if value != ""})


def _names(names: Sequence[str]) -> str:
    rest = len(names) - _FEW
    return ",".join([*names[:_FEW], *([f"and {rest} more"] if rest > 0 else [])])


def _fields(report: Report) -> dict[str, object]:
    return {
        "object": str(report.about),
        **({"field": report.field} if report.field else {}),
        "reason": report.reason.value,
        "message": report.message,
        "remedy": report.remedy,
    }


def _first(reports: Iterable[Report]) -> Iterator[tuple[Report, dict[str, int]]]:
    """A few reports of each object and reason; the last of them says how many more there are.

    A line takes longer to write than a fault to find: a thousand policies with fifty faults each would hold up all
    others for seconds.
    """
    alike = defaultdict[tuple[ObjectRef, Reason, Severity], list[Report]](list)
    for report in reports:
        alike[report.about, report.reason, report.severity].append(report)
    for found in alike.values():
        *others, last = found[:_LINES]
        yield from ((report, {}) for report in others)
        yield last, {"more": len(found) - _LINES} if len(found) > _LINES else {}
