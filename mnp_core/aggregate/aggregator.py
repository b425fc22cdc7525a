"""The aggregator: policies and summaries in, statuses out.

Watches deliver on their threads; `step` runs on one thread, about every second. A new verdict is written
at once, new counts at intervals, and nothing that says the same as before.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from mnp_core.aggregate.policies import KnownPolicy, read_policy
from mnp_core.aggregate.writer import StatusWriter, Written
from mnp_core.conditions.status import policy_status, same, verdict
from mnp_core.conditions.summary import decode
from mnp_core.conditions.tally import Tally
from mnp_core.model import ObjectName

SILENT_SECONDS: Final = 900.0
"""Three renewals: a node without news for so long is silent."""

LOST_SECONDS: Final = 3600.0
"""A node without news for so long no longer counts, and its summary is deleted."""

PROGRESS_SECONDS: Final = 10.0
"""Between two statuses of a policy that is being brought into force, while the verdict stays."""

COUNTS_SECONDS: Final = 60.0
"""Between two statuses of a policy that differ in counts alone: pods come and go all the time."""

SETTLE_SECONDS: Final = 60.0
"""For nodes that are between two states of the policies when the aggregator starts: three intervals of theirs."""

_LOOK_AGAIN_SECONDS: Final = 2.0
_AGAIN: Final = {Written.CONFLICT: 1.0, Written.FAILED: 2.0, Written.REFUSED: 60.0}  # seconds
_SLICE_SECONDS: Final = 0.5  # of one step, until the Lease has its turn

_summary = msgspec.json.Decoder(dict[str, Any])
_log = structlog.stdlib.get_logger(__name__)


class Aggregator:
    """Joins summaries with policies. `put_policy` and `put_summary` may be called on any thread."""

    def __init__(
        self,
        writer: StatusWriter,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing.

        Args:
            writer: Writes.
            settle_seconds: See `SETTLE_SECONDS`.
            clock: Seconds, monotonic.
            wall: Seconds since the epoch.
        """
        self._writer, self._clock, self._wall = writer, clock, wall
        self._settle_seconds, self._complete_at = settle_seconds, 0.0
        self._lock = threading.Lock()
        self._tally = Tally()
        self._policies: dict[ObjectName, KnownPolicy] = {}
        self._due: dict[ObjectName, float] = {}
        self._written_at: dict[ObjectName, float] = {}
        self._lost: dict[str, None] = {}
        self.results: Counter[Written] = Counter()

    # --- from the watches -----------------------------------------------------------------------------------------

    def put_policy(self, name: ObjectName, raw: bytes | None) -> None:
        """Take a policy in its present state; None if it is gone."""
        policy = read_policy(name, raw, self._policies.get(name)) if raw is not None else None
        with self._lock:
            if policy is None:
                self._policies.pop(name, None)
                self._written_at.pop(name, None)
            else:
                self._policies[name] = policy
            self._tally.put_policy(name, policy.token if policy is not None else None)

    def put_summary(self, name: ObjectName, raw: bytes | None) -> None:
        """Take a node's summary in its present state; None if it is gone. One that is none counts as gone."""
        summary = None
        if raw is not None:
            try:
                summary = decode(_summary.decode(raw).get("summary"))
            except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
                _log.warning("a summary cannot be read", node=name.name, error=str(error))
        with self._lock:
            self._lost.pop(name.name, None)
            self._tally.put_summary(name.name, summary, self._clock())

    # --- on its own thread ----------------------------------------------------------------------------------------

    def step(self, *, complete: bool, leading: bool) -> None:
        """Age the nodes, and write the statuses that are due.

        Args:
            complete: Whether all policies and summaries were read once.
            leading: Whether this process may write.
        """
        now = self._clock()
        with self._lock:
            lost = self._tally.expire(now, silent_after=SILENT_SECONDS, lost_after=LOST_SECONDS)
            self._lost.update(dict.fromkeys(lost))
            self._note_changed()
        if complete and not self._complete_at:
            self._complete_at = now
        if complete and leading and self._settled(now) and self._writer.supported():
            self._write_due(now)
            self._delete_lost()

    @property
    def nodes(self) -> int:
        """The number of nodes with a summary."""
        return self._tally.nodes

    @property
    def policies(self) -> int:
        """The number of policies."""
        return len(self._policies)

    @property
    def waiting(self) -> int:
        """The number of policies whose status is to be looked at."""
        return len(self._due)

    def _settled(self, now: float) -> bool:
        return not self._tally.behind or now >= self._complete_at + self._settle_seconds

    def _note_changed(self) -> None:
        for name in self._tally.take_changed():
            if name in self._policies:
                self._due.setdefault(name, 0.0)
            else:
                self._due.pop(name, None)

    def _write_due(self, now: float) -> None:
        end = now + _SLICE_SECONDS
        for name in [name for name, at in self._due.items() if at <= now]:
            if not self._writer.ready or self._clock() > end:
                return
            del self._due[name]  # at the end of the line, if it comes back
            if (again := self._consider(name, now)) is not None:
                self._due[name] = again

    def _consider(self, name: ObjectName, now: float) -> float | None:
        """Write a policy's status if it says something new; when to look again, if ever."""
        with self._lock:
            policy, count = self._policies.get(name), self._tally.count(name)
        if policy is None or count is None:
            return None
        status = policy_status(policy.facts, count, before=policy.status, now=self._timestamp())
        if same(status, policy.status):
            return None
        if verdict(status) == verdict(policy.status):
            pause = PROGRESS_SECONDS if count.pending or count.unseen else COUNTS_SECONDS
            if now < self._written_at.get(name, -pause) + pause:
                return now + _LOOK_AGAIN_SECONDS
        result, version = self._writer.write(name, policy.version, status)
        self.results[result] += 1
        if result is Written.WRITTEN:
            self._written_at[name] = now
            self._note_written(name, policy, version, status)
        return now + _AGAIN[result] if result in _AGAIN else None

    def _note_written(self, name: ObjectName, policy: KnownPolicy, version: str, status: dict[str, Any]) -> None:
        """Record it ahead of the watch, unless that was faster."""
        with self._lock:
            if version and self._policies.get(name) is policy:
                policy.version, policy.status = version, status

    def _delete_lost(self) -> None:
        while self._lost and self._writer.ready:
            node = next(iter(self._lost))
            if not self._writer.delete(node):
                return
            self._lost.pop(node, None)
            _log.info("the summary of a lost node is deleted", node=node)

    def _timestamp(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))
