"""Writes statuses: one request at a time, within a rate, and with patience for the server.

A status is written with the resourceVersion that it was made from, so that a process which has lost its Lease, or
knows an older policy, is refused (409).
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from mnp_core.conditions.summary import SUMMARY
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi import ApiServer
from mnp_core.kubeapi.pause import Pause
from mnp_core.model import ObjectName
from mnp_core.model.kinds import POLICY
from mnp_core.telemetry.events.bucket import TokenBucket

_LONGEST_PAUSE_SECONDS: Final = 60.0
_FORBIDDEN_SECONDS: Final = 300.0
_SUPPORTED_SECONDS: Final = 600.0  # until the subresource is looked for again
_UNSUPPORTED_SECONDS: Final = 60.0
_BURST: Final = 20

_log = structlog.stdlib.get_logger(__name__)


class Written(StrEnum):
    """The result of a write; label of a metric."""

    WRITTEN = "written"
    CONFLICT = "conflict"  # the policy has changed meanwhile
    GONE = "gone"  # it is no more
    REFUSED = "refused"  # a missing right, or an invalid status
    FAILED = "failed"  # tried again later


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource]


class _Metadata(msgspec.Struct):
    version: str = msgspec.field(default="", name="resourceVersion")


class _Object(msgspec.Struct):
    metadata: _Metadata


_resources = msgspec.json.Decoder(_Resources)
_stored = msgspec.json.Decoder(_Object)


class StatusWriter:
    """Requests of the aggregator to the API server, beside its watches and its Lease. Not thread-safe."""

    def __init__(
        self,
        api: ApiServer,
        *,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin.

        Args:
            api: The API server.
            rate: Writes a second.
            clock: Seconds, monotonic.
            chance: From 0 to 1, to spread retries.
        """
        self._api, self._clock, self._pause = api, clock, Pause(_LONGEST_PAUSE_SECONDS, lambda: chance() / 2)
        self._pace = TokenBucket(rate=rate, burst=_BURST, now=clock())
        self._served, self._look_at = "", -math.inf  # the version that has a status
        self._said = ""

    @property
    def ready(self) -> bool:
        """Whether another request may be made now."""
        now = self._clock()
        return now >= self._pause.until and not self._pace.wait(now)

    def supported(self) -> bool:
        """Whether the definition of policies has a status; asked now and then, and told once if not."""
        now = self._clock()
        if now >= self._look_at and now >= self._pause.until:
            try:
                self._served = next(filter(self._has_status, POLICY.versions), "")
            except (ApiError, ApiUnreachableError) as error:
                self._hold(error)
                return bool(self._served)
            self._look_at = now + (_SUPPORTED_SECONDS if self._served else _UNSUPPORTED_SECONDS)
            if not self._served:
                remedy = "apply deploy/scheme-cel.yml or deploy/scheme.yml; until then there are Events alone"
                self._say("the definition of MultiNetworkPolicy has no status", remedy)
        return bool(self._served)

    def write(self, name: ObjectName, version: str, status: Mapping[str, Any]) -> tuple[Written, str]:
        """Write a status; the result, and the new resourceVersion."""
        self._pace.take(self._clock())
        folder = f"/apis/{POLICY.group}/{self._served}/namespaces/{quote(name.namespace, safe='')}/{POLICY.plural}"
        body = {"metadata": {"resourceVersion": version}, "status": status}
        try:
            answer = self._api.patch(f"{folder}/{quote(name.name, safe='')}/status", body)
            version = _stored.decode(answer).metadata.version
        except (ApiError, ApiUnreachableError) as error:
            return self._refused(name, error), ""
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            version = ""  # written; the watch brings it
        self._pause.succeeded()
        self._said = ""
        return Written.WRITTEN, version

    def delete(self, node: str) -> bool:
        """Delete the summary of a lost node; whether it is gone."""
        self._pace.take(self._clock())
        path = f"/apis/{SUMMARY.group}/{SUMMARY.versions[0]}/{SUMMARY.plural}/{quote(node, safe='')}"
        try:
            self._api.delete(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return True
            self._hold(error)
            return False
        except ApiUnreachableError as error:
            self._hold(error)
            return False
        return True

    def _has_status(self, version: str) -> bool:
        try:
            found = _resources.decode(self._api.get(f"/apis/{POLICY.group}/{version}"))
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return False
        return any(each.name == f"{POLICY.plural}/status" for each in found.resources)

    def _refused(self, name: ObjectName, error: ApiError | ApiUnreachableError) -> Written:
        match error.status if isinstance(error, ApiError) else 0:
            case HTTPStatus.CONFLICT:
                return Written.CONFLICT
            case HTTPStatus.NOT_FOUND | HTTPStatus.METHOD_NOT_ALLOWED:
                self._look_at = -math.inf  # the policy is gone, or the subresource
                return Written.GONE
            case HTTPStatus.FORBIDDEN:
                self._pause.hold(self._clock(), _FORBIDDEN_SECONDS)
                self._say("the status is forbidden", "use the kustomize component status", error=str(error))
                return Written.REFUSED
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                self._say("a status is refused", "report it", policy=str(name), error=str(error))
                return Written.REFUSED
        self._hold(error)
        return Written.FAILED

    def _hold(self, error: ApiError | ApiUnreachableError) -> None:
        self._pause.failed(self._clock(), error.retry_after if isinstance(error, ApiError) else None)
        _log.debug("no answer of use", error=str(error))

    def _say(self, problem: str, remedy: str, **more: str) -> None:
        """Log a standing problem once."""
        if problem != self._said:
            self._said = problem
            _log.warning(problem, remedy=remedy, **more)
