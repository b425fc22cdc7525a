"""Results: one operation in one sandbox, and one pass over all that a change affected."""

from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model import ObjectName, Report


class Result(StrEnum):
    """How an attempt to bring one sandbox up to date ended."""

    APPLIED = "applied"  # written as a whole
    UPDATED = "updated"  # membership only
    UNCHANGED = "unchanged"  # already right, nothing written
    REMOVED = "removed"
    FAILED = "failed"  # the rules before are still in force


class Failure(StrEnum):
    """Why an attempt failed: stable words for metrics, Events and scripts."""

    NOT_FOUND = "NotFound"  # the sandbox is not there, or not yet
    REFUSED = "Refused"  # by the kernel
    SANDBOX = "Sandbox"  # it is there, but cannot be worked in
    UNSUPPORTED = "Unsupported"  # by this machine
    PLUGIN = "Plugin"  # missing, broken, ambiguous, or raised an error outside its contract
    INPUT = "Input"  # something that a user gave
    OTHER = "Other"


@frozen(kw_only=True)
class Outcome:
    """The result of one operation in one sandbox.

    Attributes:
        pod: The pod.
        result: See Result.
        error: For a failure, the problem and the remedy.
        failure: For a failure, why in one word; None otherwise.
        transient: Whether the failure should be over soon: the pod's sandbox is not ready yet.
        seconds: From the start of the attempt to its end.
        drifted: Whether our rules had been changed by others (S63).
        latency: Seconds from the arrival of the oldest change that caused this to its enforcement in this pod; None
            without a change, or after a failure.
        backend: Name of the backend; empty if the attempt did not come to choose one.
    """

    pod: ObjectName
    result: Result
    error: str = ""
    failure: Failure | None = None
    transient: bool = False
    seconds: float = 0.0
    drifted: bool = False
    latency: float | None = None
    backend: str = ""


@frozen(kw_only=True)
class Sync:
    """The end of one pass over everything that a change affected.

    Attributes:
        outcomes: One for each attempt in a pod.
        appeared: Problems that stand now and did not at the end of the pass before, sorted.
        vanished: Problems that stood then and do not now, sorted.
        reports: Every problem that stands, sorted; only where the caller has waited for the pass (`mnp lab`). The
            node's loop leaves it empty: collecting them costs time by the size of the cluster, not of the change.
        seconds: Duration.
    """

    outcomes: tuple[Outcome, ...]
    appeared: tuple[Report, ...] = ()
    vanished: tuple[Report, ...] = ()
    reports: tuple[Report, ...] = ()
    seconds: float
