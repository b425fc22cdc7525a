"""Operations: pending work, attempts, a type for each result, so that no value has two meanings; the last outcomes."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from attrs import field

from mnp_core.agent.ruleset_cache import LazyDelta
from mnp_core.api import Failure, Outcome, Result, Sandbox
from mnp_core.classes import define, frozen
from mnp_core.errors import (
    ApplyError,
    InputError,
    MnpError,
    PluginError,
    SandboxError,
    SandboxNotFoundError,
    UnsupportedError,
)
from mnp_core.inspection import Findings
from mnp_core.model import KnownRules, NetworkStatus, Ruleset, Severity
from mnp_core.sandbox.monitor import Listeners

_FAILURES: Final = {
    SandboxNotFoundError: Failure.NOT_FOUND,
    ApplyError: Failure.REFUSED,
    SandboxError: Failure.SANDBOX,
    UnsupportedError: Failure.UNSUPPORTED,
    PluginError: Failure.PLUGIN,
    InputError: Failure.INPUT,
    MnpError: Failure.OTHER,
}
_IN_FORCE: Final = frozenset({Result.APPLIED, Result.UNCHANGED})


class Operation(Enum):
    """Work for one pod. All but the first happens inside its sandbox."""

    LOCATE = auto()  # find the sandbox
    REPLACE = auto()  # all of our rules, as a whole
    FINALIZE = auto()  # the deferred part of a replacement
    UPDATE_MEMBERS = auto()  # membership alone
    VERIFY = auto()  # a check for foreign changes
    INSPECT = auto()  # its interfaces


Incarnation = tuple[str, Sequence[NetworkStatus]]
"""UID and attachments: another one means another sandbox."""


@frozen
class Deadline:
    """The earliest time of the next operation (time.monotonic)."""

    at: float


@frozen(kw_only=True)
class Stamp:
    """The rules that this process has written, or found.

    Attributes:
        digest: Of the ruleset.
        generation: Of the packet filter, read right after; a later difference means a change.
        quick: The applier's `quick_generation`; None if it has none.
        known: For the difference to the next ruleset; None where there is none.
        complete: Whether nothing but the ruleset is there: no leftovers of earlier ones.
    """

    digest: str
    generation: int
    quick: int | None = None
    known: KnownRules | None = field(default=None, repr=False, eq=False)
    complete: bool = False


@frozen(kw_only=True)
class Finalization:
    """The deferred part of a replacement.

    Attributes:
        ruleset: The ruleset in force, to be compared with the sandbox's rules of that time.
        run: Does the cleanup, which has no effect on packets.
    """

    ruleset: Ruleset
    run: Callable[[], None] = lambda: None


@define
class Pending:
    """The pending work in a sandbox; repeated requests merge.

    Attributes:
        replace: Write the whole ruleset, as compiled at the start.
        finalization: The deferred part of a replacement, for the time when every pod has its rules.
        deltas: Changes of membership since then, in order.
        verify: Check for foreign changes.
        inspect: Read the interfaces.
        received_at: The arrival of the oldest pending change (time.monotonic).
    """

    replace: bool = False
    finalization: Finalization | None = None
    deltas: list[LazyDelta] = field(factory=list)
    verify: bool = False
    inspect: bool = False
    received_at: float | None = None

    def receive(self, received_at: float | None) -> None:
        """Record the arrival of a change."""
        if received_at is not None:
            self.received_at = received_at if self.received_at is None else min(self.received_at, received_at)

    def add_replacement(self) -> None:
        """Request a write of the whole ruleset, changes of membership included."""
        self.replace, self.finalization = True, None
        self.deltas.clear()

    def take_changes(self) -> tuple[float | None, list[LazyDelta]]:
        """Take the changes for a write."""
        taken = self.received_at, self.deltas
        self.received_at, self.deltas = None, []
        return taken


@frozen(kw_only=True, eq=False)
class Attempt:
    """An operation under way, with its input.

    Attributes:
        operation: Its kind.
        started_at: Its start (time.monotonic).
        sandbox: Its sandbox; None to locate it.
        stamp: Of the rules in force there, as far as known.
        received_at: The arrival of the oldest change that caused it (time.monotonic); None without one.
        deltas: Changes of membership to write, in order.
        finalization: The deferred part of a replacement.
        thorough: Whether a check includes costly reads.
        drift_suspected: Whether the rules may have drifted, until they are read.
        commits_announced: Whether each foreign commit in the sandbox is announced.
    """

    operation: Operation
    started_at: float
    sandbox: Sandbox | None = None
    stamp: Stamp | None = None
    received_at: float | None = None
    deltas: Sequence[LazyDelta] = ()
    finalization: Finalization | None = None
    thorough: bool = False
    drift_suspected: bool = False
    commits_announced: bool = False


@frozen(kw_only=True)
class Change:
    """A change that an operation made in the sandbox, or confirmed there."""

    result: Result
    drifted: bool = False


@frozen(kw_only=True)
class Located:
    """The pod's sandbox was found."""

    sandbox: Sandbox


@frozen(kw_only=True)
class Replaced:
    """The whole ruleset is in force.

    Attributes:
        stamp: Of the rules in force.
        written: Whether it had to be written; else it was right already (S62).
        was_incomplete: Whether the rules were right before, but not effective on every interface.
        finalization: The deferred part; None without a write.
        listeners: Sockets that announce later changes; the receiver closes them. None if there are some already.
        commits_announced: Whether these announcements carry the generation.
    """

    stamp: Stamp
    written: bool
    was_incomplete: bool = False
    finalization: Finalization | None = None
    listeners: Listeners | None = None
    commits_announced: bool = False


@frozen(kw_only=True)
class Absent:
    """The sandbox needs no rules, and has none of ours.

    Attributes:
        removed: Whether rules had to be removed.
        findings: The interfaces of a pod without attachments.
    """

    removed: bool
    findings: Findings

    @property
    def leads_out(self) -> bool:
        """Whether an interface leads out of the pod all the same (S64)."""
        return any(problem.report.severity is Severity.PROBLEM for problem in self.findings.problems)


@frozen(kw_only=True)
class Finalized:
    """A replacement is complete.

    Attributes:
        stamp: Of the rules in force.
        updated: Whether changes of membership went with it.
        generations: Of our own commits, besides that of the stamp.
    """

    stamp: Stamp
    updated: bool = False
    generations: frozenset[int] = frozenset()


@frozen(kw_only=True)
class MembersUpdated:
    """Membership alone was changed.

    Attributes:
        stamp: Of the rules in force; the previous one after a concurrent foreign change, so that it is found (S63).
        generations: Of our own commits, besides that of the stamp.
    """

    stamp: Stamp
    generations: frozenset[int] = frozenset()


@frozen(kw_only=True)
class Verified:
    """The rules are unchanged since the stamp."""


@frozen(kw_only=True)
class DriftSuspected:
    """A foreign change, of our rules or of others: the rules in force are unknown until read (S63)."""


@frozen(kw_only=True)
class Inspected:
    """The interfaces were read; `comes_first`: in place of a replacement, which follows."""

    findings: Findings
    comes_first: bool = False


OperationResult = Located | Replaced | Absent | Finalized | MembersUpdated | Verified | DriftSuspected | Inspected


@frozen
class Past:
    """An outcome, and its time (time.monotonic)."""

    at: float
    outcome: Outcome


@frozen(kw_only=True)
class History:
    """The last results in one pod.

    Attributes:
        in_force_since: When its rules, as a whole, were last written or found in force; None without rules.
        change: The last change that succeeded.
        failure: The last failure, also if it is overcome.
    """

    in_force_since: float | None = None
    change: Past | None = None
    failure: Past | None = None

    def followed_by(self, past: Past) -> "History":
        """The history with one outcome more."""
        result = past.outcome.result
        if result is Result.FAILED:
            return History(in_force_since=self.in_force_since, change=self.change, failure=past)
        if result is Result.REMOVED:
            return History(change=past, failure=self.failure)
        found = result is Result.UNCHANGED and self.in_force_since is not None
        since = past.at if result in _IN_FORCE and not found else self.in_force_since
        return History(in_force_since=since, change=self.change if found else past, failure=self.failure)


def failure_of(error: BaseException) -> Failure:
    """The word for an error, by its nearest class; an error outside of any contract came from a plugin."""
    return next((_FAILURES[each] for each in type(error).__mro__ if each in _FAILURES), Failure.PLUGIN)
