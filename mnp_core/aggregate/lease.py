"""Leader election by a Lease (coordination.k8s.io/v1), as client-go does it.

A holder counts as gone when its Lease has not changed for its duration by our clock: clocks of nodes may differ. The
holder itself stops earlier, so that no two write at once while clocks run at the same speed.
"""

import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from mnp_core.errors import ApiError, ApiUnreachableError, MnpError
from mnp_core.kubeapi import ApiServer

DURATION_SECONDS: Final = 30
_RENEW_SECONDS: Final = 10.0
_GIVE_UP_SECONDS: Final = 20.0  # without a renewal
_RETRY_SECONDS: Final = 3.0

_log = structlog.stdlib.get_logger(__name__)


class Lease:
    """The Lease of the aggregators of a cluster. Not thread-safe."""

    def __init__(
        self,
        api: ApiServer,
        *,
        namespace: str,
        name: str,
        holder: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin without it.

        Args:
            api: The API server.
            namespace: Of the Lease.
            name: Of the Lease.
            holder: The name of this process; no other has it.
            clock: Seconds, monotonic.
            wall: Seconds since the epoch.
        """
        self._api, self._holder, self._clock, self._wall = api, holder, clock, wall
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        self._name = name
        self._renewed_at, self._next = -math.inf, -math.inf
        self._seen, self._seen_at = "", -math.inf
        self._said = ""

    @property
    def held(self) -> bool:
        """Whether this process may write."""
        return self._clock() < self._renewed_at + _GIVE_UP_SECONDS

    def tend(self) -> bool:
        """Acquire or renew it when that is due; whether it is held. To be called every second or so."""
        now = self._clock()
        if now >= self._next:
            was_held = self.held
            try:
                renewed = self._try(now)
            except (ApiError, ApiUnreachableError, msgspec.MsgspecError) as error:
                renewed = False
                self._failed(error)
            if renewed:
                self._renewed_at, self._said = now, ""
            self._next = now + (_RENEW_SECONDS if renewed else _RETRY_SECONDS)
            if self.held != was_held:
                _log.info("leading" if self.held else "no longer leading", lease=self._name, holder=self._holder)
        return self.held

    def release(self) -> None:
        """Let another process take it over at once."""
        if not self.held:
            return
        self._renewed_at = -math.inf
        try:
            lease = self._read()
            if lease is not None and lease["spec"].get("holderIdentity") == self._holder:
                self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except (MnpError, msgspec.MsgspecError) as error:
            _log.debug("lease not released", error=str(error))

    def _try(self, now: float) -> bool:
        lease = self._read()
        time_now = self._time()
        ours: dict[str, Any] = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": time_now,
        }
        if lease is None:
            spec = {**ours, "acquireTime": time_now, "leaseTransitions": 0}
            head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            self._api.post(self._folder, {**head, "spec": spec})
            return True
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") != self._holder:
            if not self._is_free(lease, now):
                return False
            transitions = spec.get("leaseTransitions") or 0
            ours |= {"acquireTime": time_now, "leaseTransitions": transitions + 1}
        self._write(lease, ours)
        return True

    def _is_free(self, lease: dict[str, Any], now: float) -> bool:
        """Whether its holder has released it, or has not renewed it for its duration."""
        version, spec = str(lease["metadata"].get("resourceVersion")), lease.get("spec") or {}
        if version != self._seen:
            self._seen, self._seen_at = version, now
        duration = spec.get("leaseDurationSeconds") or DURATION_SECONDS
        return not spec.get("holderIdentity") or now >= self._seen_at + duration

    def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = msgspec.json.decode(self._api.get(self._path), type=dict[str, Any])
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        return found

    def _write(self, lease: dict[str, Any], spec: dict[str, Any]) -> None:
        """Change it, unless somebody else has since it was read (409)."""
        metadata = {"resourceVersion": lease["metadata"].get("resourceVersion")}
        self._api.patch(self._path, {"metadata": metadata, "spec": spec})

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT:
            return  # another was faster
        if type(error).__name__ != self._said:
            self._said = type(error).__name__
            _log.warning("the lease cannot be renewed", lease=self._name, error=str(error))

    @property
    def _path(self) -> str:
        return f"{self._folder}/{quote(self._name, safe='')}"

    def _time(self) -> str:
        """MicroTime (meta/v1)."""
        now = self._wall()
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06}Z"
