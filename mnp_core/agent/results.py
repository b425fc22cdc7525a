"""Operations: what is pending, attempts, and a type for each result, so that no value stands for two things."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from attrs import define, field, frozen

from mnp_core.agent.inspection import Findings
from mnp_core.agent.ruleset_cache import LazyDelta
from mnp_core.api import Failure, Result, Sandbox
from mnp_core.errors import (
    ApplyError,
    InputError,
    MnpError,
    PluginError,
    SandboxError,
    SandboxNotFoundError,
    UnsupportedError,
)
from mnp_core.model import Ruleset, Severity
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


class Operation(Enum):
    """Work for one pod. All but the first happens inside its sandbox."""

    LOCATE = auto()  # find the sandbox
    REPLACE = auto()  # everything of ours, as a whole
    FINALIZE = auto()  # what a replacement leaves for later
    UPDATE_MEMBERS = auto()  # membership alone
    VERIFY = auto()  # whether others changed something
    INSPECT = auto()  # its interfaces


@frozen(kw_only=True)
class Stamp:
    """What this process put in force, or found there.

    Attributes:
        digest: Of the ruleset.
        generation: Of the packet filter, read right after; a later difference means a change.
        quick: The applier's `quick_generation`; None if it has none.
    """

    digest: str
    generation: int
    quick: int | None = None


@frozen(kw_only=True)
class Finalization:
    """The part of a replacement that is left for later.

    Attributes:
        ruleset: The ruleset in force, to be compared with what the sandbox has then.
        run: Does what packets do not see.
    """

    ruleset: Ruleset
    run: Callable[[], None] = lambda: None


@define
class Pending:
    """What is to be done in a sandbox; repeated requests merge.

    Attributes:
        replace: Write everything, as compiled when that starts.
        finalization: What a replacement left for later, when every pod has its rules.
        deltas: Changes of membership since then, in order.
        verify: See whether others changed something.
        inspect: Read the interfaces.
        received_at: When the oldest pending change arrived (time.monotonic).
    """

    replace: bool = False
    finalization: Finalization | None = None
    deltas: list[LazyDelta] = field(factory=list)
    verify: bool = False
    inspect: bool = False
    received_at: float | None = None

    def receive(self, received_at: float | None) -> None:
        """Note when a change arrived."""
        if received_at is not None:
            self.received_at = received_at if self.received_at is None else min(self.received_at, received_at)

    def add_replacement(self) -> None:
        """Write everything, changes of membership included."""
        self.replace, self.finalization = True, None
        self.deltas.clear()

    def take_changes(self) -> tuple[float | None, list[LazyDelta]]:
        """Hand over what a write takes along."""
        taken = self.received_at, self.deltas
        self.received_at, self.deltas = None, []
        return taken


@frozen(kw_only=True, eq=False)
class Attempt:
    """An operation under way, with what it works on.

    Attributes:
        operation: What is done.
        started_at: Since when (time.monotonic).
        sandbox: Where; None to locate it.
        stamp: What is in force there, as far as is known.
        received_at: When the oldest change arrived that it follows (time.monotonic); None if it follows none.
        deltas: Changes of membership to write, in order.
        finalization: What a replacement left for later.
        thorough: Whether a check reads what is costly to read.
        drift_suspected: Whether something was changed, and it is not known yet what.
        commits_announced: Whether each commit of others in the sandbox is announced.
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
    """Something that an operation changed in the sandbox, or confirmed there."""

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
        stamp: What is in force.
        written: Whether it had to be written; else it was right already (S62).
        was_incomplete: Whether the rules were right before, and only did not hold on every interface.
        finalization: What is left for later; None if nothing was written.
        listeners: Sockets that announce later changes; the receiver closes them. None if there are some already.
        commits_announced: Whether what comes on them carries the generation.
    """

    stamp: Stamp
    written: bool
    was_incomplete: bool = False
    finalization: Finalization | None = None
    listeners: Listeners | None = None
    commits_announced: bool = False


@frozen(kw_only=True)
class Absent:
    """Nothing of ours is to be in the sandbox, and nothing is.

    Attributes:
        removed: Whether there was something.
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
        stamp: What is in force.
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
        stamp: What is in force; the stamp from before if others changed something meanwhile, so that it is found (S63).
        generations: Of our own commits, besides that of the stamp.
    """

    stamp: Stamp
    generations: frozenset[int] = frozenset()


@frozen(kw_only=True)
class Verified:
    """Nothing was changed since the stamp."""


@frozen(kw_only=True)
class DriftSuspected:
    """Something was changed by others, ours or theirs: what is in force is unknown until it is read (S63)."""


@frozen(kw_only=True)
class Inspected:
    """The interfaces were read."""

    findings: Findings


OperationResult = Located | Replaced | Absent | Finalized | MembersUpdated | Verified | DriftSuspected | Inspected


def failure_of(error: BaseException) -> Failure:
    """The word for an error, by its nearest class; one that no contract allows came from a plugin."""
    return next((_FAILURES[each] for each in type(error).__mro__ if each in _FAILURES), Failure.PLUGIN)
