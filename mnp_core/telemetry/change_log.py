"""Logs changes: one line per change, not per API event or attempt.

Membership updates of one pass share one line, since they touch many pods. A repeated failure is logged at growing
intervals, with its count. Lines of one namespace are limited, and those left out are counted.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import structlog

from mnp_core.api import Failure, Outcome, Result, Sync
from mnp_core.classes import frozen
from mnp_core.model import ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.telemetry.line_limit import LineLimit
from mnp_core.telemetry.log_throttle import LogThrottle
from mnp_core.telemetry.sink import Sink

_MAX_NAMES: Final = 8  # names in one line
_MAX_LINES: Final = 5  # for the reports of one object with one reason

_log = structlog.stdlib.get_logger(__name__)


@frozen(kw_only=True)
class PodContext:
    """Fields of a log line about a pod.

    Attributes:
        interfaces: Names of its enforced interfaces.
        policies: The policies that select it.
    """

    interfaces: Sequence[str] = ()
    policies: Sequence[str | ObjectRef] = ()


class ChangeLog(Sink):
    """Called by the node's loop on one thread; source observers may call from others."""

    def __init__(
        self,
        *,
        context: Callable[[ObjectName], PodContext] = lambda _: PodContext(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty.

        Args:
            context: Looks up the fields of a pod; called for each line about one.
            clock: Seconds, monotonic.
        """
        self._context = context
        self._updated: list[Outcome] = []
        self._throttle = LogThrottle(clock=clock)
        self._limit = LineLimit(clock=clock)

    def outcome(self, outcome: Outcome) -> None:
        """Log an outcome, unless it is unchanged."""
        if outcome.result is Result.FAILED:
            self._failed(outcome)
            return
        if attempts := self._throttle.reset(outcome.pod):
            self._say("info", "recovered", outcome, attempts=attempts)
        elif outcome.drifted:
            self._say("warning", "drift repaired", outcome)
        elif outcome.result is Result.UPDATED:
            self._updated.append(outcome)
        elif outcome.result is not Result.UNCHANGED:
            self._say("info", f"rules {outcome.result.value}", outcome)

    def sync(self, sync: Sync) -> None:
        """Log the changes of a pass."""
        self.flush()
        self.reports(sync.appeared, sync.vanished)

    def flush(self) -> None:
        """Log the membership updates since the last call in one line."""
        updated, self._updated = self._updated, []
        pods = {outcome.pod for outcome in updated}
        if len(pods) == 1:
            self._say("info", "members updated", updated[-1])
        elif pods:
            longest = max(outcome.seconds for outcome in updated)
            _log.info("members updated", pods=len(pods), updates=len(updated), longest_seconds=round(longest, 4))

    def reports(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Log problems that have appeared or have been resolved."""
        for report, more in self._allowed(appeared):
            if report.severity is Severity.HINT:
                _log.info("hint", **_fields(report), **more)
            else:
                _log.warning("problem", **_fields(report), **more)
        gone = (report for report in vanished if report.severity is Severity.PROBLEM)
        for report, more in self._allowed(gone, "problem resolved"):
            _log.info(
                "problem resolved", object=str(report.about), field=report.field, reason=report.reason.value, **more
            )

    def state(self, **_: int) -> None:
        """Log how many lines were left out."""
        for namespace, lines in self._limit.take_left_out():
            _log.warning("lines left out", namespace=namespace, lines=lines)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Log the restart of a watch."""
        if times := self._throttle.should_log(("watch", kind, cause)):
            _log.info("watch restarted", kind=kind, cause=cause, times=times)

    def listed(self, kind: str, count: int) -> None:
        """Log a complete list of a kind."""
        _log.info("listed", kind=kind, objects=count)

    def refused(self, kind: str, sentence: str) -> None:
        """Log a refused read of a kind."""
        if times := self._throttle.should_log(("refused", kind, sentence)):
            _log.error("refused by the API server", kind=kind, error=sentence, times=times)

    def _failed(self, outcome: Outcome) -> None:
        reason = (outcome.failure or Failure.OTHER).value
        if outcome.transient:
            self._say("debug", "sandbox not ready", outcome, reason=reason, error=outcome.error)
        elif attempts := self._throttle.should_log(outcome.pod, reason):
            self._say("error", "failed", outcome, reason=reason, error=outcome.error, attempts=attempts)

    def _allowed(self, reports: Iterable[Report], kind: str = "") -> Iterator[tuple[Report, dict[str, int]]]:
        """The first reports of each object and reason, as far as the limit of their namespace goes."""
        for report, more in _first(reports):
            if self._limit.allows(report.about.name.namespace, kind or report.reason.value):
                yield report, more

    def _say(self, level: str, message: str, outcome: Outcome, **more: object) -> None:
        if not self._limit.allows(outcome.pod.namespace, message):
            return
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


def _names(names: Sequence[str | ObjectRef]) -> str:
    rest = len(names) - _MAX_NAMES
    return ",".join([*map(str, names[:_MAX_NAMES]), *([f"and {rest} more"] if rest > 0 else [])])


def _fields(report: Report) -> dict[str, object]:
    return {
        "object": str(report.about),
        **({"field": report.field} if report.field else {}),
        "reason": report.reason.value,
        "message": report.message,
        "remedy": report.remedy,
    }


def _first(reports: Iterable[Report]) -> Iterator[tuple[Report, dict[str, int]]]:
    """The first reports of each object and reason; the last one carries the number of omitted ones.

    A thousand policies with fifty faults each would block the log for seconds.
    """
    alike = defaultdict[tuple[ObjectRef, Reason, Severity], list[Report]](list)
    for report in reports:
        alike[report.about, report.reason, report.severity].append(report)
    for found in alike.values():
        *others, last = found[:_MAX_LINES]
        yield from ((report, {}) for report in others)
        yield last, {"more": len(found) - _MAX_LINES} if len(found) > _MAX_LINES else {}
