"""Bringing one sandbox up to date. These functions run on a thread that is inside of it."""

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve, frozen

from mnp_core.agent.inspection import Findings
from mnp_core.api import QuickGeneration, Result, RuleApplier, RuleListener, RuleVerifier, StagedApplier
from mnp_core.errors import ApplyError, DisturbedError
from mnp_core.model import Delta, Ruleset
from mnp_core.sandbox.monitor import Listeners, Topic, listen_to_links


@frozen(kw_only=True)
class Stamp:
    """What this process itself has put in force, or found there.

    Attributes:
        digest: Of the ruleset; empty if nothing of ours is there.
        generation: Of the packet filter, right after; a later difference means that somebody changed something.
        quick: The same by the applier's `quick_generation`; None if it has none.
    """

    digest: str
    generation: int
    quick: int | None = None


@frozen(kw_only=True)
class InForce:
    """What became of one sandbox.

    Attributes:
        result: What had to be done.
        stamp: What is in force now; None if nobody looked.
        drifted: Whether somebody else had changed our rules (S63).
        findings: What was found of its attachments; None if nobody looked.
        listeners: Sockets that hear of later changes; whoever gets this closes them. None if there are none yet.
        completed: Whether the rules were right and only did not hold on every interface (`Installed.incomplete`).
        unfinished: What a replacement leaves for later; None if nothing was replaced.
    """

    result: Result
    stamp: Stamp | None = None
    drifted: bool = False
    findings: Findings | None = None
    completed: bool = False
    listeners: Listeners | None = None
    unfinished: "Unfinished | None" = None


@frozen(kw_only=True)
class Unfinished:
    """What a replacement leaves for later.

    Attributes:
        ruleset: What it put in force, to be compared with what is there then.
        rest: Does what packets do not see.
    """

    ruleset: Ruleset
    rest: Callable[[], None] = lambda: None


def enforce(applier: RuleApplier, ruleset: Ruleset, before: Stamp | None, *, drifting: bool = False) -> InForce:
    """Make the ruleset be in force; a sandbox that is right already is not written to (S62).

    What is there is read, unless it is known to be something else.

    Args:
        applier: Writes it.
        ruleset: What is to be in force.
        before: What this process believes to be there; None if it cannot know.
        drifting: Whether something is known to have changed: then the result says whether it was only incomplete.
    """
    completed = False
    if before is None or before.digest == ruleset.digest or _is_touched(applier, before):
        stamp = _stamp(applier, ruleset.digest)  # first: what somebody does while it is read must not pass for read
        if is_in_force(applier, ruleset):
            return InForce(result=Result.UNCHANGED, stamp=stamp)
        completed = drifting and _is_incomplete(applier, ruleset)
    if isinstance(applier, StagedApplier):
        unfinished = Unfinished(ruleset=ruleset, rest=applier.bring_into_force(ruleset))
    else:
        applier.apply(ruleset)
        unfinished = Unfinished(ruleset=ruleset)
    return evolve(_in_force(applier, Result.APPLIED, ruleset.digest), unfinished=unfinished, completed=completed)


def _is_incomplete(applier: RuleApplier, ruleset: Ruleset) -> bool:
    """Whether the ruleset is there and only does not hold on every interface yet."""
    installed = applier.installed()
    return installed is not None and installed.incomplete and installed.is_of(ruleset)


def _stamp(applier: RuleApplier, digest: str) -> Stamp:
    quick = applier.quick_generation() if isinstance(applier, QuickGeneration) else None  # first: it tells less
    return Stamp(digest=digest, generation=applier.generation(), quick=quick)


def _is_touched(applier: RuleApplier, before: Stamp, *, thoroughly: bool = False) -> bool:
    """Whether anything was changed since, by the cheaper question where there is one and it is enough."""
    if isinstance(applier, QuickGeneration) and before.quick is not None and not thoroughly:
        return applier.quick_generation() != before.quick
    return applier.generation() != before.generation


def is_in_force(applier: RuleApplier, ruleset: Ruleset) -> bool:
    """Whether exactly this ruleset is in force; stamps in the sandbox decide only where the applier cannot compare."""
    if isinstance(applier, RuleVerifier):
        return applier.is_in_force(ruleset)
    installed = applier.installed()
    return installed is not None and installed.matches(ruleset)


def finish(
    applier: RuleApplier, rest: Callable[[], None], deltas: Sequence[Delta], wanted: Callable[[], Ruleset]
) -> InForce:
    """Complete a replacement, and compare what is there with what is wanted then.

    A commit of others right after ours, or while we clear away, looks like ours by its number. Here it is found (S63):
    then nothing is known of what is there, and `stamp` is None.

    Args:
        applier: Writes it.
        rest: Does what packets do not see.
        deltas: Changes of membership that have come since the replacement.
        wanted: Gives the ruleset that has to be there after that.
    """
    rest()
    try:
        for delta in deltas:
            _updated(applier, delta)
    except ApplyError:
        return InForce(result=Result.UNCHANGED)
    ruleset = wanted()
    stamp = _stamp(applier, ruleset.digest)  # first, as in `enforce`
    result = Result.UPDATED if deltas else Result.UNCHANGED
    return InForce(result=result, stamp=stamp if is_in_force(applier, ruleset) else None)


def update(applier: RuleApplier, deltas: Iterable[Delta], before: Stamp) -> InForce:
    """Change membership alone.

    If somebody changed something since `before`, that is what the stamp goes on to be, so that the next check notices
    (S63). What is refused was made for other sets than are there: nothing is known of them, and `stamp` is None. That
    goes for whenever nobody seems to have changed anything, too: a commit right after one of ours hides behind it.
    """
    touched = _is_touched(applier, before)
    try:
        for delta in deltas:
            touched = not _updated(applier, delta) or touched
    except ApplyError:
        return InForce(result=Result.UNCHANGED)
    if touched:
        return InForce(result=Result.UPDATED, stamp=before)
    return _in_force(applier, Result.UPDATED, before.digest)


def _updated(applier: RuleApplier, delta: Delta) -> bool:
    """Change membership; whether nobody else changed anything meanwhile, as far as the applier can tell."""
    try:
        applier.update(delta)
    except DisturbedError:
        return False
    return True


def check(applier: RuleApplier, before: Stamp, *, thoroughly: bool = True) -> InForce:
    """Ask whether anybody changed anything: then nothing is known of what is there, and `stamp` is None."""
    touched = _is_touched(applier, before, thoroughly=thoroughly)
    return InForce(result=Result.UNCHANGED, stamp=None if touched else before)


def retire(appliers: Iterable[RuleApplier]) -> InForce:
    """Take everything of these away.

    If another one has taken over, that is in force by now: between the two both hold.
    """
    result = Result.UNCHANGED
    for applier in appliers:
        if applier.installed() is not None:
            applier.remove()
            result = Result.REMOVED
    return InForce(result=result)


def listen(applier: RuleApplier) -> Listeners:
    """Open what hears of later changes in the sandbox."""
    listeners = {Topic.LINKS: listen_to_links()}
    try:
        if isinstance(applier, RuleListener):
            listeners[Topic.RULES] = applier.listen()
    except BaseException:
        deafen(listeners)
        raise
    return listeners


def deafen(listeners: Listeners | None) -> None:
    """Close what `listen` has opened."""
    for listener in (listeners or {}).values():
        listener.close()


def _in_force(applier: RuleApplier, result: Result, digest: str) -> InForce:
    return InForce(result=result, stamp=_stamp(applier, digest))
