"""What the agent knows of one local pod's sandbox, and what it still has to do there."""

from collections.abc import Sequence
from enum import Enum, auto

from attrs import define, field

from mnp_core.agent.enforcement import Stamp, Unfinished
from mnp_core.agent.inspection import Findings
from mnp_core.api import Failure, Sandbox
from mnp_core.backend import Backend
from mnp_core.model import Delta, GroupDelta, NetworkStatus, ObjectName

_MANY_TRIES = 6  # in about five seconds: what fails so often cannot be enforced, for now
_PERMANENT = frozenset({Failure.INPUT, Failure.UNSUPPORTED})
_EARLY = 4  # tries, one and a half seconds with the pauses between them
_MANY_DELTAS = 64  # changes of membership that wait

Incarnation = tuple[str, Sequence[NetworkStatus]]
"""UID and attachments: another one means another sandbox."""


class Task(Enum):
    """Work in a sandbox, the most urgent first."""

    REPLACE = auto()  # everything of ours, as a whole
    FINISH = auto()  # what a replacement has left for later
    UPDATE = auto()  # membership alone
    CHECK = auto()  # whether somebody changed something
    LOOK = auto()  # at its interfaces


class SharedDelta:
    """A change of membership, rendered once for all sandboxes of a backend."""

    def __init__(self, change: GroupDelta) -> None:
        self._change = change
        self._rendered: dict[str, Delta] = {}

    def rendered(self, backend: Backend) -> Delta:
        """In the dialect of a backend."""
        if backend.name not in self._rendered:
            self._rendered[backend.name] = backend.renderer.render_delta(self._change)
        return self._rendered[backend.name]


@define(eq=False)
class Wishes:
    """What has to be done in a sandbox, merged: any number of wishes of a kind is one.

    Attributes:
        replace: Write everything; whatever is compiled when that starts is as new as can be.
        unfinished: What a replacement has left for later, when every pod has its rules.
        deltas: Changes of membership since then, in order.
        check: See whether somebody changed something.
        look: Read its interfaces.
        heard: When the oldest change that is waiting was heard of (time.monotonic).
    """

    replace: bool = False
    unfinished: Unfinished | None = None
    deltas: list[SharedDelta] = field(factory=list)
    check: bool = False
    look: bool = False
    heard: float | None = None

    def hear(self, heard: float | None) -> None:
        """A change is waiting."""
        if heard is not None:
            self.heard = heard if self.heard is None else min(self.heard, heard)

    def want_replacement(self) -> None:
        """Everything, which takes in what changes of membership were waiting."""
        self.replace, self.unfinished = True, None
        self.deltas.clear()

    def want_update(self, delta: SharedDelta) -> None:
        """A change of membership, unless everything will be written anyway; many cost as much as that."""
        if not self.replace:
            self.deltas.append(delta)
        if len(self.deltas) > _MANY_DELTAS:
            self.want_replacement()

    def next(self) -> Task | None:
        """The most urgent one."""
        if self.replace:
            return Task.REPLACE
        if self.unfinished is not None:
            return Task.FINISH
        if self.deltas:
            return Task.UPDATE
        if self.check:
            return Task.CHECK
        return Task.LOOK if self.look else None


@define(eq=False)
class LocalPod:
    """A pod of this node in the agent's care.

    Attributes:
        name: The pod.
        incarnation: Which of the pods that ever had this name.
        sandbox: Its network namespace, once it is found.
        proven: Whether something succeeded in that sandbox.
        backend: What enforces there.
        stamp: What is in force there, as far as this process knows.
        findings: What its interfaces are.
        hears_rules: Whether changes of its packet filter are told, so that nobody needs to ask.
        drifting: Whether somebody changed something, and it is not known yet what.
        wishes: What is to be done.
        busy: Whether something is being done; one thing at a time.
        queued: Whether it waits for its turn.
        begun: When that was begun (time.monotonic), if `busy`.
        attended: Whether something was tried to the end, successfully or not.
        error: Why the last try failed; empty if it did not.
        failure: The same in one word; only if `error`.
        tries: How many have failed since the last success.
        retry_at: When to try again, if `error` (time.monotonic).
        finish_at: When to do what a replacement has left for later (time.monotonic).
        rest_until: Until when checking and looking wait for more to come (time.monotonic).
        check_thoroughly_at: When to make the next check a thorough one (time.monotonic).
        look_after: Not before that, which costs more than checking (time.monotonic).
    """

    name: ObjectName
    incarnation: Incarnation
    sandbox: Sandbox | None = None
    proven: bool = False
    backend: Backend | None = None
    stamp: Stamp | None = None
    findings: Findings | None = None
    hears_rules: bool = False
    drifting: bool = False
    wishes: Wishes = field(factory=Wishes)
    busy: bool = False
    queued: bool = False
    begun: float = 0.0
    attended: bool = False
    error: str = ""
    failure: Failure | None = None
    tries: int = 0
    retry_at: float = 0.0
    finish_at: float = 0.0
    rest_until: float = 0.0
    look_after: float = 0.0
    check_thoroughly_at: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether its sandbox is not there, but will be soon: the API tells of a pod before the runtime is done."""
        return self.failure is Failure.NOT_FOUND and self.tries <= _EARLY

    @property
    def is_permanent(self) -> bool:
        """Whether the next try fails for the same reason unless its input changes."""
        return self.failure in _PERMANENT

    @property
    def given_up(self) -> bool:
        """Whether the pod is unenforceable: what is wrong is wrong until something changes, or it lasts."""
        return self.is_permanent or self.tries >= _MANY_TRIES

    def due(self) -> float | None:
        """When something is to be done (time.monotonic), if anything is."""
        task = self.wishes.next()
        if task is None or self.busy:
            return None
        if task is Task.FINISH and not self.wishes.deltas:  # they go with it
            return max(self.retry_at, self.finish_at)
        if task is Task.LOOK:
            return max(self.retry_at, self.rest_until, self.look_after)
        return max(self.retry_at, self.rest_until) if task is Task.CHECK else self.retry_at

    def lose_sandbox(self) -> None:
        """It is not there any more, or not the same: nothing that was known of it holds."""
        self.sandbox, self.proven, self.stamp, self.hears_rules = None, False, None, False
        self.findings = None
        self.wishes.want_replacement()
