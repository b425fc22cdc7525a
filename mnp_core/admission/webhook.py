"""The webhook over HTTPS: every review is answered, and lets the object in unless something speaks against it."""

import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import structlog

from mnp_core.admission.judge import Judge
from mnp_core.admission.known_cluster import View
from mnp_core.admission.review import Review, Verdict, answer, read_review
from mnp_core.errors import InputError
from mnp_core.telemetry.httpserver import Page
from mnp_core.telemetry.log_throttle import LogThrottle

_JSON: Final = "application/json"
_FAILED: Final = "mnp: the check of this policy failed, it was not checked: report it (the webhook's log has the error)"

Look = Callable[[], tuple[View | None, str]]
"""The cluster; None if it cannot be seen, and why."""

_log = structlog.stdlib.get_logger(__name__)


class Result(StrEnum):
    """The result of a review; label of a metric."""

    ACCEPTED = "accepted"
    WARNED = "warned"
    REFUSED = "refused"
    UNSEEN = "unseen"  # accepted, without a look at other objects
    FAILED = "failed"  # accepted, since the check itself failed
    MALFORMED = "malformed"  # no review at all


class Webhook:
    """Answers reviews, on many threads."""

    def __init__(self, judge: Judge, look: Look) -> None:
        """Judge what comes, with `look` at the cluster."""
        self._judge, self._look = judge, look
        self._throttle = LogThrottle()
        self.results: Counter[Result] = Counter()
        self.seconds = 0.0

    def validate(self, body: bytes) -> Page:
        """The answer to a request."""
        begun = time.monotonic()
        try:
            review = read_review(body)
        except InputError as error:
            self.results[Result.MALFORMED] += 1
            return Page(HTTPStatus.BAD_REQUEST, f"{error}\n".encode(errors="backslashreplace"))
        result, verdict = self._judged(review)
        self.results[result] += 1
        self.seconds += time.monotonic() - begun
        return Page(HTTPStatus.OK, answer(review.uid, verdict), _JSON)

    def _judged(self, review: Review) -> tuple[Result, Verdict]:
        view, unseen = self._look()
        try:
            verdict = self._judge.judge(review, view, unseen)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep policies from being stored
            if times := self._throttle.should_log("failed", type(error).__name__):
                _log.exception("a review has failed, the policy is let in", times=times)
            return Result.FAILED, Verdict(notes=(_FAILED,))
        if verdict.refused:
            return Result.REFUSED, verdict
        if verdict.notes:
            if times := self._throttle.should_log("unseen", unseen):
                _log.warning("policies are let in without a look at the cluster", cause=unseen, times=times)
            return Result.UNSEEN, verdict
        return (Result.WARNED if verdict.warned else Result.ACCEPTED), verdict
